"""MX's scalers: the integer of a block, times both scales, is an FP32 term.

With E8M0 scales that is no multiplication: the integer has 24 bits at most, so its leading one is found, and the
exponents are added. The term may be beyond FP32 on both sides: what is less than the least normal number becomes +0,
what is more infinity. A term of NVFP4 is a multiple of 2**-20 and below 2**27, so neither happens to it.
"""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib.wiring import In, Out

from ...golden.mx.formats import E4M3, E8M0_BIAS
from ...hdl.emission.replicate import Replicable
from ...hdl.floating.formats import FP32, normalize, stage

__all__ = ["Scaler"]


class Scaler(Replicable):
    """`o = i * x_scale * w_scale`, exact where FP32 has it, one number in each enabled cycle.

    Parameters
    ----------
    config : MxTileConfig

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    i : in, `config.integer_shape`
        In units of ``2**(-2 * fraction_bits)`` of the element; never the least number.
    x_scale, w_scale : in 8
        Codes of the format's scales. E8M0: 255 is NaN. E4M3: without its highest bit 127 is NaN; the highest bit, the
        sign, is ignored.
    o : out, FP32
        `config.schedule.term` enabled cycles later. Below the normal numbers +0, above them infinity; NaN
        if a scale is.
    """

    #: Terms may be infinite or NaN.
    specials = True

    def __init__(self, config):
        self.config = config
        super().__init__(
            {"en": In(1), "i": In(config.integer_shape), "x_scale": In(8), "w_scale": In(8), "o": Out(FP32.layout)}
        )

    def elaborate(self, platform):
        m = Module()
        fmt, bits = self.config.fmt, len(self.i) - 1
        scales = (self.x_scale, self.w_scale)
        magnitude = Mux(self.i[-1], -self.i, self.i)[:bits]
        if fmt.two_level:
            significand, exponent, nan = _e4m3_product(scales)
            taken = stage(
                m,
                "taken",
                self.en,
                sign=self.i[-1],
                nan=nan,
                magnitude=magnitude,
                significand=significand,
                exponent=exponent,
            )
            number = stage(
                m,
                "multiplied",
                self.en,
                sign=taken.sign,
                nan=taken.nan,
                magnitude=taken.magnitude * taken.significand,
                exponent=taken.exponent,
            )
            unit = -2 * (E4M3.bias + E4M3.mantissa_bits)
        else:
            number = stage(
                m,
                "taken",
                self.en,
                sign=self.i[-1],
                nan=scales[0].all() | scales[1].all(),
                magnitude=magnitude,
                exponent=scales[0] + scales[1],
            )
            unit = -2 * E8M0_BIAS
        lowest = FP32.bias + unit - 2 * fmt.element.fraction_bits
        m.d.comb += self.o.as_value().eq(stage(m, "scaled", self.en, o=_pack(m, number, lowest)).o)
        return m


def _e4m3_product(scales):
    """Product of the significands of two E4M3 codes, sum of their exponents, and whether one is NaN."""
    fields = [scale[E4M3.mantissa_bits : 7] for scale in scales]
    x, w = (Cat(scale[: E4M3.mantissa_bits], field.any()) for scale, field in zip(scales, fields, strict=True))
    # Subnormal numbers have the exponent of the field 1.
    exponents = (Cat(field[0] | ~field.any(), field[1:]) for field in fields)
    return x * w, sum(exponents), scales[0][:7].all() | scales[1][:7].all()


def _pack(m, number, lowest):
    """An integer with an exponent as FP32, which holds all its bits.

    Parameters
    ----------
    m : Module
    number : SimpleNamespace
        `sign`, `nan`, `magnitude` and `exponent`.
    lowest : int
        FP32's exponent field of the magnitude's lowest bit, where `exponent` is 0.
    """
    width = len(number.magnitude)
    significand, exponent = normalize(m, "normalize", number.magnitude, number.exponent + (lowest + width - 1))
    packed = stage(m, "packed", None, significand=significand, exponent=exponent)
    normal = Signal()
    infinite = Signal()
    m.d.comb += [
        normal.eq(packed.significand[-1] & (packed.exponent > 0)),
        infinite.eq(packed.significand[-1] & (packed.exponent >= FP32.highest)),
    ]
    fraction = Cat(Const(0, FP32.precision - width), packed.significand[:-1])
    finite = Cat(fraction, packed.exponent[: FP32.exponent_bits]) & normal.replicate(FP32.width - 1)
    code = Mux(infinite, Const(FP32.infinity, FP32.width - 1), finite)
    return Cat(Mux(number.nan, Const(FP32.nan, FP32.width - 1), code), number.sign & normal & ~number.nan)
