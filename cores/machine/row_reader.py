"""Rows out of a memory whose words hold several of them: one lane of each word."""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.machine.parts import WIDE
from ...hdl.stream.credit import CreditQueue
from ...hdl.stream.pipeline import delayed, staged
from .loader import token_layout
from .row_work import READ, RowOperation, place_shape, row_layout, work_layout

__all__ = ["RowReader"]

#: Elements on their way from the memories, and in front of the unit.
_ELEMENTS = 16


class RowReader(wiring.Component):
    """Read the rows of a job `NORM` or `SOFTMAX`, an element a cycle.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    start : in 1
        Begin with the job that stands at `work`; not while one is under way.
    work : in, `work_layout`
        It holds still until all rows are read.
    token : out
        Which token is asked for.
    record : in of `token_layout`
        Of that token, two cycles later.
    read : out 1
        Read residual and logits at `place`.
    place : out
    residual, logits : in, words
        What was read, `READ` cycles later.
    begun, coded : out stream of `row_layout`
        Each row, before its first element; `coded` only of jobs with codes.
    o : out stream
        `element`, of the residual or a logit; `last` of the row.
    """

    def __init__(self, config):
        self.config = config
        lanes = config.lanes
        super().__init__(
            {
                "start": In(1),
                "work": In(work_layout(config)),
                "token": Out(range(config.tokens + 1)),
                "record": In(token_layout(config)),
                "read": Out(1),
                "place": Out(place_shape(config)),
                "residual": In(data.ArrayLayout(signed(WIDE), lanes)),
                "logits": In(data.ArrayLayout(signed(8), lanes)),
                "begun": Out(stream.Signature(row_layout(config))),
                "coded": Out(stream.Signature(row_layout(config))),
                "o": Out(stream.Signature(data.StructLayout({"element": signed(WIDE), "last": 1}))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, work = self.config, self.work
        norm = work.operation == RowOperation.NORM
        row = Signal(row_layout(config), reset_less=True)
        token = Signal(range(config.tokens + 1), reset_less=True)
        begun, coded = Signal(), Signal()
        left = Signal(work.length.shape(), reset_less=True)
        place = Signal(place_shape(config), reset_less=True)
        m.submodules.queue = queue = CreditQueue(self.o.payload.shape(), _ELEMENTS)
        # Which unit takes an element, and whether it can, is known late in the cycle.
        connect(m, staged(m, "out", queue.o), flipped(self.o))
        m.d.comb += [
            self.token.eq(token),
            self.begun.payload.eq(row),
            self.coded.payload.eq(row),
            self.place.eq(place),
        ]
        with m.FSM(name="rows"):
            with m.State("IDLE"):
                m.d.sync += [token.eq(0), row.place.eq(work.place), row.a.eq(work.base)]
                with m.If(self.start):
                    m.next = "RECORD"
            with m.State("RECORD"):
                m.next = "SHOWN"
            with m.State("SHOWN"):
                m.next = "PLACE"
            with m.State("PLACE"):
                # A group's tokens lie side by side; the next group's words lie behind theirs.
                lane = Mux(norm, self.record.lane, token[: len(row.lane)])
                fresh = Mux(norm, self.record.fresh, token[: len(row.lane)] == 0)
                m.d.sync += [row.lane.eq(lane), row.end.eq(token + 1 == work.tokens), token.eq(token + 1)]
                with m.If(fresh & (token != 0)):
                    m.d.sync += [row.place.eq(row.place + work.step), row.a.eq(row.a + work.stride)]
                m.next = "ROW"
            with m.State("ROW"):
                m.d.comb += [self.begun.valid.eq(~begun), self.coded.valid.eq(~coded & work.codes & norm)]
                m.d.sync += [begun.eq(begun | self.begun.ready), coded.eq(coded | self.coded.ready)]
                m.d.sync += [place.eq(row.place), left.eq(work.length)]
                with m.If((begun | self.begun.ready) & (coded | self.coded.ready | ~self.coded.valid)):
                    m.d.sync += [begun.eq(0), coded.eq(0)]
                    m.next = "ELEMENTS"
            with m.State("ELEMENTS"):
                m.d.comb += self.read.eq(queue.room)
                with m.If(queue.room):
                    m.d.sync += [place.eq(place + 1), left.eq(left - 1)]
                    with m.If(left == 1):
                        m.next = "RECORD"
                        with m.If(row.end):
                            m.next = "IDLE"
        self._elements(m, queue, norm, left == 1, row.lane)
        return m

    def _elements(self, m, queue, norm, last, lane):
        """Of each word that was read its lane, then what the job needs of both memories: a register behind each."""
        flags = data.StructLayout({"valid": 1, "last": 1, "lane": lane.shape()})
        along = delayed(m, "read_step", flags, READ + 1)
        asked, shown, kept = along[0], along[READ], along[-1]
        element, logit = Signal(signed(WIDE), reset_less=True), Signal(signed(8), reset_less=True)
        m.d.comb += [
            asked.valid.eq(self.read),
            asked.last.eq(last),
            asked.lane.eq(lane),
            queue.begin.eq(self.read),
            queue.valid.eq(kept.valid),
            queue.payload.last.eq(kept.last),
            queue.payload.element.eq(Mux(norm, element, logit)),
        ]
        m.d.sync += [element.eq(self.residual[shown.lane]), logit.eq(self.logits[shown.lane])]
