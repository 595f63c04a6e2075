"""Benches of the systolic cores, and products through them."""
