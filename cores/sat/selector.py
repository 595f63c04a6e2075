"""The N:M selector: of every M neighbours keep the N largest magnitudes, while they stream by (SAT/BDWP, TCAD 2023).

SAT has such lanes, each a sorter of kept values ("SORE"), which is known from a reading note only. What is in them is
not public, and this is our own way to the same result. A lane counts for each element of its group how many others
come before it, those of a larger magnitude and the earlier ones of the same: its rank. Kept is what ranks below N. So
ranks, not elements, are sorted, the elements stay in order, and the kept ones leave in ascending order of their
indices.

Cost of a lane: M - 1 compares of magnitudes, M - 1 small counters, and each element twice.
"""

from dataclasses import dataclass

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.sat import selector as golden
from ...golden.systolic.tile import FORMATS
from ...hdl.emission.replicate import Replica
from ...hdl.stream.stages import Stage
from ..config import Config, param
from .lane import NmLane
from .slots import count_bits, final_slot, slots_layout

__all__ = ["NmSelector", "NmSelectorConfig"]


@dataclass(frozen=True)
class NmSelectorConfig(Config):
    """Parameters of `NmSelector`."""

    lanes: int = param(4, "rows of weights side by side", low=1, high=64)
    group: int = param(8, "M, weights of which N are kept", choices=golden.GROUPS)
    format: str = param("int8", "format of the weights", choices=("int8", "int4"))

    @property
    def bits(self):
        """Bits of a weight."""
        return FORMATS[self.format].bits

    @property
    def i_layout(self):
        """Payload of the input stream: `lanes`, the next weight of each row, row 0 lowest; `last`, the rows end."""
        return data.StructLayout({"lanes": data.ArrayLayout(signed(self.bits), self.lanes), "last": 1})

    @property
    def o_layout(self):
        """Payload of the output stream: `lanes`, a `value` and its `index` each; `last` slot of the rows.

        Row 0 is lowest; an index is the weight's place in its group, from 0.
        """
        return slots_layout(self.bits, self.group, self.lanes)


class NmSelector(wiring.Component):
    """Select the N largest magnitudes of each group of M.

    A group is M transfers, its slots N. Slots leave in ascending order of their indices, always N; of equal magnitudes
    the lower index is kept. While they leave, the next group comes in: one transfer per cycle, whatever N. With N = M
    all values pass. `last` ends the rows also within a group; what is missing counts as zeros, which take as many
    cycles as if they were there. The slots are what `nm-tile` takes on its stream `w`.

    Latency 4 cycles from a group's last transfer to its first slot; all slots are out M + N + 2 cycles after the first
    transfer at the earliest. No combinational path from `o.ready` to `i.ready`.

    Parameters
    ----------
    config : NmSelectorConfig

    Attributes
    ----------
    slots : in
        N of N:M, the slots of a group, 1 to M, taken with the group's first transfer. Of another number only the
        residue modulo M counts, and 0 is M (our choice).
    i : in stream of `config.i_layout`
        Weights, one of each row a transfer, in the rows' order: groups one after the other.
    o : out stream of `config.o_layout`
        Slots, one of each row a transfer: groups in order, in each ascending indices. Equal to
        `golden.sat.sparse.select`.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "slots": In(count_bits(config.group)),
                "i": In(stream.Signature(config.i_layout)),
                "o": Out(stream.Signature(config.o_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        group = self.config.group
        m.submodules.egress = Replica(egress := Stage(self.config.o_layout))
        connect(m, egress.o, flipped(self.o))

        # Slots that are still to go after the one that is shown; `swap` takes over the group that is complete.
        busy, left = Signal(), Signal(range(group), reset_less=True)
        complete, swap, free = Signal(), Signal(), Signal()
        step = busy & egress.i.ready
        m.d.comb += [swap.eq(complete & (~busy | (step & (left == 0)))), free.eq(~complete | swap)]

        # The input's register: an element, or a zero for one that is missing.
        filling, place = Signal(), Signal(range(group))
        take, room, full, ends = Signal(), Signal(), Signal(), Signal()
        limit, last = Signal(range(group), reset_less=True), Signal(reset_less=True)
        m.d.comb += [
            room.eq(free | ~full),
            self.i.ready.eq(room & ~filling),
            take.eq(room & (self.i.valid | filling)),
            ends.eq(place == group - 1),
        ]
        with m.If(room):
            m.d.sync += full.eq(take)
        marked = Signal()  # the rows end with this element or have ended before it
        m.d.comb += marked.eq(filling | self.i.payload.last)
        closing = Signal(reset_less=True)
        with m.If(take):
            m.d.sync += [place.eq(place + 1), filling.eq(marked & ~ends), closing.eq(ends), last.eq(marked)]
            with m.If(place == 0):
                m.d.sync += limit.eq(final_slot(m, self.slots, group))

        # The elements of its group before the one in the register, a one for each.
        earlier = Signal(group - 1)
        # One cycle later: of the group that is complete.
        counted, kept, kept_last = Signal(), Signal(range(group), reset_less=True), Signal(reset_less=True)
        enter = full & free
        with m.If(free):
            m.d.sync += [counted.eq(full), complete.eq(full & closing)]
        with m.If(enter):
            m.d.sync += [earlier.eq(Mux(closing, 0, Cat(1, earlier))), kept.eq(limit), kept_last.eq(last)]

        shown_last = Signal(reset_less=True)
        with m.If(swap):
            m.d.sync += [busy.eq(1), left.eq(kept), shown_last.eq(kept_last)]
        with m.Elif(step):
            m.d.sync += [busy.eq(left != 0), left.eq(left - 1)]
        m.d.comb += [egress.i.valid.eq(busy), egress.i.payload.last.eq(shown_last & (left == 0))]

        for index, (weight, slot) in enumerate(zip(self.i.payload.lanes, egress.i.payload.lanes, strict=True)):
            m.submodules[f"lane_{index}"] = Replica(lane := NmLane(self.config))
            m.d.comb += [
                lane.take.eq(take),
                lane.weight.eq(Mux(filling, 0, weight)),
                lane.enter.eq(enter),
                lane.earlier.eq(earlier),
                lane.count.eq(counted & free),
                lane.limit.eq(kept),
                lane.swap.eq(swap),
                lane.step.eq(step),
                slot.eq(lane.slot),
            ]
        return m
