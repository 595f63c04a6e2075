"""Logic as a graph of AND gates whose inputs may be inverted, so that a whole level of it is one operation of NumPy."""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

__all__ = ["FALSE", "TRUE", "Arranged", "Graph", "Literal", "Taps"]

_ONES = np.uint64(2**64 - 1)


@dataclass(frozen=True)
class Literal:
    """A node of a graph, inverted or not; `&`, `|` and `^` make new ones.

    Attributes
    ----------
    graph : Graph or None
        None for the constants.
    node : int
        0 is constant.
    inverted : bool
    """

    graph: object
    node: int
    inverted: bool

    def __invert__(self):
        return Literal(self.graph, self.node, not self.inverted)

    def __and__(self, other):
        if not self.node:
            return other if self.inverted else self
        if not other.node:
            return self if other.inverted else other
        return self.graph.gate(self, other)

    def __or__(self, other):
        return ~(~self & ~other)

    def __xor__(self, other):
        # An inverter is an XOR with a constant.
        if not self.node:
            return ~other if self.inverted else other
        if not other.node:
            return ~self if other.inverted else self
        return ~(~(self & ~other) & ~(~self & other))


FALSE = Literal(None, 0, False)
TRUE = ~FALSE


class Graph:
    """AND gates in the order in which they are made, and sources, which are whatever has no gate.

    Alike gates are made once.
    """

    def __init__(self):
        self._inputs, self._known = [None], {}

    def source(self):
        """A new node that is set from outside, as a literal."""
        return self._node(None)

    def gate(self, first, second):
        """AND of two literals, not constant."""
        sides = sorted([(first.node, first.inverted), (second.node, second.inverted)])
        key = tuple(sides)
        if key not in self._known:
            self._known[key] = self._node(key)
        return self._known[key]

    def _node(self, inputs):
        self._inputs.append(inputs)
        return Literal(self, len(self._inputs) - 1, False)

    def arranged(self):
        """The graph as arrays: nodes sorted by level, `Arranged`."""
        depths = [0] * len(self._inputs)
        for node, inputs in enumerate(self._inputs):
            if inputs:
                depths[node] = 1 + max(depths[side] for side, _ in inputs)
        depths = np.array(depths)
        order = np.argsort(depths, kind="stable")
        positions = np.empty_like(order)
        positions[order] = np.arange(len(order))
        bounds = np.searchsorted(depths[order], np.arange(1, depths.max() + 2)).tolist()
        levels = []
        for low, high in pairwise(bounds):
            sides = np.array([self._inputs[node] for node in order[low:high]])
            taps = (_taps(positions[sides[:, side, 0]], sides[:, side, 1]) for side in (0, 1))
            levels.append(Level(low, high, *taps))
        return Arranged(positions, levels)


class Taps(NamedTuple):
    """Where literals are among the values of all nodes.

    Attributes
    ----------
    positions : ndarray of int, shape (n,)
    inverts : ndarray of uint64, shape (n, 1)
        All ones for those that are inverted.
    """

    positions: np.ndarray
    inverts: np.ndarray

    def read(self, values):
        """Their values, of shape (n, words), out of those of all nodes."""
        # Much faster than to index with an array.
        taken = values.take(self.positions, axis=0)
        taken ^= self.inverts
        return taken


class Level(NamedTuple):
    """Gates that can be computed at a time: those from `low` on and below `high`, and their inputs."""

    low: int
    high: int
    first: Taps
    second: Taps


class Arranged(NamedTuple):
    """Where each node of a graph stands among all values, and its levels."""

    positions: np.ndarray
    levels: list

    def taps(self, literals):
        """Where literals are."""
        nodes = np.array([literal.node for literal in literals], int)
        return _taps(self.positions[nodes], [literal.inverted for literal in literals])

    def settle(self, values):
        """Compute all gates."""
        for low, high, first, second in self.levels:
            np.bitwise_and(first.read(values), second.read(values), out=values[low:high])


def _taps(positions, inverted):
    inverts = np.where(np.asarray(inverted, bool), _ONES, np.uint64(0))
    return Taps(positions, inverts[:, None])
