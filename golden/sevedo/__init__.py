"""SeVeDo (2025): Hierarchical Group Quantization, the low-rank path, layers and cycles."""
