"""The Anda tile's processing elements: dot products in three kinds of arithmetic.

`SerialPe` takes one mantissa plane a cycle (HPCA 2025, Figure 11). Instead of negating weights it inverts those of
negative activations, and adds the number of these, which is the same for all columns; and instead of adding signed
weights it counts the ones of each of the four weight planes and adds four counts. With sky130 cells, groups of 64 and
M up to 16 that takes 12,400 um2; XOR and AND for the two gates of a weight bit 13,100; a tree of 4-bit adders 15,400.

`ParallelPe` multiplies whole mantissas, `config.lanes` of them a cycle (FIGNA, HPCA 2024).

Both have the dot product `golden.SUMMED` cycles after the group's last transfer, and hold it for one cycle at least.

`Fp16Pe` multiplies FP16 activations with weights that were dequantized to FP16, and adds the products in FP32: what a
GPU does, and the FP-FP baseline of the paper.
"""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ...golden.anda import tile as golden
from ...hdl.emission.replicate import Replica, Replicable
from ...hdl.floating.add import FloatAdder
from ...hdl.floating.formats import FP16, FP32
from ...hdl.floating.multiply import FloatMultiplier
from ...hdl.integer.popcount import popcount

__all__ = ["WEIGHT_BITS", "Fp16Pe", "ParallelPe", "ParallelRow", "SerialPe", "SerialRow"]

#: Bit planes of a weight.
WEIGHT_BITS = 4

# Bits that are counted, products that are added, in one cycle.
_BITS, _PRODUCTS = 16, 4


def _count(m, name, bits):
    """Number of ones, two cycles later: in the first one those of each `_BITS` bits, in the second one all."""
    parts = []
    for index, low in enumerate(range(0, len(bits), _BITS)):
        ones = popcount(m, f"{name}_{index}", bits[low : low + _BITS])
        parts.append(Signal.like(ones, name=f"{name}_part_{index}", reset_less=True))
        m.d.sync += parts[-1].eq(ones)
    count = Signal(range(len(bits) + 1), name=f"{name}_count", reset_less=True)
    m.d.sync += count.eq(sum(parts[1:], parts[0]))
    return count


def _of_the_last(m, value, like, head, ended):
    """What came with `head`, for the group that `ended`: its dot product is there before the next one has ended."""
    opened, last = (Signal.like(like, name=name, reset_less=True) for name in ("shift_opened", "shift_q"))
    with m.If(head):
        m.d.sync += opened.eq(value)
    with m.If(ended):
        m.d.sync += last.eq(opened)
    return last


class SerialRow(Replicable):
    """What the processing elements of a row share: registers for signs and a plane, and the exponent.

    Attributes
    ----------
    head : in 1
        `signs` and `exponent` are those of a new group.
    signs, plane : in, `config.group` bits
    exponent : in, 5 bits
    mantissa : in
        Bits of a mantissa of the group.
    ended : in 1
        The last plane of a group came one cycle before.
    positive, negative : out, `config.group` bits
        Ones of the plane by the signs of their elements, one cycle later.
    negatives : out
        Number of those, three cycles later.
    shift : out, `config.exponent_shape`
        `exponent - mantissa` of the group that ended last.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "head": In(1),
                "signs": In(config.group),
                "plane": In(config.group),
                "exponent": In(5),
                "mantissa": In(config.max_mantissa.bit_length()),
                "ended": In(1),
                "positive": Out(config.group),
                "negative": Out(config.group),
                "negatives": Out(range(config.group + 1)),
                "shift": Out(config.exponent_shape),
            }
        )

    def elaborate(self, platform):
        m = Module()
        signs, plane = (Signal(self.config.group, name=name, reset_less=True) for name in ("signs_q", "plane_q"))
        m.d.sync += plane.eq(self.plane)
        with m.If(self.head):
            m.d.sync += signs.eq(self.signs)
        m.d.comb += [
            self.positive.eq(plane & ~signs),
            self.negative.eq(plane & signs),
            self.negatives.eq(_count(m, "negative", self.negative)),
            self.shift.eq(_of_the_last(m, self.exponent - self.mantissa, self.shift, self.head, self.ended)),
        ]
        return m


class SerialPe(Replicable):
    """`dot = 2 * dot + sum of the plane's signed weights`, most significant plane first.

    Widths for groups of 64 and weights of 4 bits: counts 0 to 64, their sum -512 to 512, the dot product
    `max_mantissa + 10` bits.

    Attributes
    ----------
    weights : in, array of 4 of `config.group` bits
        Weight planes, sign first.
    positive, negative : in, `config.group` bits
    negatives : in
        As of `SerialRow`.
    step, fresh : in 1
        The plane that came to the row four cycles before counts; it is the first one of its group.
    dot : out, `config.dot_shape`
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "weights": In(data.ArrayLayout(config.group, WEIGHT_BITS)),
                "positive": In(config.group),
                "negative": In(config.group),
                "negatives": In(range(config.group + 1)),
                "step": In(1),
                "fresh": In(1),
                "dot": Out(config.dot_shape),
            }
        )

    def elaborate(self, platform):
        m = Module()
        counts = []
        for bit, weights in enumerate(self.weights):
            gated = Signal(self.config.group, name=f"gated_{bit}")
            m.d.comb += gated.eq((weights & self.positive) | (~weights & self.negative))
            counts.append(_count(m, f"ones_{bit}", gated))
        limit = 8 * self.config.group
        total = Signal(range(-limit, limit + 1), reset_less=True)
        dot = Signal(self.config.dot_shape, name="dot_q", reset_less=True)
        # The sign plane is the first one, and weighs -8.
        low, high = (counts[3] + (counts[2] << 1)), (counts[1] << 2) - (counts[0] << 3)
        m.d.sync += total.eq(low + high + self.negatives)
        before = Mux(self.fresh, 0, dot)
        with m.If(self.step):
            m.d.sync += dot.eq((before << 1) + total)
        m.d.comb += self.dot.eq(dot)
        return m


class ParallelRow(Replicable):
    """What the processing elements of a row share: mantissas in two's complement, and the exponent.

    Attributes
    ----------
    head : in 1
        `exponent` is that of a new group.
    signs : in, `config.lanes` bits
    mantissas : in, array of `config.lanes` of 13 bits
    exponent : in, 5 bits
    ended : in 1
        The last mantissas of a group came one cycle before.
    lanes : out, array of `config.lanes` of signed(14)
        One cycle later.
    shift : out, `config.exponent_shape`
        Exponent of the group that ended last.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "head": In(1),
                "signs": In(config.lanes),
                "mantissas": In(data.ArrayLayout(golden.ALIGNED, config.lanes)),
                "exponent": In(5),
                "ended": In(1),
                "lanes": Out(config.lanes_layout),
                "shift": Out(config.exponent_shape),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes = Signal(self.lanes.shape(), name="lanes_q", reset_less=True)
        for lane, sign, mantissa in zip(lanes, self.signs, self.mantissas, strict=True):
            m.d.sync += lane.eq(Mux(sign, -mantissa, mantissa))
        shift = _of_the_last(m, self.exponent, self.shift, self.head, self.ended)
        m.d.comb += [self.lanes.eq(lanes), self.shift.eq(shift)]
        return m


class ParallelPe(Replicable):
    """`dot = dot + sum of lanes' products`.

    Widths: 17 bits a product, two more for four of them, the dot product 23 bits for groups of 64.

    Attributes
    ----------
    weights : in, array of `config.lanes` of signed(4)
    lanes : in, array of `config.lanes` of signed(14)
    step, fresh : in 1
        The operands that came three cycles before count; they are the first ones of their group.
    dot : out, `config.dot_shape`
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "weights": In(config.weights_layout),
                "lanes": In(config.lanes_layout),
                "step": In(1),
                "fresh": In(1),
                "dot": Out(config.dot_shape),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        terms = [lane * weight for lane, weight in zip(self.lanes, self.weights, strict=True)]
        # Products, sums of some of them, the sum of all: a register behind each.
        for name, together in (("product", 1), ("part", _PRODUCTS), ("total", config.lanes)):
            sums = [terms[low : low + together] for low in range(0, len(terms), together)]
            bits = golden.ALIGNED + WEIGHT_BITS + (config.lanes - 1).bit_length()
            terms = [Signal(signed(bits), name=f"{name}_{index}", reset_less=True) for index in range(len(sums))]
            m.d.sync += [term.eq(sum(some[1:], some[0])) for term, some in zip(terms, sums, strict=True)]
        (total,) = terms
        dot = Signal(config.dot_shape, name="dot_q", reset_less=True)
        with m.If(self.step):
            m.d.sync += dot.eq(Mux(self.fresh, 0, dot) + total)
        m.d.comb += self.dot.eq(dot)
        return m


class Fp16Pe(Replicable):
    """Sum of `config.lanes` products, each exact in FP32, added by pairs; one sum a cycle.

    Attributes
    ----------
    weights, activations : in, arrays of `config.lanes` of FP16
    o : out, FP32
        `golden.FP16_PRODUCT` cycles later, and `config.adder` for each level of adders.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {"weights": In(config.numbers_layout), "activations": In(config.numbers_layout), "o": Out(FP32.layout)}
        )

    def elaborate(self, platform):
        m = Module()
        terms = []
        for lane in range(self.config.lanes):
            m.submodules[f"multiply_{lane}"] = Replica(multiply := FloatMultiplier(FP16, FP16, FP32))
            m.d.comb += [
                multiply.en.eq(1),
                multiply.a.eq(self.activations[lane]),
                multiply.b.eq(self.weights[lane]),
            ]
            terms.append(multiply.o)
        while len(terms) > 1:
            level, terms = len(terms), list(zip(terms[::2], terms[1::2], strict=True))
            for index, (a, b) in enumerate(terms):
                m.submodules[f"add_{level}_{index}"] = Replica(adder := FloatAdder(FP32, stages=self.config.adder))
                m.d.comb += [adder.en.eq(1), adder.a.eq(a), adder.b.eq(b)]
                terms[index] = adder.o
        m.d.comb += self.o.eq(terms[0])
        return m
