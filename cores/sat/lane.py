"""One lane of the N:M selector: magnitudes, ranks, and the kept elements in order."""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ...hdl.emission.replicate import Replicable
from ...hdl.integer.popcount import popcount
from .slots import slot_layout

__all__ = ["NmLane"]


class NmLane(Replicable):
    """Rank the elements of a group as they come, then give those with the lowest ranks.

    Three steps, each at most once a cycle: an element is taken into a register, with its magnitude; it enters the
    group and is compared with the elements before it; the compares are counted. A group is complete when its last
    element has entered; its ranks are used in the cycle in which they are counted.

    Attributes
    ----------
    take : in 1
        Load the register with `weight`.
    weight : in
    enter : in 1
        The element in the register enters its group.
    earlier : in, M - 1 bits
        Which of the last M - 1 elements that have entered are in the same group, the latest one first.
    count : in 1
        Count the compares of the element that has entered last.
    limit : in
        N - 1 of the group that is complete.
    swap : in 1
        Take it over.
    step : in 1
        The slot is taken; show the next one.
    slot : out, `slot_layout`
        Kept element of the lowest index that has not been taken.
    """

    def __init__(self, config):
        self.config = config
        group = config.group
        super().__init__(
            {
                "take": In(1),
                "weight": In(signed(config.bits)),
                "enter": In(1),
                "earlier": In(group - 1),
                "count": In(1),
                "limit": In(range(group)),
                "swap": In(1),
                "step": In(1),
                "slot": Out(slot_layout(config.bits, group)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits, group = self.config.bits, self.config.group
        # The magnitude of the least weight needs all the bits, without sign.
        value, magnitude = Signal(signed(bits), reset_less=True), Signal(bits, reset_less=True)
        with m.If(self.take):
            m.d.sync += [value.eq(self.weight), magnitude.eq(Mux(self.weight < 0, -self.weight, self.weight))]

        # The latest element first.
        values = Signal(data.ArrayLayout(signed(bits), group), reset_less=True)
        magnitudes = Signal(data.ArrayLayout(bits, group - 1), reset_less=True)
        # Where it comes before the older element, or that one is of another group: not counted in its own rank.
        wins = Signal(group - 1, reset_less=True)
        with m.If(self.enter):
            m.d.sync += [
                values.eq(Cat(value, values)),
                magnitudes.eq(Cat(magnitude, magnitudes)),
                wins.eq(Cat(magnitude > older for older in magnitudes) | ~self.earlier),
            ]

        # Of the elements before the latest one, the latest first.
        ranks = Signal(data.ArrayLayout(range(group), group - 1), reset_less=True)
        counted = Signal(data.ArrayLayout(range(group), group))
        m.d.comb += [
            counted[0].eq(popcount(m, "losses", ~wins)),
            *(counted[index + 1].eq(rank + wins[index]) for index, rank in enumerate(ranks)),
        ]
        with m.If(self.count):
            m.d.sync += ranks.eq(counted)

        # In order of the indices.
        shown = Signal(data.ArrayLayout(bits, group), reset_less=True)
        mask, lowest = Signal(group, reset_less=True), Signal(group)
        m.d.comb += lowest.eq(mask & ~(mask - 1)[:group])
        with m.If(self.swap):
            m.d.sync += [
                shown.eq(Cat(reversed(list(values)))),
                mask.eq(Cat(rank <= self.limit for rank in reversed(list(counted)))),
            ]
        with m.Elif(self.step):
            m.d.sync += mask.eq(mask & ~lowest)
        indices = [Const(index, range(group)) for index in range(group)]
        m.d.comb += [
            self.slot.index.eq(_union([Mux(own, index, 0) for own, index in zip(lowest, indices, strict=True)])),
            self.slot.value.eq(_union([Mux(own, word, 0) for own, word in zip(lowest, shown, strict=True)])),
        ]
        return m


def _union(words):
    """All words ORed, in pairs."""
    while len(words) > 1:
        words = [a | b for a, b in zip(words[::2], words[1::2], strict=True)]
    return words[0]
