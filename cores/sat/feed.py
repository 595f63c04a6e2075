"""The N:M tile's edge: groups of activations and slots of weights in, one step of the reduction a cycle out."""

from amaranth import Module, Mux, Signal
from amaranth.lib.wiring import In

from ...hdl.stream.stages import offered_last
from ..systolic.feed import StepFeed
from .slots import count_bits, final_slot

__all__ = ["GroupFeed"]


class GroupFeed(StepFeed):
    """`StepFeed` of slots: a group of activations stays at the edge until its last slot is taken.

    So the array sees operands of a step together, as the dense one does, and needs no control for groups.

    Attributes
    ----------
    slots : in
        Slots of a group, taken with the first one; all of them: dense.
    """

    def __init__(self, config):
        super().__init__(config, slots=In(count_bits(config.group)))

    def elaborate(self, platform):
        m = Module()
        group = self.config.group
        slot, held = Signal(range(group)), Signal(range(group), reset_less=True)
        final, closing = Signal(range(group), name="ending"), Signal()
        m.d.comb += [
            final.eq(Mux(slot == 0, final_slot(m, self.slots, group), held)),
            closing.eq(slot == final),
        ]
        # A reduction may end within a group, where K is not a multiple of it.
        last = offered_last(self.w) | (closing & offered_last(self.a))
        take, free = Signal(), Signal()
        m.d.comb += free.eq(self._frame(m, take, last))
        go = self.en & (free | ~last)
        m.d.comb += [
            take.eq(self.a.valid & self.w.valid & go),
            self.a.ready.eq(self.w.valid & go & (closing | self.w.payload.last)),
            self.w.ready.eq(self.a.valid & go),
        ]
        with m.If(take):
            m.d.sync += [slot.eq(Mux(closing | last, 0, slot + 1)), held.eq(final)]
        weights = Signal(self.weights.shape(), name="slots_of_step")
        for weight, lane in zip(weights, self.w.payload.lanes, strict=True):
            m.d.comb += [weight.index.eq(Mux(final == group - 1, slot, lane.index)), weight.value.eq(lane.value)]
        self._operands(m, take, self.a.payload.lanes, weights)
        return m
