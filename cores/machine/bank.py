"""A memory whose words come out of registers: what a block RAM shows is late in its cycle."""

from amaranth import Const, Module

from ...hdl.primitives.portable import RegisteredMemory
from ...hdl.stream.pipeline import delayed

__all__ = ["Bank", "pieces"]

#: Words of a piece: fewer are not cut any further, and no block RAM has more.
_LEAST, _MOST = 1024, 8192


def pieces(depth):
    """Cut a memory so that each piece fills block RAMs from their first word to their last one.

    A memory of another depth than a power of two becomes rows of block RAMs, and between them and the first register
    comes a multiplexer. Here each piece has its own register in front of it.

    Parameters
    ----------
    depth : int
        Words, 1 or more.

    Returns
    -------
    list of range
        Addresses of each piece, in order: the largest powers of two, from 1,024 to 8,192, and what is left.
    """
    cut, start = [], 0
    while left := depth - start:
        size = left if left <= _LEAST else min(1 << (left.bit_length() - 1), _MOST)
        cut.append(range(start, start + size))
        start += size
    return cut


class Bank(RegisteredMemory):
    """A `RegisteredMemory` of any depth, in pieces.

    Parameters
    ----------
    bits, parts : int
        As of `RegisteredMemory`.
    depth : int
        Words.
    family : Family
        Of FPGAs, as of `hdl.primitives`.
    """

    def __init__(self, bits, parts, depth, family):
        self.family = family
        super().__init__(bits, parts, depth)

    def elaborate(self, platform):
        m = Module()
        cut = pieces(self.depth)
        asked = delayed(m, "asked", range(len(cut)), self.latency, reset_less=True)
        for number, addresses in enumerate(cut):
            piece = self.family.memory(self.bits, self.parts, len(addresses))
            m.submodules[f"piece_{number}"] = piece
            written = self._within(self.place, addresses)
            m.d.comb += [
                piece.place.eq(self.place),
                piece.word.eq(self.word),
                piece.en.eq(self.en & written.replicate(self.parts)),
                piece.address.eq(self.address),
            ]
            with m.If(self._within(self.address, addresses)):
                m.d.comb += asked[0].eq(number)
            with m.If(asked[-1] == number):
                m.d.comb += self.o.eq(piece.o)
        return m

    def _within(self, address, addresses):
        """Whether an address is in a piece: it begins at a multiple of its size, and the bits above those tell."""
        own = (len(addresses) - 1).bit_length()
        return address[own:] == addresses.start >> own if own < len(address) else Const(1)
