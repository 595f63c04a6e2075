"""Boards: top levels, bitstreams, flashing."""
