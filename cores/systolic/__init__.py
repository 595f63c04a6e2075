"""Systolic tiles for every integer and pair format, and matrix products behind memories."""
