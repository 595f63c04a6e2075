"""From bursts to a command in each cycle."""

from amaranth import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from .bursts import burst_layout
from .columns import Columns
from .pins import Command, pins_of_address
from .rows import Rows

__all__ = ["Scheduler"]


class Scheduler(wiring.Component):
    """Commands for bursts, for refresh and for the beginning, so that every time between two commands is kept.

    The row of a burst is opened while the one before has columns left; so consecutive pages, which lie in different
    banks, are read without a gap.

    Parameters
    ----------
    timing : SdramTiming
    word_columns : int
        Columns of a word, a power of two from 2 on.
    delay : int
        Cycles by which columns come later than after the CAS latency.

    Attributes
    ----------
    i : in stream of `burst_layout(timing, word_columns)`
        A burst is taken when it starts.
    room, loaded : in 1
        As of `Rows`: that nothing can hold a read or a write up.
    read, write : out 1
        The command for a column to be read, or written, is at the pins in the next cycle.
    command : out `Command`
    ba, a : out
        Registers: what is at the pins.
    mask : out 1
        A register: high from reset until the memory is initialized.
    """

    def __init__(self, timing, word_columns, delay=0):
        self.timing, self.word_columns, self.delay = timing, word_columns, delay
        super().__init__(
            {
                "i": In(stream.Signature(burst_layout(timing, word_columns))),
                "command": Out(Command, init=Command.NOP),
                "ba": Out(range(timing.banks)),
                "a": Out(pins_of_address(timing)),
                "mask": Out(1, init=1),
            }
            | dict.fromkeys(("room", "loaded"), In(1))
            | dict.fromkeys(("read", "write"), Out(1))
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.rows = rows = Rows(self.timing, self.word_columns)
        m.submodules.columns = columns = Columns(self.timing, self.word_columns, self.delay)
        connect(m, flipped(self.i), rows.i)
        m.d.comb += [
            columns.start.eq(rows.start),
            columns.burst.eq(self.i.payload),
            *(getattr(rows, name).eq(getattr(columns, name)) for name in ("free", "quiet", "silent", "bank", "write")),
            rows.room.eq(self.room),
            rows.loaded.eq(self.loaded),
            self.read.eq(columns.read),
            self.write.eq(columns.write),
        ]
        m.d.sync += [
            # One of both gives a command at most; the other one gives NOP, all ones, and zeros.
            self.command.eq(rows.command.as_value() & columns.command.as_value()),
            self.ba.eq(rows.ba | columns.ba),
            self.a.eq(rows.a | columns.a),
            self.mask.eq(rows.starting),
        ]
        return m
