"""Counters of a pass: what the machine's units did, cycle by cycle."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...golden.machine.jobs import COUNTERS

__all__ = ["Counters"]


class Counters(wiring.Component):
    """Count while a pass is under way, then tell.

    Attributes
    ----------
    running : in 1
        A pass is under way.
    events : in
        For each of `golden.machine.jobs.COUNTERS`, whether it counts in this cycle, but for the last one of a pass.
    ended : in 1
        The pass is done: nothing counts any more, and the counters go out.
    quiet : in 1
        They are forgotten instead.
    last : out 1
        The last one is offered.
    told : out 1
        It goes in this cycle, or they are forgotten.
    o : out stream of 32 bits
        The counters in their order.
    """

    def __init__(self):
        super().__init__(
            {
                "running": In(1),
                "events": In(len(COUNTERS)),
                "ended": In(1),
                "quiet": In(1),
                "last": Out(1),
                "told": Out(1),
                "o": Out(stream.Signature(32)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        counters = [Signal(32, name=name) for name in COUNTERS]
        place = Signal(range(len(COUNTERS)))
        taken = self.o.valid & self.o.ready
        m.d.comb += [self.o.valid.eq(self.ended & ~self.quiet), self.last.eq(place == len(COUNTERS) - 1)]
        m.d.comb += self.told.eq((taken & self.last) | (self.ended & self.quiet))
        # A cycle later, so that a counter is not at the end of a unit's path.
        events = Signal(len(COUNTERS))
        m.d.sync += events.eq(self.events & self.running.replicate(len(COUNTERS)))
        with m.Switch(place):
            for index, counter in enumerate(counters):
                with m.Case(index):
                    m.d.comb += self.o.payload.eq(counter)
        with m.If(taken):
            m.d.sync += place.eq(Mux(self.last, 0, place + 1))
        with m.If(self.told):
            m.d.sync += [counter.eq(0) for counter in counters]
        with m.Elif(~self.ended):
            m.d.sync += [counter.eq(counter + event) for counter, event in zip(counters, events, strict=True)]
        return m
