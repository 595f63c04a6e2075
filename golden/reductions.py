"""Cycles of reductions whose integers become FP32 sums: what the tiles of blocks with scales have in common.

A transfer is a part of a block, for some rows and columns. The integers of a block are scaled when it is whole, and
added to the sum of its reduction in FP32. Rows may share the floating-point unit that does it: they take turns.
"""

from dataclasses import dataclass

__all__ = ["Schedule"]


@dataclass(frozen=True)
class Schedule:
    """When the integers of blocks become sums (our choice).

    Attributes
    ----------
    lanes : int
        Rows that share a floating-point unit.
    block : int or None
        Transfers that share a scale; None: all of a reduction.
    term : int
        Cycles from an integer to the FP32 number that is added.
    adder : int
        Cycles of an FP32 addition; 0 where there is nothing to add.
    immediate : bool
        A block is one transfer, and its sum is there in the next cycle: each row has a unit, and no integer waits.
    drain : int
        Cycles in which the results of a reduction leave, where they come all at once, as those of `immediate`.
    edges : int
        Cycles in front of and behind the units.
    """

    lanes: int
    block: int | None
    term: int
    adder: int
    immediate: bool = False
    drain: int = 1
    edges: int = 0

    @property
    def spacing(self):
        """Least cycles between the ends of two blocks; of two reductions where only these take time.

        The lanes of a unit take turns, and a sum must be there before the next term of its lane; an immediate one has
        a term of every lane in every cycle, and waits for its drain.
        """
        return self.drain if self.immediate else max(self.lanes, self.adder + 1)

    @property
    def latency(self):
        """Cycles, without stalls, from a reduction's last transfer to its first result's `valid`.

        Registers on the way: the integers of a transfer, those of the block unless immediate, `term`, `adder`, the
        output; and `edges`.
        """
        return self.edges + 1 + (not self.immediate) + self.term + self.adder + 1

    @property
    def results(self):
        """Transfers of a reduction's results."""
        return self.drain if self.immediate else self.lanes

    def cycles(self, lengths):
        """Cycles from the first transfer to the last result, both included, without stalls.

        Parameters
        ----------
        lengths : sequence of int
            Transfers of each reduction, 1 or more.
        """
        return self._taken(lengths[0], sum(map(self._spaced, lengths)))

    def product_cycles(self, config, width, m, k, n):
        """`cycles` of the tiles of an (M, K) x (K, N) product, which go through back to back.

        Parameters
        ----------
        config
            `rows` and `cols` of a tile.
        width : int
            Steps along K in a transfer.
        m, k, n : int
            Shape, each 1 or more; M and N are padded to whole tiles, K to whole transfers.

        Raises
        ------
        ValueError
            For another shape.
        """
        for name, value in (("m", m), ("k", k), ("n", n)):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, not {value}")
        tiles = -(-m // config.rows) * -(-n // config.cols)
        length = -(-k // width)
        return self._taken(length, tiles * self._spaced(length))

    def _taken(self, first, spaced):
        """`cycles` of reductions whose `_spaced` add up to `spaced`; nothing stands in front of the first's block."""
        begun = min(first, self._whole(first))
        return begun - 1 + spaced - max(begun, self.spacing) + self.latency + self.results

    def _spaced(self, length):
        """Cycles of a reduction's blocks, each of which waits until the one before it is done."""
        whole, rest = divmod(length, self._whole(length))
        return whole * max(self._whole(length), self.spacing) + (max(rest, self.spacing) if rest else 0)

    def _whole(self, length):
        """Transfers of a whole block, where a reduction has so many."""
        return length if self.block is None or self.immediate else self.block
