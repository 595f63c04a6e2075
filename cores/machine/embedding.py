"""Rows of the embedding's tables into the residual: positions, then words that are added to them."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.machine.parts import WIDE
from ...hdl.integer.rounding import saturate
from ...hdl.stream.credit import CreditQueue
from ...hdl.stream.pipeline import delayed
from .loader import token_layout
from .row_work import READ, place_shape, residual_layout, work_layout

__all__ = ["Embedding"]

#: Elements on their way from the memory, and in front of the residual.
_ELEMENTS = 16


class Embedding(wiring.Component):
    """Do a job `EMBED`, an element a cycle.

    A word's row begins when that of its position has been written.

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
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, work, lanes = self.config, self.work, self.config.lanes
        m.submodules.queue = queue = CreditQueue(self.o.payload.shape(), _ELEMENTS)
        connect(m, queue.o, flipped(self.o))
        token, start = Signal(range(config.tokens + 1), reset_less=True), Signal(self.place.shape(), reset_less=True)
        channel, left = (Signal(work.length.shape(), name=name, reset_less=True) for name in ("channel", "left"))
        own = Signal(range(lanes), reset_less=True)
        position = self.rows.payload.position
        # Place within a word: elements have 8 bits, or 16.
        index = channel[: len(Signal(range(lanes)))]
        word_ends = Mux(position, index[:-1].all(), index.all())
        row_ends, job_ends = left == 1, token == work.tokens
        m.d.comb += [self.token.eq(token), self.place.eq(start + channel)]
        with m.FSM(name="embedding"):
            with m.State("IDLE"):
                m.d.sync += [token.eq(0), start.eq(work.place)]
                with m.If(self.start):
                    m.next = "RECORD"
            with m.State("RECORD"):
                m.next = "SHOWN"
            with m.State("SHOWN"):
                m.next = "PLACE"
            with m.State("PLACE"):
                m.d.sync += [token.eq(token + 1), own.eq(self.record.lane)]
                with m.If(self.record.fresh & (token != 0)):
                    m.d.sync += start.eq(start + work.step)
                m.next = "WRITTEN"
            with m.State("WRITTEN"):
                m.d.sync += [channel.eq(0), left.eq(work.length)]
                with m.If(queue.idle):
                    m.next = "ELEMENTS"
            with m.State("ELEMENTS"):
                m.d.comb += [
                    self.read.eq(queue.room & self.rows.valid),
                    self.rows.ready.eq(queue.room & word_ends),
                ]
                with m.If(self.read):
                    m.d.sync += [channel.eq(channel + 1), left.eq(left - 1)]
                    with m.If(row_ends):
                        m.next = "WRITTEN"
                        with m.If(~position):
                            m.next = "RECORD"
                            with m.If(job_ends):
                                m.next = "IDLE"
        ends = row_ends & ~position & job_ends
        self._add(m, queue, index, {"place": self.place, "lane": own, "end": ends, "position": position})
        return m

    def _add(self, m, queue, index, asked):
        """What was there, and the element, which is a position's or is added: a register behind each step."""
        word = self.rows.payload.word
        layout = data.StructLayout(
            {**{name: value.shape() for name, value in asked.items()}, "valid": 1, "element": signed(WIDE)}
        )
        along = delayed(m, "read", layout, READ + 3)
        octet = word.word_select(index, 8).as_signed()
        pair = word.word_select(index[:-1], 16).as_signed()
        m.d.comb += [along[0][name].eq(value) for name, value in asked.items()]
        m.d.comb += [
            along[0].valid.eq(self.read),
            along[0].element.eq(Mux(self.rows.payload.position, pair, octet)),
            queue.begin.eq(self.read),
        ]
        shown, coded = along[READ], along[-1]
        present = Signal(signed(WIDE), reset_less=True)
        shifted = Signal((shown.element << self.work.shift).shape(), reset_less=True)
        total = Signal((present + shifted).shape(), reset_less=True)
        code = Signal(signed(WIDE), reset_less=True)
        m.d.sync += [
            present.eq(self.residual[shown.lane]),
            shifted.eq(shown.element << self.work.shift),
            total.eq(present + shifted),
            code.eq(Mux(along[-2].position, along[-2].element, saturate(total, signed(WIDE)))),
        ]
        m.d.comb += [
            queue.valid.eq(coded.valid),
            queue.payload.code.eq(code),
            *(queue.payload[name].eq(coded[name]) for name in ("place", "lane", "end")),
        ]
