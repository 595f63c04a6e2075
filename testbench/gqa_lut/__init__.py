"""Benches of GQA-LUT's cores."""
