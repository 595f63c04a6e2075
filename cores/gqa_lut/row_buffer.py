"""A queue of the elements of rows, which waits until a value of each row has come.

It is what a second pass over a row needs: while the elements of one row leave, those of the next one come in, and the
memory holds little more than one row of the greatest length. The values of four rows wait, that of the row that leaves
included: equal rows follow each other without gaps, and so do others until three wait behind a longer one.
"""

from amaranth import Module
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.gqa_lut.row_cycles import ROWS, SPARE
from ...hdl.stream.credit import CreditQueue
from ...hdl.stream.pipeline import queued, registered, skidded, staged
from ...hdl.stream.stages import Stage

__all__ = ["FreeRowBuffer", "RowBuffer"]

#: Of a row buffer behind free-running registers: words beyond the longest row, for more of them; rows on their way.
_SPARE, _ROWS = 32, 8


class RowBuffer(wiring.Component):
    """Join elements with a value of their row.

    Latency 3 cycles from an element, 2 from a row's value. One element per cycle.

    Parameters
    ----------
    element, row : Layout
        Shapes of an element and of a row's value.
    length : int
        Of the longest row; the memory has `golden.gqa_lut.row_cycles.SPARE` words more.

    Attributes
    ----------
    i : in stream
        `element`, and `last` of the row.
    rows : in stream of `row`
        One for each row.
    o : out stream
        `element`, `row`, `last`.
    """

    def __init__(self, element, row, length):
        self.length = length
        layout = {"element": element, "last": 1}
        super().__init__(
            {
                "i": In(stream.Signature(data.StructLayout(layout))),
                "rows": In(stream.Signature(row)),
                "o": Out(stream.Signature(data.StructLayout({"element": element, "row": row, "last": 1}))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        elements = queued(m, "elements", flipped(self.i), self.length + SPARE)
        # A block RAM is slow: its output goes into a register and nowhere else.
        shown = registered(m, "shown", elements, element=elements.payload.element, last=elements.payload.last)
        # Whether it goes on is known late: the memory sees it from a register.
        offered = skidded(m, "offered", shown)
        source = flipped(self.rows)
        for index in range(ROWS):
            m.submodules[f"rows_{index}"] = stage = Stage(self.rows.payload.shape())
            connect(m, source, stage.i)
            source = stage.o
        first, taken = offered.payload, self.o.valid & self.o.ready
        m.d.comb += [
            self.o.valid.eq(offered.valid & source.valid),
            self.o.payload.element.eq(first.element),
            self.o.payload.last.eq(first.last),
            self.o.payload.row.eq(source.payload),
            offered.ready.eq(taken),
            source.ready.eq(taken & first.last),
        ]
        return m


class FreeRowBuffer(wiring.Component):
    """`RowBuffer` behind registers that never hold: who begins an element or a row's value has a place for it here.

    Parameters
    ----------
    element, row : Layout
        Shapes of an element and of a row's value.
    length : int
        Of the longest row.

    Attributes
    ----------
    room : out 1
        An element and a row's value may begin in this cycle; from registers.
    begin, begin_row : in 1
        One does.
    element : in
        `valid`; `payload` with `element` and `last`, as they come out of the registers.
    row : in
        `valid`; `payload`, one for each row.
    o : out stream
        As of `RowBuffer`.
    """

    def __init__(self, element, row, length):
        self.length = length
        self._element = data.StructLayout({"element": element, "last": 1})
        self._row = row
        super().__init__(
            {
                "room": Out(1),
                "begin": In(1),
                "begin_row": In(1),
                "element": In(data.StructLayout({"valid": 1, "payload": self._element})),
                "row": In(data.StructLayout({"valid": 1, "payload": row})),
                "o": Out(stream.Signature(data.StructLayout({"element": element, "row": row, "last": 1}))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.elements = elements = CreditQueue(self._element, self.length + _SPARE)
        m.submodules.rows = rows = CreditQueue(self._row, _ROWS)
        for queue, source, begin in ((elements, self.element, self.begin), (rows, self.row, self.begin_row)):
            m.d.comb += [queue.begin.eq(begin), queue.valid.eq(source.valid), queue.payload.eq(source.payload)]
        # A block RAM is slow: nothing looks at an element in the cycle in which it comes out.
        shown = staged(m, "shown", elements.o)
        first, taken = shown.payload, self.o.valid & self.o.ready
        m.d.comb += [
            self.room.eq(elements.room & rows.room),
            self.o.valid.eq(shown.valid & rows.o.valid),
            self.o.payload.element.eq(first.element),
            self.o.payload.last.eq(first.last),
            self.o.payload.row.eq(rows.o.payload),
            shown.ready.eq(taken),
            rows.o.ready.eq(taken & first.last),
        ]
        return m
