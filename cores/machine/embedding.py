"""Rows of the embedding's tables into the residual: positions, then words that are added to them."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...golden.machine.parts import WIDE
from ...hdl.integer.rounding import saturate
from .loader import token_layout
from .row_work import place_shape, residual_layout, work_layout

__all__ = ["Embedding"]


class Embedding(wiring.Component):
    """Do a job `EMBED`, an element a cycle.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    start, work, token, record : in
        As of `RowReader`.
    rows : in stream
        As of `Loader`: for each token the row of its position, then that of its word.
    read, place, residual
        As of `RowReader`.
    o : out stream of `residual_layout`
    done : out 1
        The last element is written in this cycle.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "work": In(work_layout(config)),
                "token": Out(range(config.tokens + 1)),
                "record": In(token_layout(config)),
                "rows": In(stream.Signature(data.StructLayout({"word": config.word, "position": 1}))),
                "read": Out(1),
                "place": Out(place_shape(config)),
                "residual": In(data.ArrayLayout(signed(WIDE), config.lanes)),
                "o": Out(stream.Signature(residual_layout(config))),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, work, lanes = self.config, self.work, self.config.lanes
        token, start = Signal(range(config.tokens + 1), reset_less=True), Signal(self.place.shape(), reset_less=True)
        channel, moves, last = Signal(work.length.shape(), reset_less=True), Signal(), Signal()
        own = Signal(range(lanes), reset_less=True)
        position = self.rows.payload.position
        # Place within a word: elements have 8 bits, or 16.
        index = channel[: len(Signal(range(lanes)))]
        word_ends = Mux(position, index[:-1].all(), index.all())
        row_ends = channel + 1 == work.length
        m.d.comb += [self.token.eq(token), self.place.eq(start + channel)]
        with m.FSM(name="embedding"):
            with m.State("IDLE"):
                m.d.sync += [token.eq(0), start.eq(work.place), channel.eq(0)]
                with m.If(self.start):
                    m.next = "RECORD"
            with m.State("RECORD"):
                m.next = "PLACE"
            with m.State("PLACE"):
                m.d.sync += [token.eq(token + 1), own.eq(self.record.lane)]
                with m.If(self.record.fresh & (token != 0)):
                    m.d.sync += start.eq(start + work.step)
                m.next = "ELEMENTS"
            with m.State("ELEMENTS"):
                m.d.comb += [
                    self.read.eq(moves & self.rows.valid),
                    self.rows.ready.eq(moves & word_ends),
                    last.eq(row_ends & ~position & (token == work.tokens)),
                ]
                with m.If(self.read):
                    m.d.sync += channel.eq(Mux(row_ends, 0, channel + 1))
                    with m.If(row_ends & ~position):
                        m.next = "RECORD"
                        with m.If(token == work.tokens):
                            m.next = "IDLE"
        self._add(m, moves, last, index, own)
        return m

    def _add(self, m, moves, last, index, own):
        """Behind the memory: what was there, and the element, which is a position's or is added."""
        word = self.rows.payload.word
        octet = word.word_select(index, 8).as_signed()
        pair = word.word_select(index[:-1], 16).as_signed()
        element, out, valid, ends = Signal(signed(WIDE)), self.o.payload, Signal(), Signal(reset_less=True)
        place, lane = (
            Signal.like(signal, name=name, reset_less=True)
            for signal, name in ((out.place, "to"), (out.lane, "to_lane"))
        )
        position = Signal(reset_less=True)
        total = self.residual[lane] + (element << self.work.shift)
        m.d.comb += [
            moves.eq(self.o.ready | ~valid),
            self.o.valid.eq(valid),
            out.place.eq(place),
            out.lane.eq(lane),
            out.code.eq(Mux(position, element, saturate(total, signed(WIDE)))),
            self.done.eq(valid & self.o.ready & ends),
        ]
        with m.If(moves):
            m.d.sync += [
                valid.eq(self.read),
                ends.eq(last),
                place.eq(self.place),
                lane.eq(own),
                position.eq(self.rows.payload.position),
                element.eq(Mux(self.rows.payload.position, pair, octet)),
            ]
