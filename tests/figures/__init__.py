"""Figures of the whole house: rates, sizes, clocks, energies, in tables that are run by name."""
