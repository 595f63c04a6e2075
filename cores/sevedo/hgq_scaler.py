"""HGQ's scaler: the integer of a coarse group, times both scales, is an FP32 term.

The product of both scales is exact, that with the integer is rounded once. It needs neither infinities nor NaN nor
subnormals, and the sums do not either. An integer that is not zero is at least 1 and at most 2**24; a scale is a
multiple of 2**-24 from 2**-14 to below 2**16; shifts take 2**-14 at the most. So a term is a multiple of 2**-62,
rounded or not, and below 2**56, and so is every sum of up to 2**70 of them below 2**126; FP32 is normal from 2**-126 to
below 2**128. With the default groups terms are multiples of 2**-54 and below 2**45. Integers have no -0, so there is
none at all.
"""

from amaranth import Cat, Const, Module, Mux, unsigned
from amaranth.lib.wiring import In, Out

from ...hdl.emission.replicate import Replicable
from ...hdl.floating.formats import FP16, FP32, compress, normalize_most, normalize_rest, pack, stage, take
from ...hdl.primitives.portable import OuterProduct

__all__ = ["Scaler"]


class Scaler(Replicable):
    """`o = i * x_scale * w_scale * 2**-top`, rounded once to FP32, one number in each enabled cycle.

    The scales' significands have an exact product of 22 bits; the integer is normalized before it is multiplied with
    that, so that the product has its highest bit in one of three places.

    Parameters
    ----------
    config : DequantizerConfig

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    i : in, `config.integer_shape`
        Never the least number.
    x_scale, w_scale : in, FP16
        Positive and normal.
    o : out, FP32
        `golden.sevedo.hgq_tile.TERM` enabled cycles later.
    """

    #: Terms are finite.
    specials = False

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "en": In(1),
                "i": In(config.integer_shape),
                "x_scale": In(FP16.layout),
                "w_scale": In(FP16.layout),
                "o": Out(FP32.layout),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits, precision = len(self.i) - 1, FP16.precision
        x, w = (Cat(scale.fraction, Const(1, 1)) for scale in (self.x_scale, self.w_scale))
        taken = stage(
            m,
            "taken",
            self.en,
            sign=self.i[-1],
            magnitude=Mux(self.i[-1], -self.i, self.i)[:bits],
            scale=x * w,
            exponent=self.x_scale.exponent + self.w_scale.exponent,
        )
        m.submodules.product = product = OuterProduct(unsigned(bits), unsigned(2 * precision))
        # Exponent field of the product's highest bit, where both scales' fields are 0.
        width = bits + 2 * precision
        lowest = 2 * (FP16.bias + FP16.fraction_bits) + 2 * ((1 << self.config.shift_width) - 1)
        offset = FP32.bias + width - 1 - lowest
        most = normalize_most(m, "normalize", taken.magnitude)
        normalized = stage(m, "normalized", self.en, **most, **take(taken, "sign", "scale", "exponent"))
        rest = take(normalized, *most)
        significand, exponent = normalize_rest(m, "normalize", exponent=normalized.exponent + offset, **rest)
        m.d.comb += [product.en.eq(self.en), product.a[0].eq(significand), product.b[0].eq(normalized.scale)]
        # Beside the multiplier's two registers.
        operands = stage(m, "operands", self.en, sign=normalized.sign, exponent=exponent)
        multiplied = stage(m, "multiplied", self.en, sign=operands.sign, exponent=operands.exponent)
        whole = product.products[0][0]
        high = Mux(whole[-1], whole, Mux(whole[-2], Cat(Const(0, 1), whole[:-1]), Cat(Const(0, 2), whole[:-2])))
        normalized = stage(
            m,
            "found",
            None,
            significand=compress(stage(m, "high", None, high=high).high, FP32.precision),
            exponent=multiplied.exponent - Mux(whole[-1], 0, 2 - whole[-2]),
        )
        o = pack(m, FP32, multiplied.sign, normalized.exponent, normalized.significand)
        m.d.comb += self.o.as_value().eq(stage(m, "rounded", self.en, o=o).o)
        return m
