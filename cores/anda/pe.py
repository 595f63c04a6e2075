"""The Anda tile's processing elements: dot products in three kinds of arithmetic.

`SerialPe` takes one mantissa plane a cycle (HPCA 2025, Figure 11). Instead of negating weights it inverts those of
negative activations, and adds the number of these, which is the same for all columns; and instead of adding signed
weights it counts the ones of each of the four weight planes and adds four counts. With sky130 cells, groups of 64 and
M up to 16 that takes 12,400 um2; XOR and AND for the two gates of a weight bit 13,100; a tree of 4-bit adders 15,400.

`ParallelPe` multiplies whole mantissas, `config.lanes` of them a cycle (FIGNA, HPCA 2024).

Both have the dot product three cycles after the group's last transfer, and hold it for one cycle at least.

`Fp16Pe` multiplies FP16 activations with weights that were dequantized to FP16, and adds the products in FP32: what a
GPU does, and the FP-FP baseline of the paper.
"""

from itertools import pairwise

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
    positive, negative : out, `config.group` bits
        Ones of the plane by the signs of their elements, one cycle later.
    negatives : out
        Number of those, two cycles later.
    shift : out, `config.exponent_shape`
        `exponent - mantissa` of the group whose plane came three cycles before.
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
                "positive": Out(config.group),
                "negative": Out(config.group),
                "negatives": Out(range(config.group + 1)),
                "shift": Out(config.exponent_shape),
            }
        )

    def elaborate(self, platform):
        m = Module()
        signs, plane = (Signal(self.config.group, name=name, reset_less=True) for name in ("signs_q", "plane_q"))
        negatives = Signal.like(self.negatives, name="negatives_q", reset_less=True)
        shifts = [Signal.like(self.shift, name=f"shift_{stage}", reset_less=True) for stage in range(3)]
        m.d.sync += [
            plane.eq(self.plane),
            negatives.eq(popcount(m, "negatives", self.negative)),
            *(later.eq(earlier) for earlier, later in pairwise(shifts)),
        ]
        with m.If(self.head):
            m.d.sync += [signs.eq(self.signs), shifts[0].eq(self.exponent - self.mantissa)]
        m.d.comb += [
            self.positive.eq(plane & ~signs),
            self.negative.eq(plane & signs),
            self.negatives.eq(negatives),
            self.shift.eq(shifts[-1]),
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
        The plane that came two cycles before counts; it is the first one of its group.
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
        counts = [Signal(range(self.config.group + 1), name=f"count_{bit}", reset_less=True) for bit in range(4)]
        for bit, (count, weights) in enumerate(zip(counts, self.weights, strict=True)):
            gated = Signal(self.config.group, name=f"gated_{bit}")
            m.d.comb += gated.eq((weights & self.positive) | (~weights & self.negative))
            m.d.sync += count.eq(popcount(m, f"ones_{bit}", gated))
        dot = Signal(self.config.dot_shape, name="dot_q", reset_less=True)
        # The sign plane is the first one, and weighs -8.
        low, high = (counts[3] + (counts[2] << 1)), (counts[1] << 2) - (counts[0] << 3)
        before = Mux(self.fresh, 0, dot)
        with m.If(self.step):
            m.d.sync += dot.eq((before << 1) + (low + high + self.negatives))
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
    lanes : out, array of `config.lanes` of signed(14)
        One cycle later.
    shift : out, `config.exponent_shape`
        Exponent of the group that was there three cycles before.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "head": In(1),
                "signs": In(config.lanes),
                "mantissas": In(data.ArrayLayout(golden.ALIGNED, config.lanes)),
                "exponent": In(5),
                "lanes": Out(config.lanes_layout),
                "shift": Out(config.exponent_shape),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lanes = Signal(self.lanes.shape(), name="lanes_q", reset_less=True)
        shifts = [Signal.like(self.shift, name=f"shift_{stage}", reset_less=True) for stage in range(3)]
        m.d.sync += [later.eq(earlier) for earlier, later in pairwise(shifts)]
        for lane, sign, mantissa in zip(lanes, self.signs, self.mantissas, strict=True):
            m.d.sync += lane.eq(Mux(sign, -mantissa, mantissa))
        with m.If(self.head):
            m.d.sync += shifts[0].eq(self.exponent)
        m.d.comb += [self.lanes.eq(lanes), self.shift.eq(shifts[-1])]
        return m


class ParallelPe(Replicable):
    """`dot = dot + sum of lanes' products`.

    Widths: 17 bits a product, two more for four of them, the dot product 23 bits for groups of 64.

    Attributes
    ----------
    weights : in, array of `config.lanes` of signed(4)
    lanes : in, array of `config.lanes` of signed(14)
    step, fresh : in 1
        The operands that came one cycle before count; they are the first ones of their group.
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
        bits = golden.ALIGNED + WEIGHT_BITS + (config.lanes - 1).bit_length()
        total = Signal(signed(bits), reset_less=True)
        products = [lane * weight for lane, weight in zip(self.lanes, self.weights, strict=True)]
        m.d.sync += total.eq(sum(products[1:], products[0]))
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
