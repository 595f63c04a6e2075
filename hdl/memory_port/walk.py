"""A request on its way through the addresses of a memory."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..stream.stages import SkidBuffer
from .port import LONGEST, request_layout

__all__ = ["Walk", "check_size"]


def check_size(address_bits, size):
    """Refuse a memory of `size` words at a port with addresses of so many bits.

    Raises
    ------
    ValueError
        Where the size is no power of two, less than 2, or more than there are addresses for.
    """
    if size < 2 or size & (size - 1) or size > 1 << address_bits:
        raise ValueError(f"memory must have a power of two from 2 to 2**{address_bits} words, not {size}")


class Walk(wiring.Component):
    """Take requests and give their words in pieces, without a gap between requests.

    A write is cut into single words, a read at each multiple of the longest piece. What is left behind a piece begins
    at such a multiple, so no sum depends on the piece's length.

    Parameters
    ----------
    address_bits : int
        Bits of an address of the port.
    size : int
        Words of the memory, as `check_size` has it. Addresses wrap there.
    longest : int
        Most words of a piece of a read, a power of two up to 256, less than `size`.

    Attributes
    ----------
    i : in stream of `request_layout(address_bits)`
        Its ready comes from a register.
    valid : out 1
        There is a piece.
    address : out
        Of its first word, in the memory.
    words : out
        Number of its words less 1.
    write : out 1
    step : in 1
        Go on to the next piece; only while `valid` is high.
    error : out 1
        High from the first request on that has words beyond the memory's end, until reset.
    """

    def __init__(self, address_bits, size, longest=1):
        self.size, self.longest = size, longest
        super().__init__(
            {
                "i": In(stream.Signature(request_layout(address_bits))),
                "valid": Out(1),
                "address": Out(range(size)),
                "words": Out(range(longest)),
                "write": Out(1),
                "step": In(1),
                "error": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.skid = skid = SkidBuffer(self.i.payload.shape())
        connect(m, flipped(self.i), skid.i)
        request = skid.o.payload
        left, last = Signal(range(LONGEST)), Signal()
        # Words behind the first one up to the next multiple.
        further = Signal(range(self.longest))
        behind = Signal(data.StructLayout({"address": range(self.size), "beyond": 1}))
        m.d.comb += [
            further.eq(Mux(self.write, 0, ~self.address[: len(further)])),
            last.eq(left <= further),
            self.words.eq(Mux(last, left, further)),
            behind.as_value().eq((self.address | further) + 1),
            skid.o.ready.eq(~self.valid | (self.step & last)),
        ]
        with m.If(self.step):
            m.d.sync += [self.address.eq(behind.address), left.eq(left - further - 1), self.valid.eq(~last)]
            with m.If(behind.beyond & ~last):
                m.d.sync += self.error.eq(1)
        with m.If(skid.o.valid & skid.o.ready):
            m.d.sync += [
                self.address.eq(request.address),
                left.eq(request.words),
                self.write.eq(request.write),
                self.valid.eq(1),
            ]
            with m.If(request.address >> len(self.address) != 0):
                m.d.sync += self.error.eq(1)
        return m
