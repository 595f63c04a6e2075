"""Floating-point multiplication."""

from amaranth import Cat, Const, Module, Mux, unsigned
from amaranth.lib.wiring import In, Out

from ..emission.replicate import Replicable
from ..integer.bits import leading_zeros
from ..primitives.portable import OuterProduct
from .formats import compress, denormalize, pack, stage, take, unpack

__all__ = ["FloatMultiplier"]

# Bits of an operand that one multiplier of an FPGA takes.
_MULTIPLIER = 18


class FloatMultiplier(Replicable):
    """`o = a * b`, rounded once to nearest even, one product in each enabled cycle.

    The formats may differ: FP32 x FP16 needs a 24 x 11 multiplier where FP32 x FP32 needs 24 x 24. FP16 x FP16 to FP32
    is exact.

    Parameters
    ----------
    a_format, b_format, out_format : FloatFormat
    specials : bool
        False: operands and products are zero or normal, by the caller's proof. For FP32 x FP16 to FP32 it is enough
        that every `a` but zero is from 2**-102 to below 2**112 in magnitude, and every `b` from 2**-24 to below 2**16:
        products are from 2**-126 to below 2**128. For FP16 x FP16 to FP32 it is enough that the operands are finite.
    subnormals : tuple of bool, optional
        Whether `a` and `b` may be subnormal, by default both as `specials`. The Anda tile's scales are any finite FP16,
        where all else is normal: (False, True).
    split : bool
        A register more, between the products of the lowest 18 bits of `a`, as much as a multiplier of an FPGA takes,
        and of the rest, and their sum.

    Attributes
    ----------
    latency : int
        Enabled cycles: 3, one more if operands may be subnormal, one more if products may be, and one more if `split`.
    en : in 1
        All registers load where it is high.
    a, b : in, `a_format.layout`, `b_format.layout`
    o : out, `out_format.layout`
        Its sign is that of the product also if it is zero; 0 * infinity is NaN.
    """

    def __init__(self, a_format, b_format, out_format, specials=True, subnormals=None, split=False):
        self.a_format, self.b_format, self.out_format, self.specials = a_format, b_format, out_format, specials
        self.subnormals = (specials, specials) if subnormals is None else tuple(subnormals)
        # Exponent of the product's highest bit but one, less the operands' exponents.
        self._rebias = out_format.bias - a_format.bias - b_format.bias
        # Each subnormal operand lowers it by as many places as it has leading zeros.
        least = 2 + self._rebias - a_format.fraction_bits * self.subnormals[0]
        self._denormalizes = specials and least - b_format.fraction_bits * self.subnormals[1] < 1
        self.split = split
        self.latency = 3 + any(self.subnormals) + self._denormalizes + split
        super().__init__({"en": In(1), "a": In(a_format.layout), "b": In(b_format.layout), "o": Out(out_format.layout)})

    def elaborate(self, platform):
        m = Module()
        fmt = self.out_format
        a = unpack(self.a, self.a_format, self.subnormals[0])
        b = unpack(self.b, self.b_format, self.subnormals[1])
        whole = self._product(m, a.significand, b.significand)

        # Beside the multiplier's two registers.
        values = {"sign": a.sign ^ b.sign, "exponent": a.exponent + b.exponent + self._rebias}
        flags = ("infinite", "nan") if self.specials else ()
        if self.specials:
            a_zero, b_zero = ~self.a.as_value()[:-1].any(), ~self.b.as_value()[:-1].any()
            invalid = (a.infinite & b_zero) | (a_zero & b.infinite)
            values |= {"infinite": a.infinite | b.infinite, "nan": a.nan | b.nan | invalid}
        counted = []
        for name, operand, subnormal in zip("ab", (a, b), self.subnormals, strict=True):
            if subnormal:
                significand = stage(m, name, None, significand=operand.significand).significand
                values[f"{name}_zeros"] = leading_zeros(significand)
                counted.append(f"{name}_zeros")
        taken = stage(m, "taken", self.en, **values)
        zeros = sum(take(taken, *counted).values(), Const(0, 0))
        multiplied = stage(
            m, "multiplied", self.en, exponent=taken.exponent - zeros, zeros=zeros, **take(taken, "sign", *flags)
        )
        if self.split:
            multiplied = stage(m, "added", self.en, **take(multiplied, "exponent", "zeros", "sign", *flags))

        # The product of two normalized significands has its highest bit at the top or one below.
        shifted = stage(m, "shifted", None, product=(whole << multiplied.zeros)[: len(whole)]).product
        staged = stage(
            m,
            "normalized",
            self.en if any(self.subnormals) or self._denormalizes else None,
            exponent=multiplied.exponent + shifted[-1],
            significand=compress(Mux(shifted[-1], shifted, Cat(Const(0, 1), shifted[:-1])), fmt.precision),
            **take(multiplied, "sign", *flags),
        )
        if self._denormalizes:
            significand, exponent = denormalize(m, "denormalize", staged.significand, staged.exponent)
            staged = stage(
                m,
                "denormalized",
                self.en if any(self.subnormals) else None,
                exponent=exponent,
                significand=significand,
                **take(staged, "sign", *flags),
            )
        o = pack(m, fmt, overflow=self.specials, **take(staged, "sign", "exponent", "significand", *flags))
        m.d.comb += self.o.as_value().eq(stage(m, "rounded", self.en, o=o).o)
        return m

    def _product(self, m, a, b):
        """Product of the significands, two cycles later, or three if it is split."""
        low = min(_MULTIPLIER, len(a)) if self.split else len(a)
        parts = []
        for name, part in (("product", a[:low]), ("product_high", a[low:])):
            if len(part):
                m.submodules[name] = product = OuterProduct(unsigned(len(part)), unsigned(len(b)))
                m.d.comb += [product.en.eq(self.en), product.a[0].eq(part), product.b[0].eq(b)]
                parts.append(product.products[0][0])
        if not self.split:
            return parts[0]
        total = (parts[0] + sum((part << low for part in parts[1:]), Const(0, 1)))[: len(a) + len(b)]
        return stage(m, "whole", self.en, product=total).product
