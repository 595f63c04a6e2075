"""The comparison: a model in the arithmetic of every system."""
