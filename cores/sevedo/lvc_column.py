"""A column of the low-rank vector core: a dot product of `lanes` weights with digits of operands, and its int32 sum.

An operand of 4n bits is n digits in radix 16, all unsigned but the highest one, and a product is the sum of the digits'
products, each shifted by its place. A multiplier makes four of them, two digits by the two of a weight, in 5 x 5 bits
with sign: an 8-bit operand takes one pass, a 16-bit one two, the second shifted by 8 places. That SeVeDo's datapath is
made of bit slices is known from a review only; radix, widths and passes are our choice.
"""

from amaranth import Cat, Const, Module, Signal, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ...golden.sevedo.lvc_cycles import tree_stages
from ...hdl.emission.replicate import Replica, Replicable
from .lvc_layer import DIGIT

__all__ = ["Column", "SliceMultiplier"]


class SliceMultiplier(Replicable):
    """Combinational product of two digits and a sign by two digits, of four digit products.

    Attributes
    ----------
    a : in, signed(9)
    b : in, signed(8)
    o : out, signed(17)
    """

    def __init__(self):
        # No signed ports: Yosys reads slices of signed vectors at an instance's ports in a way that ends in an error.
        super().__init__({"a": In(2 * DIGIT + 1), "b": In(2 * DIGIT), "o": Out(4 * DIGIT + 1)})

    def elaborate(self, platform):
        m = Module()
        a = [Cat(self.a[:DIGIT], Const(0, 1)), self.a[DIGIT:]]
        b = [self.b[:DIGIT], self.b[DIGIT:]]
        digits = [[Signal(signed(2 * (DIGIT + 1)), name=f"digits_{i}_{j}") for j in range(2)] for i in range(2)]
        for i in range(2):
            for j in range(2):
                m.d.comb += digits[i][j].eq(_digit_product(a[i].as_signed(), b[j], signed=j == 1))
        # The lowest product has no sign and two digits, so the highest one goes beside it.
        ends = Cat(digits[0][0][: 2 * DIGIT], digits[1][1]).as_signed()
        m.d.comb += self.o.eq(ends + ((digits[0][1] + digits[1][0]) << DIGIT))
        return m


def _digit_product(a, b, signed):
    """A sum of rows, 5 x 5 bits with sign: a `*` of this size would take a whole DSP block on some parts.

    A digit's highest bit counts negative if it is `signed`, else its fifth bit is 0: either way that is four rows.
    """
    rows = [(a & bit.replicate(DIGIT + 1).as_signed()) << place for place, bit in enumerate(b)]
    return (rows[0] + rows[1]) + (rows[2] - rows[3] if signed else rows[2] + rows[3])


class Column(Replicable):
    """Dot products and their sum.

    Latency: `golden.sevedo.lvc_cycles.column_latency` cycles with `en` from the operands to `total`.

    Parameters
    ----------
    config : LvcConfig

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    operands : in, array of `config.operand_shape`
        From registers.
    shifts : in, array of unsigned(3)
        Of each lane's product, in pairs of places, 0 to 4; not where `config.multiplier` is blocks.
    weights : in, array of signed(8)
        From registers.
    add, first : in 1
        What comes out of the adder tree counts; the sum begins with it.
    total : out signed(32)
    """

    def __init__(self, config):
        self.config = config
        ports = {
            "en": In(1),
            "operands": In(data.ArrayLayout(config.operand_shape.width, config.lanes)),
            "weights": In(data.ArrayLayout(8, config.lanes)),
            "add": In(1),
            "first": In(1),
            "total": Out(32),
        }
        if config.sliced:
            ports["shifts"] = In(data.ArrayLayout(unsigned(3), config.lanes))
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        terms = []
        for lane in range(config.lanes):
            operand, weight = self.operands[lane], self.weights[lane]
            if config.sliced:
                terms.append(self._sliced(m, lane, operand, weight))
            else:
                product = Signal(signed(24), name=f"product_{lane}", reset_less=True)
                with m.If(self.en):
                    m.d.sync += product.eq(operand.as_signed() * weight.as_signed())
                terms.append(product)
        for level in range(tree_stages(config)):
            terms = self._level(m, f"level_{level}", terms)
        total = Signal(signed(32), reset_less=True)
        with m.If(self.en & self.add):
            with m.If(self.first):
                m.d.sync += total.eq(terms[0])
            with m.Else():
                m.d.sync += total.eq(total + terms[0])
        m.d.comb += self.total.eq(total)
        return m

    def _sliced(self, m, lane, operand, weight):
        """A product of digits, in a register, and then shifted."""
        multiplier = SliceMultiplier()
        m.submodules[f"slices_{lane}"] = Replica(multiplier)
        product = Signal(signed(17), name=f"product_{lane}", reset_less=True)
        shift = Signal(3, name=f"shift_{lane}", reset_less=True)
        m.d.comb += [multiplier.a.eq(operand), multiplier.b.eq(weight)]
        with m.If(self.en):
            m.d.sync += [product.eq(multiplier.o.as_signed()), shift.eq(self.shifts[lane])]
        # By up to 6 places, or by 8 and no further.
        few = Signal(signed(23), name=f"few_{lane}")
        shifted = Signal(signed(25), name=f"shifted_{lane}")
        with m.Switch(shift[:2]):
            for pairs in range(4):
                with m.Case(pairs):
                    m.d.comb += few.eq(product << 2 * pairs)
        with m.If(shift[2]):
            m.d.comb += shifted.eq(product << 8)
        with m.Else():
            m.d.comb += shifted.eq(few)
        return shifted

    def _level(self, m, name, terms):
        """Sums of four terms, or of the two that there are, in registers."""
        sums = []
        for index in range(0, len(terms), 4):
            group = terms[index : index + 4]
            shape = signed(len(group[0]) + (len(group) - 1).bit_length())
            total = Signal(shape, name=f"{name}_{index}", reset_less=True)
            with m.If(self.en):
                if len(group) == 4:
                    m.d.sync += total.eq((group[0] + group[1]) + (group[2] + group[3]))
                else:
                    m.d.sync += total.eq(group[0] + group[1])
            sums.append(total)
        return sums
