"""Examples: run from the checkout, never part of the distribution."""
