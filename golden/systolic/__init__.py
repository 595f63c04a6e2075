"""Systolic tiles: operand formats, exact products, tiling, jobs and cycles."""
