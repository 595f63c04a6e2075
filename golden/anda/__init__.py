"""Anda (HPCA 2025): bit planes, products and cycles."""
