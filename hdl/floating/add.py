"""Floating-point addition."""

from amaranth import Cat, Const, Module, Mux
from amaranth.lib.wiring import In, Out

from ..emission.replicate import Replicable
from .formats import compress, normalize_most, normalize_rest, pack, shift_right_jam, stage, stop, take, unpack

__all__ = ["FloatAdder"]

# After which steps registers are, for each number of them; the last one is the output's.
_CUTS = {
    1: (),
    2: ("aligned",),
    3: ("aligned", "total"),
    4: ("ordered", "total", "normalized"),
    5: ("ordered", "aligned", "total", "normalized"),
}


class FloatAdder(Replicable):
    """`o = a + b`, rounded to nearest even, one sum in each enabled cycle.

    The five steps are: order the operands by magnitude, align the lesser one, add or subtract, normalize, round. The
    aligned operand keeps two bits below the greater one's last, and a third that says whether there is more; that is
    enough, because a sum that is normalized by more than one place had operands at most one place apart, and is exact.

    Parameters
    ----------
    fmt : FloatFormat
        Of operands and sum.
    specials : bool
        Whether operands may be infinite or NaN, and sums infinite. False: operands and sums are zero or normal, by the
        caller's proof. For FP32 it is enough that all operands are multiples of 2**-126, so that no sum but zero is
        less, and that all sums are below 2**128 - 2**103.
    stages : int
        1 to 5: latency in enabled cycles. Estimates for FP32 without specials on ECP5, speed grade 6: 124 MHz with 5,
        90 with 4, 79 with 3.
    flush : bool
        Only with `specials`: operands are never subnormal, and a sum that is not normal is +0, also that
        of -0 and -0.

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    a, b : in, `fmt.layout`
    o : out, `fmt.layout`
        x + -x is +0, -0 + -0 is -0, infinity - infinity is NaN.

    Raises
    ------
    ValueError
        For another number of stages, or `flush` without `specials`.
    """

    def __init__(self, fmt, specials=True, stages=5, flush=False):
        if stages not in _CUTS:
            raise ValueError(f"stages must be 1 to {max(_CUTS)}, not {stages}")
        if flush and not specials:
            raise ValueError("flush must be False where there are no specials")
        self.fmt, self.specials, self.latency = fmt, specials, stages
        self.flush = flush
        super().__init__({"en": In(1), "a": In(fmt.layout), "b": In(fmt.layout), "o": Out(fmt.layout)})

    def elaborate(self, platform):
        m = Module()
        fmt, specials, subnormals = self.fmt, self.specials, self.specials and not self.flush

        def cut(name, **values):
            return stage(m, name, self.en if name in _CUTS[self.latency] else None, **values)

        a, b = (unpack(number, fmt, subnormals) for number in (self.a, self.b))
        a_magnitude, b_magnitude = self.a.as_value()[:-1], self.b.as_value()[:-1]
        swap, equal = a_magnitude < b_magnitude, a_magnitude == b_magnitude
        swap = stage(m, "order", None, swap=swap).swap
        differ = a.sign ^ b.sign
        # Two subtractions side by side, as one would have to wait for the comparison.
        above = stage(m, "above", None, a=a.exponent - b.exponent, b=b.exponent - a.exponent)
        bits = (fmt.precision + 2).bit_length()
        fields = ((key, value[: fmt.exponent_bits]) for key, value in vars(above).items())
        clamped = {key: value[:bits] | value[bits:].any().replicate(min(bits, len(value))) for key, value in fields}
        amounts = stage(m, "amount", None, **clamped)
        flags = {}
        if specials:
            nan = a.nan | b.nan | (a.infinite & b.infinite & differ)
            flags = {"infinite": a.infinite | b.infinite, "nan": nan}
        ordered = cut(
            "ordered",
            # A difference of equal numbers is +0.
            sign=Mux(swap, b.sign, a.sign) & ~(differ & equal),
            subtract=differ,
            exponent=Mux(swap, b.exponent, a.exponent),
            amount=Mux(swap, amounts.b, amounts.a),
            great=Mux(swap, b.significand, a.significand),
            small=Mux(swap, a.significand, b.significand),
            **flags,
        )

        extended = stage(m, "extended", None, small=Cat(Const(0, 2), ordered.small)).small
        # The longest shift is beside the complement, in the same multiplexers.
        small = shift_right_jam(m, "align", extended, ordered.amount[:-1])
        aligned = cut(
            "aligned",
            small=small,
            far=ordered.amount[-1],
            **take(ordered, "sign", "subtract", "exponent", "great", *flags),
        )
        small = shift_right_jam(m, "align_far", aligned.small, aligned.far, len(ordered.amount) - 1)
        small = Cat(small[:2].any(), small[2:])

        # One adder: the lowest bits of its operands make the carry that completes the complement.
        complement = small ^ aligned.subtract.replicate(len(small))
        addend = Cat(aligned.subtract, complement, aligned.subtract)
        sum_ = (Cat(Const(1, 1), Const(0, 3), aligned.great) + addend)[1 : len(addend)]
        # The highest bit is a carry, one place above the operands'.
        exponent = stage(m, "raised", None, exponent=aligned.exponent + 1).exponent
        values = {"exponent": exponent, "significand": sum_}
        if subnormals:
            values["stop"] = stop(len(sum_), exponent)
        total = cut("total", **values, **take(aligned, "sign", *flags))

        kept = take(total, "sign", "exponent", *flags)
        most = normalize_most(m, "normalize", **take(total, *(key for key in values if key != "exponent")))
        # What is flushed is known by its exponent, before the register.
        normalized = stage(m, "most", None, **most, **kept) if self.flush else cut("normalized", **most, **kept)
        significand, exponent = normalize_rest(m, "normalize", **take(normalized, *most, "exponent"))
        values = {"exponent": exponent, "significand": compress(significand, fmt.precision)}
        values |= take(normalized, "sign", *flags)
        if self.flush:
            # A sum that is less than its operands is exact, so none is rounded up to a normal number.
            least = stage(m, "least", None, normal=exponent > 0)
            values["significand"] &= least.normal.replicate(len(values["significand"]))
            values["sign"] &= least.normal
            values = vars(cut("normalized", **values))

        o = pack(m, fmt, overflow=specials, **values)
        m.d.comb += self.o.as_value().eq(stage(m, "rounded", self.en, o=o).o)
        return m
