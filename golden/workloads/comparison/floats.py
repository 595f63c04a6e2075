"""FP16 activations, as they are or as Anda has them, and INT4 weights with an FP16 scale for 128 along K."""

from dataclasses import dataclass, replace

import numpy as np

from ... import reduction_tiles
from ...anda import planes, tile, tiling
from ..anda_model import quantize_weight
from .scheme import CoreScheme

__all__ = ["AndaScheme", "HalfScheme"]


@dataclass(frozen=True, eq=False)
class Weights:
    """INT4 weights.

    Attributes
    ----------
    codes : ndarray of int8, shape (N, K)
    scales : ndarray of float16, shape (N, ceil(K / 128))
    mantissa : int or None
        Of the activations in this place, with Anda.
    """

    codes: np.ndarray
    scales: np.ndarray
    mantissa: int | None = None


class HalfScheme(CoreScheme):
    """FP16 products and FP32 sums of dequantized weights, as on a GPU.

    The tile takes 4-bit weights, so attention stays outside: both papers leave it in FP16 (Anda, Section IV).
    """

    core = "anda-tile"
    attends = False
    weight_bits = 4 + 16 / planes.WEIGHT_GROUP
    activation_bits = 16

    def __init__(self, lanes=4):
        self.lanes = lanes
        self.parameters = {"pe": "fp16", "lanes": lanes}

    def weights(self, weight, seen, kind):
        return Weights(*quantize_weight(weight))

    def encode(self, x, step):
        with np.errstate(over="ignore"):
            return x.astype(np.float16)

    def product(self, a, w):
        return tile.fp16_matmul(a, w.codes, w.scales, self.lanes)[1]

    def restore(self, raw, a, w):
        return raw.astype(np.float32)

    def cut(self, operand, part):
        if isinstance(operand, np.ndarray):
            return operand[part]
        return replace(operand, codes=operand.codes[part], scales=operand.scales[part])

    def transfers(self, a, w, config):
        return tiling.transfers(a, w.codes, w.scales, config)

    def results(self, fields, m, w, config):
        values = fields["values"].view(np.float16).reshape(-1, config.rows, config.cols)
        return reduction_tiles.results(values, m, len(w.codes), config)

    def result_count(self, m, w, config):
        return -(-m // config.rows) * -(-len(w.codes) // config.cols) * config.rows

    def peak(self, config, w):
        return tile.products(config) / tile.period(config, w.mantissa)

    def cycles(self, config, m, w):
        n, k = w.codes.shape
        return tile.cycles(config, m, k, n, w.mantissa)


class AndaScheme(HalfScheme):
    """Groups of 64 activations with one exponent and mantissas of some bits (Anda, Section III).

    Parameters
    ----------
    mantissa : int or dict
        1 to 16: for all layers, or by the layer's kind.
    """

    def __init__(self, mantissa):
        self.mantissa = mantissa
        self.parameters = {"pe": "anda"}
        self.chosen = mantissa if isinstance(mantissa, dict) else {}

    def weights(self, weight, seen, kind):
        mantissa = self.mantissa if isinstance(self.mantissa, int) else self.mantissa[kind]
        return Weights(*quantize_weight(weight), mantissa)

    def transfers(self, a, w, config):
        return tiling.transfers(planes.encode(a, w.mantissa), w.codes, w.scales, config)

    def ports(self, w):
        return {"mantissa": w.mantissa}

    def product(self, a, w):
        return planes.encoded_matmul(a, w.mantissa, w.codes, w.scales)[1]

    def bits(self, w):
        return self.weight_bits, 16 / float(planes.compression_ratio(w.mantissa))
