"""GQA-LUT (DAC 2024): piecewise-linear tables, their search, integer operations and cycles."""
