"""The floating-point datapath of a piecewise-linear unit, a baseline of the paper: FP32 compare, multiply, add."""

from amaranth import Cat, Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...hdl.floating.add import FloatAdder
from ...hdl.floating.formats import FP32, stage
from ...hdl.floating.multiply import FloatMultiplier
from .pwl_datapath import select

__all__ = ["PwlFloat", "ordered"]


def ordered(number):
    """32 bits that compare as unsigned integers as FP32 numbers do, -0 equal to +0; NaNs beyond all."""
    magnitude, sign = number[:-1], number[-1] & number[:-1].any()
    return Cat(magnitude ^ sign.replicate(31), ~sign)


class PwlFloat(wiring.Component):
    """``slope * x + intercept`` in FP32, product and sum rounded to nearest even, one in each enabled cycle.

    Parameters
    ----------
    entries : int
        A power of two.
    specials : bool
        As of `FloatAdder` and `FloatMultiplier`.

    Attributes
    ----------
    latency : int
        Enabled cycles.
    en : in 1
    x, o : in, out 32
    breakpoints : in, array of entries - 1
        From `ordered`; a number at a breakpoint is to its right.
    slopes, intercepts : in, arrays of `entries`
    known : in 1
        Where it is low, the output is 0.
    """

    def __init__(self, entries, specials):
        self.multiplier = FloatMultiplier(FP32, FP32, FP32, specials)
        self.adder = FloatAdder(FP32, specials)
        self.latency = 1 + self.multiplier.latency + self.adder.latency
        super().__init__(
            {
                "en": In(1),
                "x": In(32),
                "breakpoints": In(data.ArrayLayout(32, entries - 1)),
                "slopes": In(data.ArrayLayout(32, entries)),
                "intercepts": In(data.ArrayLayout(32, entries)),
                "known": In(1),
                "o": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiplier, m.submodules.adder = multiplier, adder = self.multiplier, self.adder
        key = stage(m, "key", None, x=ordered(self.x)).x
        passed = stage(m, "passed", None, **{f"point_{n}": key >= point for n, point in enumerate(self.breakpoints)})
        rows = [Cat(slope, intercept) for slope, intercept in zip(self.slopes, self.intercepts, strict=True)]
        row = select(m, "select", list(vars(passed).values()), rows)
        row, x = row & self.known.replicate(64), self.x & self.known.replicate(32)
        chosen = stage(m, "chosen", self.en, slope=row[:32], intercept=row[32:], x=x)
        intercept = chosen.intercept
        for step in range(multiplier.latency):
            intercept = stage(m, f"intercept_{step}", self.en, value=intercept).value
        m.d.comb += [
            multiplier.en.eq(self.en),
            multiplier.a.as_value().eq(chosen.slope),
            multiplier.b.as_value().eq(chosen.x),
            adder.en.eq(self.en),
            adder.a.eq(multiplier.o),
            adder.b.as_value().eq(intercept),
            self.o.eq(adder.o.as_value()),
        ]
        return m
