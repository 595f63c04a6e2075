"""The HGQ tile's processing element: a fine group's integer dot product, in one cycle or in two.

Products are of sign and magnitude, which operands become once for a whole row or column of processing elements. There
is no `*` in it because DSP blocks are too few and too large for 4 bits.

In one cycle, all bits of the products, and of that number, are added in one tree of full adders. With sky130 cells and
16 products that takes 7,100 um2; 16 four-bit multipliers of two's complement in a tree of full adders 8,400; what Yosys
makes of a sum of products 15,100. In two cycles, sums of two products each are in registers between, and all sums are
carry chains: 8,900 um2, but half as many LUTs in an FPGA, where a tree is slow.
"""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ...golden.sevedo import hgq_tile as golden
from ...hdl.emission.replicate import Replicable
from ...hdl.integer.columns import add_columns
from ...hdl.reduction.signed_sum import signed_sum

__all__ = ["MAGNITUDE", "DotProduct", "magnitudes"]

#: A code as sign and magnitude.
MAGNITUDE = data.StructLayout({"magnitude": 3, "negative": 1})


def magnitudes(codes):
    """Codes in two's complement, -7 to 7, as `MAGNITUDE`s: a value of as many bits."""
    return Cat(Cat(Mux(code[-1], -code, code)[:3], code[-1]) for code in codes)


class DotProduct(Replicable):
    """Sum of `config.fine` products of magnitudes up to 7: `config.dot` cycles.

    Parameters
    ----------
    config : HgqTileConfig

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    x, w : in, arrays of `config.fine` of `MAGNITUDE`
    o : out, signed(`golden.sevedo.hgq_tile.dot_bits`)
    """

    def __init__(self, config):
        self.config = config
        operands = data.ArrayLayout(MAGNITUDE, config.fine)
        super().__init__({"en": In(1), "x": In(operands), "w": In(operands), "o": Out(signed(golden.dot_bits(config)))})

    def elaborate(self, platform):
        m = Module()
        lanes, cycles = self.config.fine, self.config.dot
        # Bit by bit, all products side by side.
        x, w = (
            [Cat(operand.magnitude[bit] for operand in operands) for bit in range(3)] for operands in (self.x, self.w)
        )
        negative = Signal(lanes)
        m.d.comb += negative.eq(Cat(a.negative ^ b.negative for a, b in zip(self.x, self.w, strict=True)))
        partials = [[x[bit] & w[at - bit] for bit in range(3) if 0 <= at - bit < 3] for at in range(5)]
        # Products are below 64: there is no carry out of the last bit.
        signed_sum(m, self.en, add_columns(m, "product", partials, 6), negative, self.o, cycles)
        return m
