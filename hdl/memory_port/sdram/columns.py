"""The burst under way: a command for its columns."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .bursts import burst_layout
from .hold import Hold
from .pins import Command, pins_of_address

__all__ = ["Columns"]


class Columns(wiring.Component):
    """Give READ for a burst and cut it off behind its last column, or WRITE for each column.

    What cuts a burst off is the READ of the next one, without a gap between their columns, or BURST TERMINATE.

    Parameters
    ----------
    timing : SdramTiming
    word_columns : int
        Columns of a word, a power of two from 2 on.
    delay : int
        Cycles by which columns come later than after the CAS latency.

    Attributes
    ----------
    burst : in `burst_layout(timing, word_columns)`
    start : in 1
        The burst's first column has its command in this cycle; only while `free` is high, for a write `quiet`, too.
    free : out 1
        No column is left of the burst before.
    quiet : out 1
        Nobody drives the data pins, nor did in the cycle before.
    silent : out 1
        There is no command but that of `start`.
    bank : out
        Of the burst that was started last.
    command : out `Command`
    ba, a : out
        Bank and column; 0 without a command.
    read, write : out 1
        A column is read, or written, in this cycle.
    """

    def __init__(self, timing, word_columns, delay=0):
        self.timing, self.word_columns, self.delay = timing, word_columns, delay
        bank = range(timing.banks)
        flags = {"free": Out(1, init=1)} | dict.fromkeys(("quiet", "silent", "read", "write"), Out(1))
        super().__init__(
            {
                "burst": In(burst_layout(timing, word_columns)),
                "start": In(1),
                "bank": Out(bank),
                "command": Out(Command, init=Command.NOP),
                "ba": Out(bank),
                "a": Out(pins_of_address(timing)),
            }
            | flags
        )

    def elaborate(self, platform):
        m = Module()
        burst, steps = self.burst, self.word_columns.bit_length() - 1
        first = burst.column << steps
        # Columns left behind that of this cycle; what the burst is; whether the chip gives columns without being asked.
        left = Signal(len(burst.words) + steps)
        reading, running, column = Signal(), Signal(), Signal(range(self.timing.columns))
        # The last column comes so late, and then there is a cycle in which the driver changes.
        m.submodules.pins = pins = Hold(running=self.timing.cas_latency + 1 + self.delay)
        writing, ends = ~self.free & ~reading, self.free & running
        m.d.comb += [
            pins.running.eq(running),
            self.quiet.eq(pins.free & ~running),
            self.silent.eq(~writing & ~ends),
            self.read.eq((self.start & ~burst.write) | (~self.free & reading)),
            self.write.eq((self.start & burst.write) | writing),
        ]
        with m.If(self.start):
            m.d.comb += [
                self.command.eq(Command.READ),
                self.ba.eq(burst.bank),
                self.a.eq(first),
            ]
            m.d.sync += [
                left.eq((burst.words << steps) | (self.word_columns - 1)),
                self.free.eq(0),
                reading.eq(~burst.write),
                running.eq(~burst.write),
                column.eq(first + 1),
                self.bank.eq(burst.bank),
            ]
        with m.Elif(ends):
            m.d.comb += self.command.eq(Command.BURST_TERMINATE)
            m.d.sync += running.eq(0)
        with m.Elif(writing):
            m.d.comb += [self.ba.eq(self.bank), self.a.eq(column)]
        with m.If(self.write):
            m.d.comb += self.command.eq(Command.WRITE)
        with m.If(~self.free):
            m.d.sync += [left.eq(left - 1), self.free.eq(left == 1), column.eq(column + 1)]
        return m
