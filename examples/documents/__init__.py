"""Many documents, a few at a time, and none of them in the way of the others."""
