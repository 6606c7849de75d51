"""A trip whose parts are workflows of two departments."""
