"""Checkpoints, whole models, searches and training: what stands on the systems."""
