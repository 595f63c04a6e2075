"""What the result rows of a matrix product say, and whether it is what they must say."""

from dataclasses import dataclass

import numpy as np

from ...golden.olive import ovp
from .. import compare

__all__ = ["Results", "flag_difference", "illegal", "result_fields"]


@dataclass(frozen=True)
class Results:
    """A product as a tile gives it, or as it must be.

    Attributes
    ----------
    product : ndarray of int64, shape (M, N)
        Sums.
    overflow : ndarray of bool, shape (M, N)
        Flags; all False where the tile has none.
    last : ndarray of bool, shape (transfers,)
        The field `last` of each result row.
    """

    product: np.ndarray
    overflow: np.ndarray
    last: np.ndarray

    def wrong(self, expected):
        """Results whose value or flag differs: bool, shape (M, N)."""
        return (self.product != expected.product) | (self.overflow != expected.overflow)

    def difference(self, expected):
        """The first difference from the expected results, in one line; None without one."""
        failure = compare.difference(self.wrong(expected), expected._shown, self._shown)
        if failure is None and (wrong := np.flatnonzero(self.last != expected.last)).size:
            at = int(wrong[0])
            failure = f"`last` of result row {at} is {self.last[at]:d}, expected {expected.last[at]:d}"
        return failure

    def _shown(self, row, column):
        return f"{self.product[row, column]}{' with the overflow flag' if self.overflow[row, column] else ''}"


def result_fields(config, product, overflow, last):
    """Fields of result rows, of shape (transfers, cols), and of their marks; flags only where the tile has them."""
    return {"sums": product, **({"overflow": overflow} if config.overflow else {}), "last": last}


def flag_difference(flags, expected):
    """The first of a core's flags that is not as expected, in one line; None without one. A flag it lacks is low."""
    for name, value in expected.items():
        if bool(flag := flags.get(name, 0)) != bool(value):
            return f"`{name}` is {flag:d}, expected {value:d}"
    return None


def illegal(a, w, config):
    """Whether there is an illegal pair among the codes of a product."""
    operands = zip((a, w), config.operands, strict=True)
    return any(operand.pairs and bool(ovp.illegal(codes, operand.pairs).any()) for codes, operand in operands)
