"""The sum of a sentence's residual over its tokens, channel by channel."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.machine.parts import WIDE
from ...hdl.stream.credit import CreditQueue
from ...hdl.stream.pipeline import delayed
from .row_work import READ, place_shape, work_layout

__all__ = ["TokenSum"]

#: Sums on their way from the memory, and in front of the output.
_SUMS = 16


class TokenSum(wiring.Component):
    """Do a job `SUM`, a word a cycle.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    start, work : in
        As of `RowReader`.
    read, place, residual
        As of `RowReader`.
    o : out stream
        `value`, a channel's sum; `last` of the sentence.
    done : out 1
        The last sum goes in this cycle.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "work": In(work_layout(config)),
                "read": Out(1),
                "place": Out(place_shape(config)),
                "residual": In(data.ArrayLayout(signed(WIDE), config.lanes)),
                "o": Out(stream.Signature(data.StructLayout({"value": signed(32), "last": 1}))),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        work, lanes = self.work, self.config.lanes
        busy = Signal()
        m.submodules.queue = queue = CreditQueue(self.o.payload.shape(), _SUMS)
        connect(m, queue.o, flipped(self.o))
        channel, left = (
            Signal(s.shape(), name=n, reset_less=True) for s, n in ((work.length, "channel"), (work.tokens, "left"))
        )
        place = Signal(self.place.shape(), reset_less=True)
        group_last, channel_last = left <= lanes, channel + 1 == work.length
        m.d.comb += [
            self.read.eq(busy & queue.room),
            self.place.eq(place),
            queue.begin.eq(self.read & group_last),
            self.done.eq(self.o.valid & self.o.ready & self.o.payload.last),
        ]
        with m.If(self.start):
            m.d.sync += [busy.eq(1), channel.eq(0), left.eq(work.tokens), place.eq(work.place)]
        with m.Elif(self.read):
            m.d.sync += [left.eq(left - lanes), place.eq(place + work.step)]
            with m.If(group_last):
                m.d.sync += [left.eq(work.tokens), channel.eq(channel + 1), place.eq(work.place + channel + 1)]
                m.d.sync += busy.eq(~channel_last)

        self._add(m, queue, left, group_last, channel_last)
        return m

    def _add(self, m, queue, left, group_last, channel_last):
        """A word's lanes that have tokens, two by two, all, and with those of words before: a register behind each."""
        work, lanes = self.work, self.config.lanes
        flags = data.StructLayout({"valid": 1, "first": 1, "whole": 1, "last": 1})
        along = delayed(m, "read_step", flags, READ + 4)
        counts = delayed(m, "count", work.tokens.shape(), READ, reset_less=True)
        asked, adds, added = along[0], along[-2], along[-1]
        m.d.comb += [
            asked.valid.eq(self.read),
            asked.first.eq(left == work.tokens),
            asked.whole.eq(group_last),
            asked.last.eq(group_last & channel_last),
            counts[0].eq(left),
            queue.valid.eq(added.valid & added.whole),
            queue.payload.last.eq(added.last),
        ]
        kept = [Signal(signed(WIDE), name=f"kept_{lane}", reset_less=True) for lane in range(lanes)]
        pairs = [Signal(signed(WIDE + 1), name=f"pair_{pair}", reset_less=True) for pair in range(lanes // 2)]
        partial = Signal(signed(WIDE + 4), reset_less=True)
        held = Signal(signed(32), reset_less=True)
        m.d.sync += [
            *(kept[lane].eq(Mux(counts[READ] > lane, self.residual[lane], 0)) for lane in range(lanes)),
            *(pair.eq(low + high) for pair, low, high in zip(pairs, kept[::2], kept[1::2], strict=True)),
            partial.eq(sum(pairs[1:], pairs[0])),
        ]
        with m.If(adds.valid):
            m.d.sync += held.eq(Mux(adds.first, 0, held) + partial)
        m.d.comb += queue.payload.value.eq(held)
