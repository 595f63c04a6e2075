"""Rounding to FP16 without special values: +0 below 2**-14, before rounding, and at most 65504 in magnitude.

What consumes such a number needs no hardware for subnormal numbers, infinities and NaNs, and there is no -0. Rounding
is to the nearest, ties to even.
"""

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib.wiring import In, Out

from ..emission.replicate import Replicable
from ..primitives.portable import OuterProduct
from .formats import FP16, compress, stage

__all__ = ["HalfMultiplier", "HalfRounder"]


class HalfRounder(Replicable):
    """`o` is `i` in FP16, rounded once, one number in each enabled cycle.

    Parameters
    ----------
    fmt : FloatFormat
        Of the operand; 5 bits of exponent and 10 of fraction or more.

    Attributes
    ----------
    latency : int
        Enabled cycles: 1.
    en : in 1
        The register loads where it is high.
    i : in, `fmt.layout`
        Infinities and NaNs give 65504 of their sign.
    o : out, `FP16.layout`
        +0, or normal and finite.

    Raises
    ------
    ValueError
        If the operand's format is narrower than FP16.
    """

    latency = 1

    def __init__(self, fmt):
        if fmt.exponent_bits < FP16.exponent_bits or fmt.fraction_bits < FP16.fraction_bits:
            given = f"{fmt.exponent_bits} and {fmt.fraction_bits}"
            raise ValueError(f"the operand must have an exponent of 5 bits or more and a fraction of 10, not {given}")
        self.format = fmt
        super().__init__({"en": In(1), "i": In(fmt.layout), "o": Out(FP16.layout)})

    def elaborate(self, platform):
        m = Module()
        fmt = self.format
        # A zero and a subnormal number have the least exponent: at most that of a subnormal FP16 number.
        exponent = Signal(signed(fmt.exponent_bits + 2))
        m.d.comb += exponent.eq(self.i.exponent - (fmt.bias - FP16.bias))
        significand = stage(
            m, "operand", None, significand=compress(Cat(self.i.fraction, 1), FP16.precision)
        ).significand
        _round(m, self.en, self.o, self.i.sign, exponent, significand)
        return m


class HalfMultiplier(Replicable):
    """`o = a * b` in FP16, the exact product rounded once, one product in each enabled cycle.

    Attributes
    ----------
    latency : int
        Enabled cycles: 3.
    en : in 1
        All registers load where it is high.
    a, b : in, `FP16.layout`
        Finite; a subnormal number counts as zero.
    o : out, `FP16.layout`
        +0, or normal and finite.
    """

    latency = 3

    def __init__(self):
        super().__init__({"en": In(1), "a": In(FP16.layout), "b": In(FP16.layout), "o": Out(FP16.layout)})

    def elaborate(self, platform):
        m = Module()
        precision = FP16.precision
        m.submodules.product = product = OuterProduct(unsigned(precision), unsigned(precision))
        m.d.comb += [
            product.en.eq(self.en),
            product.a[0].eq(Cat(self.a.fraction, 1)),
            product.b[0].eq(Cat(self.b.fraction, 1)),
        ]
        # Beside the multiplier's two registers.
        taken = stage(
            m,
            "taken",
            self.en,
            sign=self.a.sign ^ self.b.sign,
            nonzero=self.a.exponent.any() & self.b.exponent.any(),
            exponent=self.a.exponent + self.b.exponent,
        )
        # A product with a zero is below every exponent that counts.
        least = Mux(taken.nonzero, taken.exponent - FP16.bias, -FP16.bias)
        multiplied = stage(m, "multiplied", self.en, sign=taken.sign, exponent=least)
        # The highest bit of the product of two significands is at the top or one below.
        whole = product.products[0][0]
        normal = stage(
            m,
            "normal",
            None,
            exponent=multiplied.exponent + whole[-1],
            significand=compress(Mux(whole[-1], whole, Cat(Const(0, 1), whole[:-1])), precision),
        )
        _round(m, self.en, self.o, multiplied.sign, normal.exponent, normal.significand)
        return m


def _round(m, en, o, sign, exponent, significand):
    """Round into a register.

    Parameters
    ----------
    m : Module
    en : Value
    o : View
        Of `FP16.layout`.
    sign, exponent : Value
        The exponent signed, biased as in FP16: that of the significand's highest bit.
    significand : Signal
        As `compress` gives, its highest bit set.
    """
    kept, guard, rest = significand[2:], significand[1], significand[0]
    up = guard & (rest | kept[0])
    # A carry out of the fraction makes the next exponent, also that of infinity.
    rounded = Signal(FP16.width - 1)
    m.d.comb += rounded.eq(Cat(kept[:-1], exponent[: FP16.exponent_bits]) + up)
    high = (exponent >= FP16.highest) | (rounded >= FP16.infinity)
    magnitude = Mux(high, FP16.infinity - 1, rounded)
    low = exponent < 1
    result = stage(m, "rounded", en, o=Mux(low, 0, Cat(magnitude[: FP16.width - 1], sign)))
    m.d.comb += o.as_value().eq(result.o)
