"""N of M weights kept, in 8-bit integers: the N:M tile (SAT/BDWP); activations and attention are dense."""

from dataclasses import dataclass, replace

import numpy as np

from ...sat import sparse, tile
from ..quantize import float32_steps
from .integers import Codes, IntegerScheme

__all__ = ["SparseScheme"]


@dataclass(frozen=True, eq=False)
class Slots(Codes):
    """Weights of which some are kept.

    Attributes
    ----------
    codes : ndarray of int8, shape (N, K)
        The pruned weights; K is padded to whole groups.
    values, indices : ndarray, shape (N, K / M, kept)
        What is kept of each group, and where.
    """

    values: np.ndarray
    indices: np.ndarray


class SparseScheme(IntegerScheme):
    """INT8 with the `kept` largest magnitudes of each `group` weights along K.

    Parameters
    ----------
    kept, group : int
        N and M. The bits of a weight count its index, too.
    """

    core = "nm-tile"

    def __init__(self, kept, group):
        super().__init__("int8")
        self.kept, self.group = kept, group
        self.parameters |= {"group": group}
        self.weight_bits = sparse.group_bits(kept, group, 8) / group

    def weights(self, weight, seen, kind):
        values, indices = sparse.select(sparse.pad(weight, self.group), self.kept, self.group)
        pruned = sparse.expand(values, indices, self.group)[:, : weight.shape[1]]
        # The steps are those of the weights that are left.
        return self._slots(pruned, float32_steps(pruned, self.fmt.search(pruned, 0)), self.kept)

    def operand(self, b, step):
        return self._slots(b, step, self.group)

    def encode(self, x, step):
        return self._codes(sparse.pad(x, self.group), step)

    def cut(self, operand, part):
        rest = super().cut(operand, part)
        if not isinstance(operand, Slots):
            return rest
        return replace(rest, values=operand.values[part], indices=operand.indices[part])

    def transfers(self, a, w, config):
        return tile.transfers(w.values, w.indices, a.codes, config)

    def ports(self, w):
        return {"slots": w.values.shape[2]}

    def peak(self, config, w):
        return config.rows * config.cols * self.group / w.values.shape[2]

    def cycles(self, config, m, w):
        n, k = w.shape
        return tile.cycles(config, m, k, n, w.values.shape[2])

    def _slots(self, numbers, steps, kept):
        whole = self._codes(sparse.pad(numbers, self.group), steps)
        values, indices = sparse.select(whole.codes, kept, self.group)
        return Slots(whole.codes, whole.steps, numbers.shape, values, indices)
