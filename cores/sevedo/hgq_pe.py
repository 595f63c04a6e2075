"""The HGQ tile's processing element: a fine group's integer dot product, in one cycle or in two.

Products are of sign and magnitude, which operands become once for a whole row or column of processing elements. A
negative product is inverted instead of negated; what that lacks, one for each of them, is the number of negative
products. There is no `*` in it because DSP blocks are too few and too large for 4 bits.

In one cycle, all bits of the products, and of that number, are added in one tree of full adders. With sky130 cells and
16 products that takes 7,100 um2; 16 four-bit multipliers of two's complement in a tree of full adders 8,400; what Yosys
makes of a sum of products 15,100. In two cycles, sums of two products each are in registers between, and all sums are
carry chains: 8,900 um2, but half as many LUTs in an FPGA, where a tree is slow.
"""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ...golden.sevedo import hgq_tile as golden
from ...hdl.emission.replicate import Replicable
from ...hdl.floating.formats import stage
from ...hdl.integer.columns import add_columns

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
        products = [bit ^ negative for bit in add_columns(m, "product", partials, 6)]
        # An inverted product is 63 - product: 64 too much, and one too little.
        count = Signal(range(lanes + 1))
        m.d.comb += count.eq(Cat(add_columns(m, "negatives", [[negative]], len(count), together=True)))
        dot = Signal.like(self.o, name="dot", reset_less=True)
        with m.If(self.en):
            m.d.sync += dot.eq((self._tree if cycles == 1 else self._chains)(m, products, count))
        m.d.comb += self.o.eq(dot)
        return m

    def _tree(self, m, products, count):
        """The sum in one tree of full adders."""
        width = len(self.o)
        columns = [[bit] for bit in products] + [[] for _ in range(width - 6)]
        for at, bit in enumerate(count):
            columns[at].append(bit)
        for at in range(6, width):
            columns[at].append(~count[at - 6] if at - 6 < len(count) else Const(1, 1))
        columns[6].append(Const(1, 1))
        return Cat(add_columns(m, "total", columns, width, together=True))

    def _chains(self, m, products, count):
        """The sum by carry chains, behind a register for each sum of two products."""
        pairs = _pairs(m, "pair", [Cat(bit[lane] for bit in products) for lane in range(len(products[0]))])
        numbers = [stage(m, f"pair_{index}", self.en, taken=pair).taken for index, pair in enumerate(pairs)]
        negatives = stage(m, "negatives", self.en, taken=count).taken
        while len(numbers) > 1:
            numbers = _pairs(m, f"total_of_{len(numbers)}", numbers)
        return numbers[0] + negatives - (negatives << 6)


def _pairs(m, name, numbers):
    """Sums of two unsigned numbers each, and the last one itself where their number is odd."""
    sums = []
    for index, (a, b) in enumerate(zip(numbers[::2], numbers[1::2], strict=False)):
        sums.append(Signal(max(len(a), len(b)) + 1, name=f"{name}_{index}"))
        m.d.comb += sums[-1].eq(a + b)
    return sums + numbers[2 * len(sums) :]
