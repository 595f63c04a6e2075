"""The floating-point half of the low-rank vector core: integers become FP32 and are scaled, one a cycle."""

import itertools

from amaranth import Module, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...hdl.floating.convert import IntegerToFloat
from ...hdl.floating.formats import FP16, FP32
from ...hdl.floating.multiply import FloatMultiplier
from ...hdl.stream.stages import Stage

__all__ = ["EXPONENT", "OutputScaler"]

#: kx + gain: -52 to 40.
EXPONENT = signed(7)


class OutputScaler(wiring.Component):
    """``float32(sum) * scale * 2**exponent``, conversion and product rounded to the nearest, ties to even.

    Outputs are normal FP32 numbers or +0, so conversion and product need no other case. A sum is 0 or from 1 to below
    2**31 in magnitude; kx is -20 to 9 and the gain -32 to 31, so sum * 2**(kx + gain), rounded or not, is from 2**-52
    to 2**71. A scale is from 2**-14 to below 2**16: the product is from 2**-66 to below 2**87, and FP32 is normal from
    2**-126 to below 2**128. Within that range a power of two commutes with rounding, so it goes into the conversion,
    where it is an addition to the exponent that is there anyway.

    Seven cycles from `sum` to `o`: conversion, product, output register.

    Parameters
    ----------
    config : LvcConfig

    Attributes
    ----------
    en : out 1
        All that gives sums may go on, and `sum` is taken. Low while the output is blocked, or a scale is missing; from
        registers.
    valid, last : in 1
        There is a sum; it is the last one of its token.
    sum : in signed(32)
    exponent : in, `EXPONENT`
        For `sum`; without meaning where that is 0.
    finished : out 1
        The last output of a token leaves for the output register.
    scales : in stream of FP16
    o : out stream of `config.o_layout`
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "en": Out(1),
                "valid": In(1),
                "last": In(1),
                "sum": In(signed(32)),
                "exponent": In(EXPONENT),
                "finished": Out(1),
                "scales": In(stream.Signature(FP16.width)),
                "o": Out(stream.Signature(config.o_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.scales = scales = Stage(FP16.width)
        m.submodules.egress = egress = Stage(self.config.o_layout)
        m.submodules.convert = convert = IntegerToFloat(signed(32), FP32, EXPONENT, specials=False)
        m.submodules.multiply = multiply = FloatMultiplier(FP32, FP16, FP32, specials=False)
        connect(m, flipped(self.scales), scales.i)
        connect(m, egress.o, flipped(self.o))
        steps = convert.latency + multiply.latency
        valid = [self.valid, *(Signal(name=f"valid_{step}") for step in range(steps))]
        last = [self.last, *(Signal(name=f"last_{step}", reset_less=True) for step in range(steps))]
        with m.If(self.en):
            for flags in (valid, last):
                m.d.sync += [after.eq(before) for before, after in itertools.pairwise(flags)]
        wanted, given = valid[convert.latency], Signal()
        m.d.comb += [
            given.eq(~wanted | scales.o.valid),
            self.en.eq(egress.i.ready & given),
            convert.en.eq(self.en),
            convert.i.eq(self.sum),
            convert.scale.eq(self.exponent),
            multiply.en.eq(self.en),
            multiply.a.eq(convert.o),
            multiply.b.eq(scales.o.payload),
            scales.o.ready.eq(egress.i.ready & wanted),
            egress.i.valid.eq(valid[-1] & given),
            egress.i.payload.value.eq(multiply.o),
            egress.i.payload.last.eq(last[-1]),
            self.finished.eq(egress.i.valid & egress.i.ready & last[-1]),
        ]
        return m
