"""Number formats, quantizers and bit-exact NumPy models of every core."""
