"""Plain integers, outlier-victim pairs, and flint4 without pairs: one step a tensor or a row, on the systolic tile."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np

from ...olive import ovp
from ...scale import search
from ...systolic import tile, tiling
from ..quantize import FORMATS, WeightFormat, float32_steps
from .scheme import CoreScheme

__all__ = ["Codes", "IntegerScheme", "flint4"]


@dataclass(frozen=True, eq=False)
class Codes:
    """An operand of integer codes with scale steps.

    Attributes
    ----------
    codes : ndarray, shape (rows, K), or (rows, bytes) of pairs
    steps : ndarray of float32, shape (), or (rows,) of weights
    shape : (int, int)
        Rows and K.
    """

    codes: np.ndarray
    steps: np.ndarray
    shape: tuple


class IntegerScheme(CoreScheme):
    """Weights with a step an output channel, activations with a calibrated step a tensor, both in one format.

    Parameters
    ----------
    tile_format : str
        Of `golden.systolic.tile.FORMATS`.
    fmt : WeightFormat, optional
        How numbers become its codes; None takes that of the name.
    """

    core = "systolic-tile"

    def __init__(self, tile_format, fmt=None):
        self.fmt = fmt or FORMATS[tile_format]
        self.parameters = {"a_format": tile_format, "w_format": tile_format}
        self._tile = SimpleNamespace(**self.parameters, accumulator=32)
        self.weight_bits = self.activation_bits = self.fmt.bits

    def step(self, x):
        return float32_steps(x, self.fmt.search(x, None))

    def weights(self, weight, seen, kind):
        return self._codes(weight, float32_steps(weight, self.fmt.search(weight, 0)))

    def operand(self, b, step):
        return self._codes(b, step)

    def encode(self, x, step):
        return self._codes(x, step)

    def product(self, a, w):
        sums, overflow = tile.matmul(a.codes, w.codes, self._tile)
        if overflow.any():
            raise ValueError(f"a sum of {self.fmt.name} leaves 32 bits")
        return sums

    def restore(self, raw, a, w):
        return (raw * (np.float64(a.steps) * w.steps)).astype(np.float32)

    def cut(self, operand, part):
        steps = operand.steps[part] if operand.steps.ndim else operand.steps
        codes = operand.codes[part]
        return replace(operand, codes=codes, steps=steps, shape=(len(codes), operand.shape[1]))

    def shape(self, w):
        return w.shape

    def code_values(self, w):
        return self.fmt.decode(w.codes)[:, : w.shape[1]]

    def transfers(self, a, w, config):
        return tiling.transfers(a.codes, w.codes, config)

    def results(self, fields, m, w, config):
        return tiling.results(fields, m, w.shape[0], config)[0]

    def result_count(self, m, w, config):
        n, k = w.shape
        return len(tiling.ends(m, k, n, config))

    def peak(self, config, w):
        return config.rows * config.cols

    def cycles(self, config, m, w):
        n, k = w.shape
        return tile.cycles(config, m, k, n)

    def _codes(self, x, steps):
        return Codes(self.fmt.encode(x / np.asarray(steps)[..., None]), np.asarray(steps), x.shape)


def flint4():
    """ANT's flint4 without pairs, as the tile of flint4 pairs takes it: no value is an outlier."""
    top = ovp.FLINT4.max_normal

    def encode(x):
        return ovp.encode(np.clip(x, -top, top), ovp.FLINT4)

    def round_trip(x):
        return ovp.round_trip(np.clip(x, -top, top), ovp.FLINT4)

    return WeightFormat(
        name="flint4",
        summary="flint4 values without pairs (ANT's type)",
        bits=4,
        search=lambda x, axis: search(x, top, round_trip, axis, try_maximum=True),
        encode=encode,
        decode=lambda codes: ovp.values(codes, ovp.FLINT4),
        round_trip=round_trip,
    )
