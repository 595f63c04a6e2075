"""What a reduction tile, and a part of one, owe at their streams, to be proved."""

from functools import reduce
from operator import and_, or_

from amaranth import Module, Mux, Signal, Value
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from .formal import held

__all__ = ["ReductionContract"]


class ReductionContract(wiring.Component):
    """Streams' rules for any stalls on all of them and a reset at any time.

    - Results hold until ready if the operands do.
    - All operands' streams advance together.
    - Each reduction gives its transfers of results, the last one marked, and nothing else: none is lost or repeated.
    - With a result inside, one comes in time whatever `ready` was; without stalls, operands are taken in time.

    Parameters
    ----------
    core : Component
        With a config that has a `schedule`.
    inputs : str
        Names of its input streams, one letter each.
    room : int
        Transfers of results that are on the way at most.
    """

    def __init__(self, core, inputs, room):
        self.core, self.inputs, self.room = core, inputs, room
        self.results, self.latency = core.config.schedule.results, core.config.schedule.latency
        ports = {f"{name}_payload": In(len(Value.cast(getattr(core, name).payload))) for name in inputs}
        super().__init__(ports | {f"{name}_valid": In(1) for name in inputs} | {"o_ready": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        streams = [getattr(core, name) for name in self.inputs]
        for name, port in zip(self.inputs, streams, strict=True):
            m.d.comb += [
                port.valid.eq(getattr(self, f"{name}_valid")),
                Value.cast(port.payload).eq(getattr(self, f"{name}_payload")),
            ]
            held(m, port, Assume)
        m.d.comb += core.o.ready.eq(self.o_ready)
        held(m, core.o, Assert)

        offered = reduce(and_, (port.valid for port in streams))
        taken, given = streams[0].valid & streams[0].ready, core.o.valid & core.o.ready
        ends = taken & reduce(or_, (port.payload.last for port in streams))
        inside = Signal(range(self.room + self.results + 1))
        place = Signal(range(self.results))
        m.d.sync += inside.eq(inside + Mux(ends, self.results, 0) - given)
        with m.If(given):
            m.d.sync += place.eq(Mux(place == self.results - 1, 0, place + 1))
        m.d.comb += [
            *(Assert(taken == (port.valid & port.ready), "all operands are taken together") for port in streams[1:]),
            Assert(inside <= self.room, "no more results inside than there is room for"),
            Assert((inside != 0) | ~core.o.valid, "valid only with a result inside"),
            Assert(~core.o.valid | (core.o.payload.last == (place == self.results - 1)), "last marks the last result"),
            Cover(inside == self.room, "as many results inside as there is room for"),
        ]
        waited, refused = Signal(range(64)), Signal(range(64))
        m.d.sync += [
            waited.eq(Mux((inside != 0) & ~core.o.valid, waited + 1, 0)),
            refused.eq(Mux(offered & ~taken & core.o.ready, refused + 1, 0)),
        ]
        m.d.comb += [
            Assert(waited < self.latency, "a result inside comes in time, whatever ready was"),
            Assert(refused <= core.config.schedule.spacing, "operands are taken in time while nothing stalls"),
        ]
        return m
