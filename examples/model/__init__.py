"""A model server's stand-in, and the client that the examples ask it with."""
