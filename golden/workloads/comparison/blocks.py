"""Microscaling and NVFP4: blocks along K, made of the numbers at run time."""

from dataclasses import replace

import numpy as np

from ... import mx
from ...mx import tile
from .grid import GridScheme

__all__ = ["MxScheme"]


class MxScheme(GridScheme):
    """Both operands in blocks; NVFP4's scale of a tensor is that of each operand, as it comes."""

    core = "mx-tile"

    def __init__(self, name):
        self.format = mx.FORMATS[name]
        self.parameters = {"format": name}
        self.weight_bits = self.activation_bits = self.format.element.bits + 8 / self.format.block
        self.unit = 2.0**-self.format.element.fraction_bits

    def weights(self, weight, seen, kind):
        return mx.quantize(weight, self.format)

    def operand(self, b, step):
        return mx.quantize(b, self.format)

    def encode(self, x, step):
        return mx.quantize(x, self.format)

    def product(self, a, w):
        return mx.matmul(_unscaled(a), _unscaled(w))

    def restore(self, raw, a, w):
        if a.tensor_scale is None:
            return raw
        # As `golden.mx.matmul` has it: one multiplication a result.
        return mx.flush(raw * mx.flush(a.tensor_scale * w.tensor_scale))

    def cut(self, operand, part):
        return replace(operand, codes=operand.codes[part], scales=operand.scales[part])

    def transfers(self, a, w, config):
        return tile.transfers(_unscaled(a), _unscaled(w), config)

    def code_values(self, w):
        return self.format.element.integers[super().code_values(w)]

    def peak(self, config, w):
        return config.rows * config.cols * config.lanes

    def cycles(self, config, m, w):
        n, k = self.shape(w)
        return tile.cycles(config, m, k, n)


def _unscaled(t):
    """A tensor as the tile sees it, which knows no scale of a whole tensor."""
    return t if t.tensor_scale is None else replace(t, tensor_scale=np.float32(1))
