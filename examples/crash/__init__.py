"""What the log holds of a run whose worker dies between two steps, and what the next worker makes of it."""
