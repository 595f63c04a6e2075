"""What a byte and a product cost: assumptions, no measurement.

Horowitz, "Computing's energy problem", ISSCC 2014, Figure 1.1.9, has 1.3 to 2.6 nJ for 64 bits of DRAM, of which
`BYTE_ENERGY` is the lower end, and for a chip of 45 nm 0.2 pJ for a product of 8-bit numbers and 0.1 pJ for an addition
of 32 bits, which `PRODUCT_ENERGY` has together.
"""

__all__ = ["BYTE_ENERGY", "PRODUCT_ENERGY"]

#: pJ of a byte that is moved, and of a product of 8-bit numbers with its addition.
BYTE_ENERGY, PRODUCT_ENERGY = 162.5, 0.3
