"""Floating point: formats, addition, multiplication, conversion."""
