"""A memory in block RAM behind the port: for tests, and for what is small."""

from amaranth import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..stream.stages import Stage
from .port import MemoryPort
from .walk import Walk, check_size

__all__ = ["BlockRam"]


class BlockRam(wiring.Component):
    """A memory of some words, one word a cycle in both directions, without a gap between requests.

    One address serves reads and writes, which go one after the other: one port of the memory is enough. The first word
    of a read is there 3 cycles after its request was taken.

    Parameters
    ----------
    address_bits : int
        Bits of an address of the port.
    width : int
        Bits of a word.
    depth : int
        Words of the memory, a power of two from 2 on to `2**address_bits`.
    init : sequence of int
        First words of the memory; the others are 0.

    Attributes
    ----------
    port : in `MemoryPort(address_bits, width)`
    error : out 1
        High from the first request on that has words beyond the memory's end, until reset. Addresses wrap there.

    Raises
    ------
    ValueError
        For a depth that is not allowed.
    """

    def __init__(self, address_bits, width, depth, init=()):
        check_size(address_bits, depth)
        self.address_bits, self.width, self.depth, self.init = address_bits, width, depth, tuple(init)
        super().__init__({"port": In(MemoryPort(address_bits, width)), "error": Out(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.walk = walk = Walk(self.address_bits, self.depth)
        m.submodules.words = words = memory.Memory(shape=self.width, depth=self.depth, init=self.init)
        store, load = words.write_port(), words.read_port()
        # What leaves a block RAM is late in its cycle.
        m.submodules.register = register = Stage(self.width)
        room, fetched = Signal(), Signal()
        connect(m, register.o, flipped(self.port.read))
        connect(m, walk.i, flipped(self.port.request))
        m.d.comb += [
            self.error.eq(walk.error),
            walk.step.eq(store.en | load.en),
            room.eq(~fetched | register.i.ready),
            self.port.write.ready.eq(walk.valid & walk.write),
            store.en.eq(self.port.write.valid & self.port.write.ready),
            store.addr.eq(walk.address),
            store.data.eq(self.port.write.payload),
            load.en.eq(walk.valid & ~walk.write & room),
            load.addr.eq(walk.address),
            register.i.payload.eq(load.data),
            register.i.valid.eq(fetched),
        ]
        with m.If(room):
            m.d.sync += fetched.eq(load.en)
        return m
