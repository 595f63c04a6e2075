"""Conversions to floating point: from integers, and between formats."""

from amaranth import Cat, Const, Module, Mux, Shape
from amaranth.lib.wiring import In, Out

from ..emission.replicate import Replicable
from .formats import (
    compress,
    distance,
    normalize,
    normalize_most,
    normalize_rest,
    pack,
    shift_right_jam,
    stage,
    stop,
    take,
    unpack,
)

__all__ = ["FloatConverter", "IntegerToFloat"]


def _limits(shape):
    """Least and greatest value of an integer shape."""
    return (-(1 << shape.width - 1), (1 << shape.width - 1) - 1) if shape.signed else (0, (1 << shape.width) - 1)


class IntegerToFloat(Replicable):
    """`o = i * 2**(scale + offset)`, rounded to nearest even, one number in each enabled cycle.

    An integer of W bits, magnitudes up to 2**(W-1) signed and below 2**W unsigned, is a multiple of 2**(lowest scale +
    offset) and at most 2**(W - signed + greatest scale + offset). Where that lies in the normal range of the format,
    for FP32 from 2**-126 to below 2**128, there is no hardware for subnormals and infinity, whatever `specials` says.
    The dot product of the Anda tile has 26 bits and the unit 2**(E - 30), E from 0 to 31: from 2**-30 to 2**26.

    Parameters
    ----------
    shape : ShapeLike
        Of the integer, signed or not, 1 bit or more.
    fmt : FloatFormat
        Of the result.
    scale_shape : ShapeLike
        Of the input `scale`, signed or not; the default has no bits, the scale is 0.
    offset : int
        Added to the scale.
    specials : bool
        False: results are zero or normal, by the caller's proof, which may know more than the shapes do.

    Attributes
    ----------
    latency : int
        Enabled cycles: 3.
    en : in 1
        All registers load where it is high.
    i : in, `shape`
    scale : in, `scale_shape`
    o : out, `fmt.layout`
        Zero is +0; beyond the greatest number is infinity.
    """

    def __init__(self, shape, fmt, scale_shape=0, offset=0, specials=True):
        self.shape, self.fmt, self.scale_shape, self.offset = Shape.cast(shape), fmt, Shape.cast(scale_shape), offset
        width = self.shape.width
        # Exponents of the integer's highest bit.
        self._exponent = fmt.bias + offset + width - 1
        least, greatest = (self._exponent + scale for scale in _limits(self.scale_shape))
        self._subnormals = specials and least - (width - 1) < 1
        self._overflow = specials and greatest >= fmt.highest
        # Zeros above the integer raise the exponent of the highest bit to 1 or more: then it need only shift left.
        self._padding = max(0, 1 - least) if self._subnormals else 0
        self.latency = 3
        super().__init__({"en": In(1), "i": In(self.shape), "scale": In(self.scale_shape), "o": Out(fmt.layout)})

    def elaborate(self, platform):
        m = Module()
        fmt, width = self.fmt, self.shape.width
        sign = self.i[-1] if self.shape.signed else Const(0, 1)
        # The least integer's magnitude is its own bit pattern.
        magnitude = Mux(sign, -self.i, self.i)[:width]
        exponent = stage(m, "scaled", None, exponent=self.scale + (self._exponent + self._padding)).exponent
        values = {"sign": sign, "exponent": exponent, "significand": Cat(magnitude, Const(0, self._padding))}
        if self._subnormals:
            values["stop"] = stop(width + self._padding, exponent)
        taken = stage(m, "taken", self.en, **values)
        most = normalize_most(
            m, "normalize", **take(taken, *(key for key in values if key not in ("sign", "exponent")))
        )
        normalized = stage(m, "normalized", self.en, **most, **take(taken, "sign", "exponent"))
        significand, exponent = normalize_rest(m, "normalize", **take(normalized, *most, "exponent"))
        significand = compress(significand, fmt.precision)
        o = pack(m, fmt, normalized.sign, exponent, significand, overflow=self._overflow)
        m.d.comb += self.o.as_value().eq(stage(m, "rounded", self.en, o=o).o)
        return m


class FloatConverter(Replicable):
    """`o` is `i` in another format, rounded to nearest even, one number in each enabled cycle.

    Parameters
    ----------
    in_format, out_format : FloatFormat
    specials : bool
        False: operands and results are zero or normal, by the caller's proof. For FP32 to FP16 nonzero operands have
        magnitudes from 2**-14 to below 65520; for FP16 to FP32 they are from 2**-14.

    Attributes
    ----------
    latency : int
        Enabled cycles: 1, one more if both a shift and rounding may be needed, and one more if results may be
        subnormal: 3 from FP32 to FP16 with specials.
    en : in 1
        All registers load where it is high.
    i : in, `in_format.layout`
    o : out, `out_format.layout`
        Beyond the greatest number is infinity; the sign of zero is kept.
    """

    def __init__(self, in_format, out_format, specials=True):
        self.in_format, self.out_format, self.specials = in_format, out_format, specials
        self._rebias = out_format.bias - in_format.bias
        self._normalizes = specials and self._rebias > 0
        least = 1 + self._rebias - (in_format.fraction_bits if self._normalizes else 0)
        self._denormalizes = specials and least < 1
        rounds = self._denormalizes or out_format.fraction_bits < in_format.fraction_bits
        self._shifts = rounds and (self._normalizes or self._denormalizes)
        self.latency = 1 + self._shifts + self._denormalizes
        super().__init__({"en": In(1), "i": In(in_format.layout), "o": Out(out_format.layout)})

    def elaborate(self, platform):
        m = Module()
        number = unpack(self.i, self.in_format, self.specials)
        rebias, precision = self._rebias, self.out_format.precision
        exponent = number.exponent if self._denormalizes else number.exponent + rebias
        staged = stage(m, "unpacked", None, exponent=exponent, significand=number.significand)
        if self._normalizes:
            significand, exponent = normalize(m, "normalize", staged.significand, staged.exponent)
            staged = stage(m, "normalized", None, exponent=exponent, significand=significand)
        significand = compress(staged.significand, precision)
        values = {"sign": number.sign, "exponent": staged.exponent, "significand": significand}
        if self.specials:
            values |= {"infinite": number.infinite, "nan": number.nan}
        if self._denormalizes:
            amount, values["exponent"] = distance(m, "distance", len(significand), staged.exponent, rebias)
            values = vars(stage(m, "compressed", self.en, amount=amount, **values))
            values["significand"] = shift_right_jam(m, "denormalize", values["significand"], values.pop("amount"))
        values = vars(stage(m, "shifted", self.en if self._shifts else None, **values))
        o = pack(m, self.out_format, **values, overflow=self.specials)
        m.d.comb += self.o.as_value().eq(stage(m, "rounded", self.en, o=o).o)
        return m
