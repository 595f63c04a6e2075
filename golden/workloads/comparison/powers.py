"""How far the products of a scheme are from those of floating point, place by place."""

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Powers"]


@dataclass
class Powers:
    """Sums of squares over all products of a place; watches the products of `apply.operations`.

    Attributes
    ----------
    signal : dict of str to float
        Of the float32 products of the operands as they are before they become codes, without pruning.
    noise : dict of str to float
        Of the differences from them.
    """

    signal: dict = field(default_factory=dict)
    noise: dict = field(default_factory=dict)

    def __call__(self, place, x, w, y):
        exact = x @ w.T
        for sums, values in ((self.signal, exact), (self.noise, y - exact)):
            sums[place] = sums.get(place, 0.0) + float(np.square(values, dtype=np.float64).sum())
