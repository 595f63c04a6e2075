"""Benches of SAT's cores, and models through them."""
