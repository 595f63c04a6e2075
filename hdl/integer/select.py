"""Choose one of several words by its index: the multiplexer.

`Select` is the portable description, a binary tree. Of a bit of eight words Yosys makes about six LUT4 on ECP5, as its
LUT5 to LUT7 have the same few inputs in all their halves. The slice's own multiplexers choose between LUT4 of any
inputs: `Ecp5Select` names them and takes four. Same ports.
"""

from amaranth import Const, Instance, Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ..emission.replicate import Replicable
from ..simulated import simulated

__all__ = ["Ecp5Select", "Select"]


class Select(Replicable):
    """Combinational `o = i[index]`.

    Parameters
    ----------
    width : int
        Bits of a word.
    count : int
        Number of words, a power of two from 2 on.

    Attributes
    ----------
    i : in, array of `count` of `width` bits
    index : in
    o : out, `width` bits
    """

    def __init__(self, width, count):
        self.width, self.count = width, count
        super().__init__({"i": In(data.ArrayLayout(width, count)), "index": In(range(count)), "o": Out(width)})

    def elaborate(self, platform):
        m = Module()
        words = list(self.i)
        for bit in self.index:
            words = [Mux(bit, high, low) for low, high in zip(words[::2], words[1::2], strict=True)]
        m.d.comb += self.o.eq(words[0])
        return m


class Ecp5Select(Select):
    """`Select` of 4 or 8 words in LUT4, PFUMX and L6MUX21 cells: half as many LUT4 a bit as there are words."""

    _MUX2 = 0xCACA  # C ? B : A

    def elaborate(self, platform):
        if self.count not in (4, 8):
            raise ValueError(f"cells choose one of 4 or 8 words, not of {self.count}")
        if simulated(platform):
            return super().elaborate(platform)
        m = Module()
        for bit in range(self.width):
            fields = [word[bit] for word in self.i]
            pairs = [
                self._cell(
                    m,
                    "LUT4",
                    f"pair_{bit}_{at}",
                    "Z",
                    p_INIT=Const(self._MUX2, 16),
                    i_A=low,
                    i_B=high,
                    i_C=self.index[0],
                    i_D=Const(0),
                )
                for at, (low, high) in enumerate(zip(fields[::2], fields[1::2], strict=True))
            ]
            fours = [
                self._cell(m, "PFUMX", f"four_{bit}_{at}", "Z", i_BLUT=low, i_ALUT=high, i_C0=self.index[1])
                for at, (low, high) in enumerate(zip(pairs[::2], pairs[1::2], strict=True))
            ]
            if len(fours) == 2:
                low, high = fours
                fours = [self._cell(m, "L6MUX21", f"eight_{bit}", "Z", i_D0=low, i_D1=high, i_SD=self.index[2])]
            m.d.comb += self.o[bit].eq(fours[0])
        return m

    def _cell(self, m, kind, name, output, **ports):
        """Output of a new cell."""
        given = Signal(name=name)
        m.submodules[f"{name}_cell"] = Instance(kind, **ports, **{f"o_{output}": given})
        return given
