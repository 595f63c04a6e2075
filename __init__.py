"""bitloom: a generator of synthesizable RTL for low-bit transformer accelerators."""

__version__ = "0.1.0"
