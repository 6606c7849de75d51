"""A thousand activities at once, and one result of them all."""
