"""When an SDRAM wants to be refreshed."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RefreshTimer"]


class RefreshTimer(wiring.Component):
    """Count intervals, and remember whether a refresh is owed.

    Parameters
    ----------
    interval : int
        Cycles, 2 or more.

    Attributes
    ----------
    tick : out 1
        High in the last cycle of each interval.
    due : out 1
        High from the end of an interval on until `done`.
    done : in 1
        The refresh has been given.
    """

    def __init__(self, interval):
        self.interval = interval
        super().__init__({"tick": Out(1), "due": Out(1), "done": In(1)})

    def elaborate(self, platform):
        m = Module()
        left = Signal(range(self.interval), init=self.interval - 1)
        m.d.sync += [left.eq(left - 1), self.tick.eq(left == 1)]
        with m.If(self.done):
            m.d.sync += self.due.eq(0)
        with m.If(self.tick):
            m.d.sync += [left.eq(self.interval - 1), self.due.eq(1)]
        return m
