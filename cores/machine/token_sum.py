"""The sum of a sentence's residual over its tokens, channel by channel."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...golden.machine.parts import WIDE
from .row_work import place_shape, work_layout

__all__ = ["TokenSum"]


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
        busy, moves = Signal(), Signal()
        channel, left = (
            Signal(s.shape(), name=n, reset_less=True) for s, n in ((work.length, "channel"), (work.tokens, "left"))
        )
        place = Signal(self.place.shape(), reset_less=True)
        group_last, channel_last = left <= lanes, channel + 1 == work.length
        m.d.comb += [self.read.eq(busy & moves), self.place.eq(place)]
        with m.If(self.start):
            m.d.sync += [busy.eq(1), channel.eq(0), left.eq(work.tokens), place.eq(work.place)]
        with m.Elif(self.read):
            m.d.sync += [left.eq(left - lanes), place.eq(place + work.step)]
            with m.If(group_last):
                m.d.sync += [left.eq(work.tokens), channel.eq(channel + 1), place.eq(work.place + channel + 1)]
                m.d.sync += busy.eq(~channel_last)

        # Of the word that was read: how many lanes have tokens, and what it ends. Then of the sum of its lanes.
        flags = data.StructLayout({"valid": 1, "first": 1, "whole": 1, "last": 1})
        word, summed = Signal(flags), Signal(flags)
        count = Signal(work.tokens.shape(), reset_less=True)
        partial = Signal(signed(WIDE + 4), reset_less=True)
        held, valid = Signal(signed(32), reset_less=True), Signal()
        last = Signal(reset_less=True)
        total = Mux(summed.first, 0, held) + partial
        m.d.comb += [
            moves.eq(self.o.ready | ~valid),
            self.o.valid.eq(valid),
            self.o.payload.value.eq(held),
            self.o.payload.last.eq(last),
            self.done.eq(valid & self.o.ready & last),
        ]
        kept = [Mux(count > lane, self.residual[lane], 0) for lane in range(lanes)]
        with m.If(moves):
            m.d.sync += [
                word.valid.eq(self.read),
                word.first.eq(left == work.tokens),
                word.whole.eq(group_last),
                word.last.eq(group_last & channel_last),
                count.eq(left),
                summed.eq(word),
                partial.eq(sum(kept[1:], kept[0])),
                valid.eq(summed.valid & summed.whole),
                last.eq(summed.last),
            ]
            with m.If(summed.valid):
                m.d.sync += held.eq(total)
        return m
