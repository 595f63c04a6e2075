"""The processing element of the systolic tile: products of a block's operands, and the adders of their sums.

A product of plain integers goes through `hdl/multiply.py` alone. One of decoded outlier-victim pairs is OliVe's (ISCA
2023, Section 4.4 and Figure 8): `<ea, ia> x <eb, ib> = (ia * ib) << (ea + eb)`. The 8-bit mode splits each operand as
`<e, x> = <e + 4, high> + <e, low>`, the low nibble unsigned, makes the four products on four 4-bit multipliers with
their shifters, and adds them.
"""

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..hdl.accumulate import Ecp5GatedAdder, GatedAdder
from ..hdl.bits import shift_left
from ..hdl.multiply import Ecp5OuterProduct, Ice40OuterProduct, OuterProduct
from ..hdl.replicate import Replica

__all__ = [
    "CONTROL",
    "WEIGHT_CONTROL",
    "Accumulator",
    "ExponentTerms",
    "IntegerTerms",
    "PartialSum",
    "QuadTerms",
    "moving_layout",
    "operand_shape",
    "result_layout",
    "settled",
    "terms",
]

#: What the accumulators of a block do: `keep` adds to the sum instead of starting a new one; `load` takes the sums into
#: the drain; `move` moves the drain by one row, or loads it.
CONTROL = data.StructLayout({"keep": 1, "load": 1, "move": 1})

#: What a row does with its stationary weights: `load` takes spare ones; `swap` puts the spare ones into use, or zeros
#: unless they are `full`.
WEIGHT_CONTROL = data.StructLayout({"load": 1, "swap": 1, "full": 1})


def operand_shape(operand):
    """An operand inside the array: an integer, or the integer and the exponent of a decoded pair's value."""
    if not operand.pairs:
        return signed(operand.bits)
    # The paper draws 4 bits of exponent; 4-bit pairs need 3.
    largest = max(int(table[0].max()) for table in (operand.pairs.normal_table, operand.pairs.outlier_table))
    return data.StructLayout({"integer": signed(operand.bits), "exponent": largest.bit_length()})


def result_layout(config):
    """One result in the drain: `sum`, and `overflow` where the config asks for it."""
    return data.StructLayout({"sum": signed(config.accumulator)} | ({"overflow": 1} if config.overflow else {}))


def moving_layout(config):
    """What moves down a column: a result in the drain, or weight-stationary a partial sum.

    A partial sum has one bit more than a result where the config asks for flags. Where it differs from the result's
    sign, the last addition left the range; it is looked at a cycle later, so that nothing follows the carry chain but
    registers.
    """
    if not config.weight_stationary:
        return result_layout(config)
    return data.StructLayout(result_layout(config).members | {"sum": signed(config.accumulator + config.overflow)})


def settled(moving, config):
    """The result that moves, as of `result_layout`: a dict of its fields."""
    fields = {"sum": moving.sum[: config.accumulator].as_signed()}
    if config.overflow:
        left = moving.sum[-1] ^ moving.sum[config.accumulator - 1]
        fields["overflow"] = moving.overflow | left
    return fields


def terms(config, rows, cols):
    """The component that makes the terms of a block of `rows` x `cols` results."""
    a, _ = config.operands
    if not a.pairs:
        return IntegerTerms(config, rows, cols)
    return ExponentTerms(config, rows, cols) if a.bits == 4 else QuadTerms(config, rows, cols)


class _Terms(wiring.Component):
    """Terms of a block of results: one from each row's and each column's operand.

    Parameters
    ----------
    config : SystolicConfig
    rows, cols : int
        Size of the block.

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    a : in, array of `rows` of `config.a_shape`
    w : in, array of `cols` of `config.w_shape`
        Operands.
    terms : out, array of `rows` arrays of `cols` of signed(`config.term_bits`)
        Their products, `config.term_latency` enabled cycles later.
    """

    def __init__(self, config, rows, cols):
        self.config = (config, rows, cols)
        super().__init__(
            {
                "en": In(1),
                "a": In(data.ArrayLayout(config.a_shape, rows)),
                "w": In(data.ArrayLayout(config.w_shape, cols)),
                "terms": Out(data.ArrayLayout(data.ArrayLayout(signed(config.term_bits), cols), rows)),
            }
        )


class IntegerTerms(_Terms):
    """Products of two's complement integers."""

    def elaborate(self, platform):
        m = Module()
        config, block_rows, block_cols = self.config
        kind, height, width = _multiplier(config)
        for row in range(0, block_rows, height):
            for col in range(0, block_cols, width):
                rows, cols = min(height, block_rows - row), min(width, block_cols - col)
                multiplier = kind(config.a_shape, config.w_shape, rows, cols, config.term_bits)
                m.submodules[f"multiply_{row}_{col}"] = Replica(multiplier)
                m.d.comb += multiplier.en.eq(self.en)
                m.d.comb += [multiplier.a[i].eq(self.a[row + i]) for i in range(rows)]
                m.d.comb += [multiplier.b[j].eq(self.w[col + j]) for j in range(cols)]
                for i in range(rows):
                    m.d.comb += [self.terms[row + i][col + j].eq(multiplier.products[i][j]) for j in range(cols)]
        return m


def _multiplier(config):
    """Class of the multipliers, and rows and columns that one of them serves."""
    if config.target == "ice40":
        return Ice40OuterProduct, 1, 2
    return (Ecp5OuterProduct if config.target == "ecp5" else OuterProduct), 1, 1


class ExponentTerms(_Terms):
    """Products of decoded 4-bit pairs: exponent adder, multiplier, shifter, each in each processing element."""

    def elaborate(self, platform):
        m = Module()
        config, rows, cols = self.config
        for row in range(rows):
            for col in range(cols):
                a, w = self.a[row], self.w[col]
                term = ShiftedProduct(a.integer.shape(), w.integer.shape(), len(a.exponent), config.term_bits)
                m.submodules[f"term_{row}_{col}"] = Replica(term)
                m.d.comb += [
                    term.en.eq(self.en),
                    Cat(term.a, term.a_exponent).eq(Cat(a.integer, a.exponent)),
                    Cat(term.b, term.b_exponent).eq(Cat(w.integer, w.exponent)),
                    self.terms[row][col].eq(term.term),
                ]
        return m


class QuadTerms(_Terms):
    """Products of decoded 8-bit pairs, each on four 4-bit multipliers with their shifters and one adder."""

    def elaborate(self, platform):
        m = Module()
        config, rows, cols = self.config
        for row in range(rows):
            for col in range(cols):
                a, w = self.a[row], self.w[col]
                parts = []
                for a_at, a_part in enumerate(_nibbles(a.integer)):
                    for w_at, w_part in enumerate(_nibbles(w.integer)):
                        term = ShiftedProduct(
                            a_part.shape(), w_part.shape(), len(a.exponent), config.term_bits, 4 * (a_at + w_at)
                        )
                        m.submodules[f"term_{row}_{col}_{a_at}{w_at}"] = Replica(term)
                        m.d.comb += [
                            term.en.eq(self.en),
                            Cat(term.a, term.a_exponent).eq(Cat(a_part, a.exponent)),
                            Cat(term.b, term.b_exponent).eq(Cat(w_part, w.exponent)),
                        ]
                        parts.append(term.term)
                total = Signal(signed(config.term_bits), name=f"total_{row}_{col}", reset_less=True)
                with m.If(self.en):
                    m.d.sync += total.eq((parts[0] + parts[1]) + (parts[2] + parts[3]))
                m.d.comb += self.terms[row][col].eq(total)
        return m


def _nibbles(integer):
    """Low nibble, unsigned, and high nibble, signed."""
    return integer[:4], integer[4:].as_signed()


class ShiftedProduct(wiring.Component):
    """`(a * b) << (a_exponent + b_exponent + offset)` in 3 cycles: operands, product, shift.

    Parameters
    ----------
    a_shape, b_shape : Shape
        Integers.
    exponent_bits : int
        Bits of either exponent.
    width : int
        Bits of the term; a larger one wraps.
    offset : int
        Constant that is added to the exponents.
    """

    def __init__(self, a_shape, b_shape, exponent_bits, width, offset=0):
        self.config = (a_shape, b_shape, exponent_bits, width, offset)
        self.offset = offset
        super().__init__(
            {
                "en": In(1),
                "a": In(a_shape),
                "b": In(b_shape),
                "a_exponent": In(exponent_bits),
                "b_exponent": In(exponent_bits),
                "term": Out(signed(width)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiply = multiply = OuterProduct(self.a.shape(), self.b.shape())
        width = len(self.term)
        shifts = [Signal(len(self.a_exponent) + 1, name=f"shift_{stage}", reset_less=True) for stage in range(2)]
        term = Signal(signed(width), name="term_q", reset_less=True)
        product = multiply.products[0][0]
        # The exponents' sum is registered beside the operands, then beside the product.
        offset = Cat(Const(0, self.offset), product)
        extended = offset.as_signed() if product.shape().signed else offset
        m.d.comb += [
            multiply.en.eq(self.en),
            multiply.a[0].eq(self.a),
            multiply.b[0].eq(self.b),
            self.term.eq(term),
        ]
        with m.If(self.en):
            m.d.sync += [
                shifts[0].eq(self.a_exponent + self.b_exponent),
                shifts[1].eq(shifts[0]),
                term.eq(shift_left(extended, shifts[1], width)),
            ]
        return m


class Accumulator(wiring.Component):
    """Accumulate the terms of one result, and take it down to the edge of the array when it is complete.

    Parameters
    ----------
    config : SystolicConfig

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    term : in, signed(`config.term_bits`)
        What to add.
    control : in, `CONTROL`
        For the sum and for the drain.
    above : in, `result_layout(config)`
        The drain's register in the row above.
    drain : out, `result_layout(config)`
        This row's register of the drain.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "en": In(1),
                "term": In(signed(config.term_bits)),
                "control": In(CONTROL),
                "above": In(result_layout(config)),
                "drain": Out(result_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        result = Signal(result_layout(config), reset_less=True)
        drain = Signal(result_layout(config), name="drain_q", reset_less=True)
        # One bit more than the sum has: where it differs from the sum's sign, the sum left its range. It is looked at a
        # cycle later, so that nothing follows the carry chain but registers.
        width = config.accumulator + config.overflow
        m.submodules.adder = Replica(adder := (Ecp5GatedAdder if config.target == "ecp5" else GatedAdder)(width))
        m.d.comb += [
            adder.a.eq(result.sum),
            adder.b.eq(self.term),
            adder.keep.eq(self.control.keep),
            self.drain.eq(drain),
        ]
        complete = Signal.like(result, name="complete")
        m.d.comb += complete.eq(result)
        with m.If(self.en):
            m.d.sync += result.sum.eq(adder.sum)
        if config.overflow:
            sign = Signal(reset_less=True)
            m.d.comb += complete.overflow.eq(result.overflow | (sign ^ result.sum[-1]))
            with m.If(self.en):
                m.d.sync += [sign.eq(adder.sum[-1]), result.overflow.eq(self.control.keep & complete.overflow)]
        with m.If(self.en & self.control.move):
            m.d.sync += drain.eq(Mux(self.control.load, complete, self.above))
        return m


class PartialSum(wiring.Component):
    """Add a term to the partial sum from the row above.

    Parameters
    ----------
    config : SystolicConfig

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    term : in, signed(`config.term_bits`)
        What to add.
    above, below : in, out, `moving_layout(config)`
        Sum without and, an enabled cycle later, with the term.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "en": In(1),
                "term": In(signed(config.term_bits)),
                "above": In(moving_layout(config)),
                "below": Out(moving_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        above = settled(self.above, self.config)
        result = Signal.like(self.below, name="result", reset_less=True)
        m.d.comb += self.below.eq(result)
        with m.If(self.en):
            m.d.sync += result.sum.eq(above["sum"] + self.term)
            if self.config.overflow:
                m.d.sync += result.overflow.eq(above["overflow"])
        return m
