"""Benches of Anda's cores."""
