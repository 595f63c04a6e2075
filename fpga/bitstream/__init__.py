"""Boards and their bitstreams: build, flash, read back."""
