"""Benches of the machine."""
