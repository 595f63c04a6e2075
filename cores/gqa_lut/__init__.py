"""GQA-LUT (DAC 2024): piecewise-linear unit, softmax unit and LayerNorm unit."""
