"""A customer's first days: a check that others make takes up to two days, and whatever fails leaves nothing behind."""
