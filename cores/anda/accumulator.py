"""The floating-point half of the Anda tile: what happens to a group's integer, and the sums over groups.

One unit serves `config.share` rows of a column in turn, because each of them has an integer only once a group. Adder
and multiplier need not know Inf, NaN or subnormals where the conversion is exact (`conversion` fp32): every scaled
integer is a multiple of 2**-54 (2**-30, the least unit, times 2**-24, the least scale) and below 2**42 (2**26 times
2**16), and so is every sum of up to 2**20 of them below 2**62.
"""

from amaranth import Array, Module, Mux, Signal, unsigned
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ...hdl.emission.replicate import Replicable
from ...hdl.floating.add import FloatAdder
from ...hdl.floating.convert import FloatConverter, IntegerToFloat
from ...hdl.floating.formats import FP16, FP32, FloatFormat
from ...hdl.floating.multiply import FloatMultiplier

__all__ = ["NORMAL_SCALE", "Accumulator", "Scaler", "control_layout", "token_layout"]

#: Format of a scale: all numbers of FP16, with an exponent in whose range none is subnormal.
NORMAL_SCALE = FloatFormat(FP16.exponent_bits + 1, FP16.fraction_bits)


def token_layout(share):
    """One of the `share` values that go through a unit one after the other: which, and where its reduction stands."""
    return data.StructLayout({"valid": 1, "first": 1, "last": 1, "index": unsigned((share - 1).bit_length())})


def control_layout(config):
    """What the accumulators of all units do in a cycle.

    `select`, the value that enters the adder in the next one; `write`, the sum that leaves it; `store`, the result that
    leaves the converter, `valid` at the end of a reduction only.
    """
    return data.StructLayout(dict.fromkeys(("select", "write", "store"), token_layout(config.share)))


class Scaler(Replicable):
    """Take the integers of `share` rows, and give them one a cycle as `D * 2**(E - 14 - M) * scale`.

    Parameters
    ----------
    config : AndaTileConfig

    Attributes
    ----------
    start : in 1
        The integers of a group are there, and the first of them is taken; not again in the next `share - 1` cycles.
    dots : in, array of `share` of signed(`config.dot_bits`)
        Integers.
    exponents : in, array of `share` of `config.exponent_shape`
        Their exponents.
    scale : in, `NORMAL_SCALE`
        For the integer taken `golden.CONVERT` cycles before.
    o : out, FP32
        `golden.SCALE` cycles after its scale.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "dots": In(data.ArrayLayout(config.dot_shape, config.share)),
                "exponents": In(data.ArrayLayout(config.exponent_shape, config.share)),
                "scale": In(NORMAL_SCALE.layout),
                "o": Out(FP32.layout),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        value = data.StructLayout({"dot": config.dot_shape, "exponent": config.exponent_shape})
        now = Signal(value)
        waiting = [Signal(value, name=f"waiting_{index}", reset_less=True) for index in range(1, config.share)]
        for index, target in enumerate([now, *waiting]):
            behind = waiting[index] if index < len(waiting) else None
            taken = []
            for field, port in (("dot", self.dots), ("exponent", self.exponents)):
                moved = port[index] if behind is None else Mux(self.start, port[index], behind[field])
                taken.append((target[field], moved))
            domain = m.d.comb if target is now else m.d.sync
            domain += [field.eq(moved) for field, moved in taken]
        exact = config.conversion == "fp32"
        x = FP32 if exact else FP16
        m.submodules.convert = convert = IntegerToFloat(
            config.dot_shape, x, config.exponent_shape, config.exponent_offset, specials=not exact
        )
        m.submodules.multiply = multiply = FloatMultiplier(
            x, NORMAL_SCALE, FP32, specials=not exact, subnormals=(not exact, False), split=exact
        )
        m.d.comb += [
            convert.en.eq(1),
            convert.i.eq(now.dot),
            convert.scale.eq(now.exponent),
            multiply.en.eq(1),
            multiply.a.eq(convert.o),
            multiply.b.eq(self.scale),
            self.o.eq(multiply.o),
        ]
        return m


class Accumulator(Replicable):
    """FP32 sums of `share` rows, each in its register, and the results of their last complete reductions.

    Parameters
    ----------
    config : AndaTileConfig

    Attributes
    ----------
    control : in, `control_layout(config)`
    term : in, FP32
        What to add: one cycle after `control.select`.
    results : out, array of `share` of `config.result_format`
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "control": In(control_layout(config)),
                "term": In(FP32.layout),
                "results": Out(data.ArrayLayout(config.result_format.width, config.share)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, control = self.config, self.control
        m.submodules.add = adder = FloatAdder(FP32, specials=not config.normal, stages=config.adder)
        sums = [Signal(FP32.width, name=f"sum_{index}", reset_less=True) for index in range(config.share)]
        results = [Signal.like(result, name=f"result_{i}", reset_less=True) for i, result in enumerate(self.results)]
        # A row's turn comes when its sum leaves the adder at the earliest: then it is taken from there.
        before = Signal(FP32.width, reset_less=True)
        select, write = control.select, control.write
        with m.If(select.first):
            m.d.sync += before.eq(0)
        with m.Elif(write.valid & (write.index == select.index)):
            m.d.sync += before.eq(adder.o)
        with m.Else():
            m.d.sync += before.eq(Array(sums)[select.index])
        m.d.comb += [adder.en.eq(1), adder.a.eq(before), adder.b.eq(self.term)]
        result = adder.o.as_value()
        if config.output == "fp16":
            m.submodules.convert = convert = FloatConverter(FP32, FP16)
            m.d.comb += [convert.en.eq(1), convert.i.eq(adder.o)]
            result = convert.o.as_value()
        for index in range(config.share):
            with m.If(write.valid & (write.index == index)):
                m.d.sync += sums[index].eq(adder.o)
            with m.If(control.store.valid & (control.store.index == index)):
                m.d.sync += results[index].eq(result)
            m.d.comb += self.results[index].eq(results[index])
        return m
