"""Control of the SeVeDo core: walking in blocks, and two banks of a memory that fill and empty in turn."""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Banks", "Blocks"]


class Blocks(wiring.Component):
    """Cut a number of things into blocks, of which the last one may be short.

    Parameters
    ----------
    size : int
        Things in a block.
    shape : ShapeLike
        Of their number, 1 or more.

    Attributes
    ----------
    total : in, `shape`
        Holds still from `start` on.
    start : in 1
        Begin anew, from the next cycle on.
    next : in 1
        Go to the next block; behind the last one comes the first one again.
    last : out
        Number of the block's last thing, from 0 on.
    ending : out 1
        The block is the last one.
    """

    def __init__(self, size, shape):
        self.size = size
        super().__init__(
            {
                "total": In(shape),
                "start": In(1),
                "next": In(1),
                "last": Out(range(max(size, 2))),
                "ending": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        left = Signal.like(self.total, reset_less=True)
        m.d.comb += [
            self.ending.eq(left <= self.size),
            self.last.eq(Mux(self.ending, (left - 1)[: len(self.last)], self.size - 1)),
        ]
        with m.If(self.start | (self.next & self.ending)):
            m.d.sync += left.eq(self.total)
        with m.Elif(self.next):
            m.d.sync += left.eq(left - self.size)
        return m


class Banks(wiring.Component):
    """Which of two banks is written and which one is read; each in turn.

    Attributes
    ----------
    fill, free : in 1
        The bank that is written is complete; the one that is read is not needed any more, its last read is in this
        cycle.
    writable, readable : out 1
        Whether there is one; from registers.
    write, read : out 1
        Which one it is.
    """

    def __init__(self):
        ports = dict.fromkeys(("fill", "free"), In(1))
        super().__init__(ports | dict.fromkeys(("writable", "readable", "write", "read"), Out(1)))

    def elaborate(self, platform):
        m = Module()
        used = Signal(range(3))
        m.d.comb += [self.writable.eq(~used[1]), self.readable.eq(used != 0)]
        m.d.sync += [
            used.eq(used + self.fill - self.free),
            self.write.eq(self.write ^ self.fill),
            self.read.eq(self.read ^ self.free),
        ]
        return m
