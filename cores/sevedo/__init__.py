"""SeVeDo (2025): Hierarchical Group Quantization, the low-rank vector core and the merged core."""
