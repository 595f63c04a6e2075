"""4-bit codes in groups with FP16 scales, made of the numbers at run time: HGQ, and flat groups as its baselines."""

from dataclasses import replace

import numpy as np

from ...checks import named, within
from ...sevedo import hgq, hgq_tile
from .grid import GridScheme

__all__ = ["FlatScheme", "HgqScheme"]


class HgqScheme(GridScheme):
    """Hierarchical Group Quantization of both operands: a scale for `coarse` values, a shift for `fine`."""

    core = "hgq-tile"

    def __init__(self, coarse=hgq.COARSE, fine=hgq.FINE, shift_bits=hgq.SHIFT_BITS):
        self.coarse, self.fine, self.shift_bits = coarse, fine, shift_bits
        self.parameters = {"coarse": coarse, "fine": fine, "shift_bits": shift_bits}
        self.weight_bits = self.activation_bits = 4 + shift_bits / fine + 16 / coarse

    def weights(self, weight, seen, kind):
        return self.encode(weight, None)

    def operand(self, b, step):
        return self.encode(b, None)

    def encode(self, x, step):
        # The tile takes FP16 numbers; what is beyond them would be clipped without a word.
        with named("activations or weights of HGQ"):
            within(x, 0, hgq.LARGEST_HALF)
        return hgq.quantize(x.astype(np.float16), self.coarse, self.fine, self.shift_bits)

    def product(self, a, w):
        return hgq.matmul(a, w)

    def restore(self, raw, a, w):
        return raw

    def cut(self, operand, part):
        rows = {name: getattr(operand, name)[part] for name in ("codes", "shifts", "scales")}
        return replace(operand, **rows)

    def transfers(self, a, w, config):
        return hgq_tile.transfers(a, w, config)

    def peak(self, config, w):
        return config.rows * config.cols * config.fine

    def cycles(self, config, m, w):
        n, k = self.shape(w)
        return hgq_tile.cycles(config, m, k, n)


class FlatScheme(HgqScheme):
    """Groups with a scale alone: on the HGQ tile, in dot products of `fine`, all of whose shifts are 0."""

    def __init__(self, group, fine=hgq.FINE):
        super().__init__(group, fine, 0)
