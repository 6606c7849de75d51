"""A research pipeline: many sources at once, one model, and a person where the model is not sure."""
