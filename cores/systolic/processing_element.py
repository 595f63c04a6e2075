"""The processing element of the systolic tile: products of a block's operands, and the adders of their sums.

A product of plain integers goes through the multiplier of the configuration's family (`hdl/primitives`) alone. One of
decoded outlier-victim pairs is OliVe's (ISCA 2023, Section 4.4 and Figure 8):
`<ea, ia> x <eb, ib> = (ia * ib) << (ea + eb)`. The 8-bit mode splits each operand as
`<e, x> = <e + 4, high> + <e, low>`, makes the four products on four 4-bit multipliers with their shifters, and adds
them; that the low nibble is unsigned is derived. The paper's array switches between 4 and 8 bits at run time; ours has
the one mode that it was generated for (our choice).
"""

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ...hdl.emission.replicate import Replica, Replicable
from ...hdl.integer.bits import shift_left
from ...hdl.primitives.portable import OuterProduct
from ...hdl.stream.delay import Delay
from .product import latency, multiplier

__all__ = [
    "WEIGHT_CONTROL",
    "Accumulator",
    "Ecp5ExponentTerms",
    "ExponentTerms",
    "IntegerTerms",
    "PartialSum",
    "QuadTerms",
    "Terms",
    "carries",
    "control_layout",
    "moving_layout",
    "operand_shape",
    "result_layout",
    "settled",
    "terms",
]

#: What a row does with its stationary weights: `load` takes spare ones; `swap` puts the spare ones into use, or zeros
#: unless they are `full`.
WEIGHT_CONTROL = data.StructLayout({"load": 1, "swap": 1, "full": 1})


def control_layout(config):
    """What the accumulators of a block do.

    `keep` adds to the sum instead of starting a new one; `load` takes the sums into the drain; `move` moves the drain
    by one row, or loads it. Free-running, `add`: there is a term; else it is zero where there is none.
    """
    return data.StructLayout({"keep": 1, "load": 1, "move": 1} | ({"add": 1} if config.free_running else {}))


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


def carries(config):
    """Whether a term comes in two parts, the second one a carry."""
    a, w = config.operands
    if a.pairs:
        return a.bits == 4 and config.family.packs_magnitudes
    return config.family.has_carry(operand_shape(a), operand_shape(w))


def terms(config, rows, cols):
    """The component that makes the terms of a block of `rows` x `cols` results."""
    a, _ = config.operands
    if not a.pairs:
        return IntegerTerms(config, rows, cols)
    if a.bits == 8:
        return QuadTerms(config, rows, cols)
    return (Ecp5ExponentTerms if config.family.packs_magnitudes else ExponentTerms)(config, rows, cols)


class Terms(Replicable):
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
        Their products, `golden.systolic.tile.term_latency` enabled cycles later.
    carries : out, array of `rows` arrays of `cols` of 1
        Only where `carries(config)`: to be added to the terms.
    """

    def __init__(self, config, rows, cols):
        self.config, self.rows, self.cols = config, rows, cols
        ports = {
            "en": In(1),
            "a": In(data.ArrayLayout(config.a_shape, rows)),
            "w": In(data.ArrayLayout(config.w_shape, cols)),
            "terms": Out(data.ArrayLayout(data.ArrayLayout(signed(config.term_bits), cols), rows)),
        }
        if carries(config):
            ports["carries"] = Out(data.ArrayLayout(data.ArrayLayout(1, cols), rows))
        super().__init__(ports)


class IntegerTerms(Terms):
    """Products of two's complement integers."""

    def elaborate(self, platform):
        m = Module()
        config, block_rows, block_cols = self.config, self.rows, self.cols
        height, width = config.family.packing(config.a_shape, config.w_shape, block_rows, block_cols)
        for row in range(0, block_rows, height):
            for col in range(0, block_cols, width):
                rows, cols = min(height, block_rows - row), min(width, block_cols - col)
                block = multiplier(
                    config, config.family.multiplier, config.a_shape, config.w_shape, rows, cols, config.term_bits
                )
                m.submodules[f"multiply_{row}_{col}"] = Replica(block)
                m.d.comb += block.en.eq(self.en)
                m.d.comb += [block.a[i].eq(self.a[row + i]) for i in range(rows)]
                m.d.comb += [block.b[j].eq(self.w[col + j]) for j in range(cols)]
                for i in range(rows):
                    m.d.comb += [self.terms[row + i][col + j].eq(block.products[i][j]) for j in range(cols)]
                    if carries(config):
                        m.d.comb += [self.carries[row + i][col + j].eq(block.carries[i][j]) for j in range(cols)]
        return m


class ExponentTerms(Terms):
    """Products of decoded 4-bit pairs: exponent adder, multiplier, shifter, each in each processing element."""

    def elaborate(self, platform):
        m = Module()
        config, rows, cols = self.config, self.rows, self.cols
        for row in range(rows):
            for col in range(cols):
                a, w = self.a[row], self.w[col]
                term = ShiftedProduct(config, a.integer.shape(), w.integer.shape(), len(a.exponent))
                m.submodules[f"term_{row}_{col}"] = Replica(term)
                m.d.comb += [
                    term.en.eq(self.en),
                    Cat(term.a, term.a_exponent).eq(Cat(a.integer, a.exponent)),
                    Cat(term.b, term.b_exponent).eq(Cat(w.integer, w.exponent)),
                    self.terms[row][col].eq(term.term),
                ]
        return m


class Ecp5ExponentTerms(Terms):
    """`ExponentTerms` for a family whose blocks make four products of magnitudes, as an ECP5's MULT18X18D.

    No integer of a decoded 4-bit pair is -8, so the blocks multiply 3-bit magnitudes. A term that is negative leaves as
    its ones' complement, which costs no LUT behind the shifter, and a carry.
    """

    def elaborate(self, platform):
        m = Module()
        config, rows, cols = self.config, self.rows, self.cols
        block = multiplier(config, config.family.multiplier, unsigned(3), unsigned(3), rows, cols)
        m.submodules.multiply = Replica(block)
        m.d.comb += block.en.eq(self.en)
        sides = []
        for name, values, magnitudes in (("a", self.a, block.a), ("w", self.w, block.b)):
            sides.append([])
            for lane, value in enumerate(values):
                sign = Signal(name=f"{name}_sign_{lane}", reset_less=True)
                exponent = Signal.like(value.exponent, name=f"{name}_exponent_{lane}", reset_less=True)
                m.d.comb += magnitudes[lane].eq(Mux(value.integer < 0, -value.integer, value.integer))
                with m.If(self.en):
                    m.d.sync += [sign.eq(value.integer < 0), exponent.eq(value.exponent)]
                sides[-1].append((sign, exponent))
        for row, (a_sign, a_exponent) in enumerate(sides[0]):
            for col, (w_sign, w_exponent) in enumerate(sides[1]):
                shifter = SignedShift(len(block.products[0][0]), len(a_exponent), config.term_bits, latency(config) - 1)
                m.submodules[f"shift_{row}_{col}"] = Replica(shifter)
                m.d.comb += [
                    shifter.en.eq(self.en),
                    shifter.signs.eq(Cat(a_sign, w_sign)),
                    shifter.a_exponent.eq(a_exponent),
                    shifter.b_exponent.eq(w_exponent),
                    shifter.product.eq(block.products[row][col]),
                    self.terms[row][col].eq(shifter.term),
                    self.carries[row][col].eq(shifter.carry),
                ]
        return m


class SignedShift(Replicable):
    """`product << (a_exponent + b_exponent)` with a sign, as a term and a carry that is to be added.

    Parameters
    ----------
    product_bits : int
        Bits of the product, unsigned.
    exponent_bits : int
        Bits of either exponent.
    width : int
        Bits of the term.
    later : int
        Enabled cycles by which the product comes later than what belongs to it.

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    signs, a_exponent, b_exponent : in
        Signs and exponents of the operands.
    product : in
        Product of the magnitudes, so much later.
    term : out, signed(`width`)
    carry : out 1
        Another cycle later.
    """

    def __init__(self, product_bits, exponent_bits, width, later):
        self.later = later
        super().__init__(
            {
                "en": In(1),
                "signs": In(2),
                "a_exponent": In(exponent_bits),
                "b_exponent": In(exponent_bits),
                "product": In(product_bits),
                "term": Out(signed(width)),
                "carry": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width = len(self.term)
        term, carry = (
            Signal.like(port, name=f"{name}_q", reset_less=True)
            for name, port in (("term", self.term), ("carry", self.carry))
        )
        m.d.comb += [self.term.eq(term), self.carry.eq(carry)]
        shift = _held(m, self.en, "shift", self.a_exponent + self.b_exponent, self.later)
        sign = _held(m, self.en, "sign", self.signs.xor(), self.later)
        with m.If(self.en):
            m.d.sync += [
                term.eq(shift_left(self.product, shift, width) ^ sign.replicate(width)),
                carry.eq(sign),
            ]
        return m


class QuadTerms(Terms):
    """Products of decoded 8-bit pairs, each on four 4-bit multipliers with their shifters and one adder."""

    def elaborate(self, platform):
        m = Module()
        config, rows, cols = self.config, self.rows, self.cols
        for row in range(rows):
            for col in range(cols):
                a, w = self.a[row], self.w[col]
                parts = []
                for a_at, a_part in enumerate(_nibbles(a.integer)):
                    for w_at, w_part in enumerate(_nibbles(w.integer)):
                        term = ShiftedProduct(
                            config, a_part.shape(), w_part.shape(), len(a.exponent), 4 * (a_at + w_at)
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


class ShiftedProduct(Replicable):
    """`(a * b) << (a_exponent + b_exponent + offset)`: operands, product, and in a cycle more the shift.

    Parameters
    ----------
    config : SystolicConfig
        Its `term_bits` are those of the term; a larger one wraps.
    a_shape, b_shape : Shape
        Integers.
    exponent_bits : int
        Bits of either exponent.
    offset : int
        Constant that is added to the exponents.
    """

    def __init__(self, config, a_shape, b_shape, exponent_bits, offset=0):
        self.config, self.offset = config, offset
        super().__init__(
            {
                "en": In(1),
                "a": In(a_shape),
                "b": In(b_shape),
                "a_exponent": In(exponent_bits),
                "b_exponent": In(exponent_bits),
                "term": Out(signed(config.term_bits)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiply = multiply = multiplier(self.config, OuterProduct, self.a.shape(), self.b.shape())
        width = len(self.term)
        term = Signal(signed(width), name="term_q", reset_less=True)
        product = multiply.products[0][0]
        offset = Cat(Const(0, self.offset), product)
        extended = offset.as_signed() if product.shape().signed else offset
        m.d.comb += [
            multiply.en.eq(self.en),
            multiply.a[0].eq(self.a),
            multiply.b[0].eq(self.b),
            self.term.eq(term),
        ]
        # The exponents' sum is registered beside the operands, then beside the product.
        shift = _held(m, self.en, "shift", self.a_exponent + self.b_exponent, latency(self.config))
        with m.If(self.en):
            m.d.sync += term.eq(shift_left(extended, shift, width))
        return m


def _held(m, en, name, value, steps):
    """A value of `steps` enabled cycles before."""
    m.submodules[name] = Replica(delay := Delay(len(value), steps))
    m.d.comb += [delay.en.eq(en), delay.i.eq(value)]
    return delay.o


def _add(m, config, base, port, keep):
    """`base` if `keep`, plus the term and the carry of `port`; a bit wider than a result where flags are asked for."""
    width = config.accumulator + config.overflow
    m.submodules.adder = Replica(adder := config.family.adder(width, carries(config)))
    m.d.comb += [adder.a.eq(base), adder.b.eq(port.term), adder.keep.eq(keep)]
    if carries(config):
        m.d.comb += adder.carry.eq(port.carry)
    return adder.sum


class Accumulator(Replicable):
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
    carry : in 1
        Only where `carries(config)`: 1 to add.
    control : in, `control_layout(config)`
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
                "control": In(control_layout(config)),
                "above": In(result_layout(config)),
                "drain": Out(result_layout(config)),
                **({"carry": In(1)} if carries(config) else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        result = Signal(result_layout(config), reset_less=True)
        drain = Signal(result_layout(config), name="drain_q", reset_less=True)
        # One bit more than the sum has: where it differs from the sum's sign, the sum left its range. It is looked at a
        # cycle later, so that nothing follows the carry chain but registers.
        total = _add(m, config, result.sum, self, self.control.keep)
        m.d.comb += self.drain.eq(drain)
        complete = Signal.like(result, name="complete")
        m.d.comb += complete.eq(result)
        adds = self.control.add if config.free_running else self.en
        with m.If(adds):
            m.d.sync += result.sum.eq(total)
        if config.overflow:
            sign = Signal(reset_less=True)
            m.d.comb += complete.overflow.eq(result.overflow | (sign ^ result.sum[-1]))
            with m.If(adds):
                m.d.sync += [sign.eq(total[-1]), result.overflow.eq(self.control.keep & complete.overflow)]
        with m.If(self.en & self.control.move):
            m.d.sync += drain.eq(Mux(self.control.load, complete, self.above))
        return m


class PartialSum(Replicable):
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
    carry : in 1
        Only where `carries(config)`: 1 to add.
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
                **({"carry": In(1)} if carries(config) else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        above = settled(self.above, self.config)
        result = Signal.like(self.below, name="result", reset_less=True)
        m.d.comb += self.below.eq(result)
        total = _add(m, self.config, above["sum"], self, Const(1))
        with m.If(self.en):
            m.d.sync += result.sum.eq(total)
            if self.config.overflow:
                m.d.sync += result.overflow.eq(above["overflow"])
        return m
