"""Benches of OliVe's cores."""
