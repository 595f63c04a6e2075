"""SeVeDo: a low-rank path beside a 4-bit residual path; attention goes through the residual path alone."""

import numpy as np

from ...checks import named, within
from ...sevedo import core, decompose, hgq, layer, lvc
from .scheme import CoreScheme

__all__ = ["SevedoScheme"]


class SevedoScheme(CoreScheme):
    """Layers of the SeVeDo core, each split by itself.

    Parameters
    ----------
    rank : int
    precision : str
        Reading of SVD-MP, as of `decompose.decompose`.
    """

    core = "sevedo-core"
    # Tables are loaded for a layer; a token is quantized, and multiplied by the first table, for all outputs.
    shares = True
    activation_bits = 4 + hgq.SHIFT_BITS / hgq.FINE + 16 / hgq.COARSE

    def __init__(self, rank=decompose.RANK, precision="both"):
        self.rank, self.precision = rank, precision
        self.parameters = {"max_rank": rank}

    def weights(self, weight, seen, kind):
        none, rank = np.zeros(len(weight)), min(self.rank, *weight.shape)
        return decompose.decompose(weight, none, layer.to_half(seen), rank, self.precision)

    def operand(self, b, step):
        # Without a low-rank path and without smoothing.
        n, k = b.shape
        tables = np.zeros((k, 0), np.int8), np.zeros((0, n), np.int8), np.ones(n, np.float16), np.zeros(0, np.uint8)
        none = lvc.LowRank(*tables, shift=0, gain=0, wide_channels=0, wide_ranks=0)
        order, smoothing = np.arange(k, dtype=np.int32), np.ones(k, np.float16)
        return layer.SevedoLayer(order, smoothing, hgq.quantize(_half(b)), none, np.zeros(n, np.float16))

    def encode(self, x, step):
        return _half(x)

    def product(self, a, w):
        return layer.linear(a, w)

    def restore(self, raw, a, w):
        return raw.astype(np.float32)

    def right_cycles(self, taken, config, m, w):
        # The model gives a bound: parts of the core wait for each other.
        return taken >= self.cycles(config, m, w)

    def bits(self, w):
        return w.bits, self.activation_bits

    def shape(self, w):
        return w.shape

    def code_values(self, w):
        # Of the residual path: the tables of the low-rank path are integers of 8 bits.
        return w.residual.codes[:, : w.shape[1]]

    def cut(self, operand, part):
        return operand[part] if isinstance(operand, np.ndarray) else layer.take(operand, part)

    def transfers(self, a, w, config):
        return core.transfers(w, a, config)

    def results(self, fields, m, w, config):
        return core.results(fields, m, w.shape[0], config)[0]

    def result_count(self, m, w, config):
        return m * w.shape[0]

    def peak(self, config, w):
        # Of the residual path: the low-rank path is beside it.
        return config.rows * config.cols * config.fine

    def cycles(self, config, m, w):
        return core.least_cycles(config, w, m)


def _half(x):
    with named("activations of SeVeDo"):
        within(x, 0, hgq.LARGEST_HALF)
    return layer.to_half(x)
