"""Billing for years: each month is a run of its own, and the next one continues it."""
