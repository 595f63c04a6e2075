"""Integers: multipliers, accumulators, shifts, rounding, selection."""
