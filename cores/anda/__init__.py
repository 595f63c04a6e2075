"""Anda (HPCA 2025): compressor, decompressor, bit-plane buffer and bit-serial tile."""
