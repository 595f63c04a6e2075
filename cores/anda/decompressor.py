"""The Anda decompressor: bit planes back to FP16 values (our choice: the paper computes on the planes).

The planes of a set are gathered in a shift register for each value; then the values leave, `width` a transfer, while
the planes of the next set come in. Only the values of one transfer are normalized at a time: cost of a value, two
registers of the longest mantissa and the sign, and of a value of a transfer, a leading-zero count, a shifter and three
registers.
"""

import itertools

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...hdl.integer.bits import leading_zeros, shift_left
from ...hdl.stream.stages import PipelineRegister, Stage
from .planes import EXPONENT, AndaPlanesConfig, mantissa_bits

__all__ = ["AndaDecompressor", "AndaDecompressorConfig"]

_FRACTION = 10
_NONFINITE = 31


class AndaDecompressorConfig(AndaPlanesConfig):
    """Parameters of `AndaDecompressor`."""


class AndaDecompressor(wiring.Component):
    """Give the FP16 values of bit planes.

    The mantissa length is the number of planes from `first` to `last`, 1 to `max_mantissa`. A set leaves in
    `lanes * group / width` transfers, element 0 of lane 0 first; it takes the larger of that and its mantissa length in
    cycles.

    Latency 4 cycles from the last plane of a set to its first values. One plane per cycle while the mantissa is not
    shorter than the values' transfers. No combinational path from `o.ready` to `i.ready`.

    Parameters
    ----------
    config : AndaDecompressorConfig

    Attributes
    ----------
    i : in stream of `config.planes_layout`
        Bit planes, one a transfer, the most significant one first; of signs and exponents those of the last plane
        count. Of more than `max_mantissa` planes the first ones are lost (our choice); a set without `first` has
        undefined values.
    o : out stream of `config.value_layout`
        FP16 codes: the group of lane 0, element 0 first, then that of lane 1, and so on. Equal to
        `golden.anda.planes.to_float16`, also for planes and exponents that no encoder makes.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {"i": In(stream.Signature(config.planes_layout)), "o": Out(stream.Signature(config.value_layout))}
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        longest, values = config.max_mantissa, config.lanes * config.group
        beats = config.group // config.width

        # Planes come in: the bits of a value from the most significant down.
        taken, full, swap = Signal(), Signal(), Signal()
        planes = Signal(mantissa_bits(longest), reset_less=True)
        m.d.comb += [self.i.ready.eq(~full | swap), taken.eq(self.i.valid & self.i.ready)]
        with m.If(swap):
            m.d.sync += full.eq(0)
        with m.If(taken):
            m.d.sync += full.eq(self.i.payload.last)
            with m.If(self.i.payload.first):
                m.d.sync += planes.eq(1)
            with m.Elif(planes != longest):
                m.d.sync += planes.eq(planes + 1)
        mantissa = data.StructLayout({"bits": longest, "negative": 1})
        coming = [Signal(mantissa, name=f"coming_{index}", reset_less=True) for index in range(values)]
        exponents = Signal(self.i.payload.exponents.shape(), reset_less=True)
        plane, signs = self.i.payload.plane.as_value(), self.i.payload.signs.as_value()
        with m.If(taken):
            m.d.sync += exponents.eq(self.i.payload.exponents)
            for index, value in enumerate(coming):
                above = Mux(self.i.payload.first, 0, value.bits)
                m.d.sync += [value.bits.eq(Cat(plane[index], above)[:longest]), value.negative.eq(signs[index])]

        # Values go out: those of a transfer from the lowest place, to which the others move.
        going = [Signal(mantissa, name=f"going_{index}", reset_less=True) for index in range(values)]
        scales = [Signal(EXPONENT + 1, name=f"scale_{lane}", reset_less=True) for lane in range(config.lanes)]
        m.submodules.normal = normal = PipelineRegister(_normal_layout(config))
        m.submodules.exit = exit_ = Stage(config.value_layout)
        connect(m, exit_.o, flipped(self.o))
        left, beat = Signal(range(config.load + 1)), Signal(range(beats))
        step = Signal()
        m.d.comb += [
            normal.i.valid.eq(left != 0),
            normal.i.payload.last.eq(left == 1),
            step.eq(normal.i.valid & normal.i.ready),
            swap.eq(full & ((left == 0) | ((left == 1) & step))),
        ]
        with m.If(step):
            m.d.sync += left.eq(left - 1)
            for value, following in zip(going, going[config.width :], strict=False):
                m.d.sync += value.eq(following)
            m.d.sync += beat.eq(Mux(beat == beats - 1, 0, beat + 1))
            with m.If(beat == beats - 1):
                m.d.sync += [scale.eq(following) for scale, following in itertools.pairwise(scales)]
        with m.If(swap):
            m.d.sync += left.eq(config.load)
            m.d.sync += [value.eq(source) for value, source in zip(going, coming, strict=True)]
            # The exponent that the top bit of the shift register stands for.
            m.d.sync += [scale.eq(exponents[lane] + (longest - planes)) for lane, scale in enumerate(scales)]

        for source, target in zip(going, normal.i.payload.values, strict=False):
            m.d.comb += [
                target.bits.eq(source.bits),
                target.negative.eq(source.negative),
                target.zeros.eq(leading_zeros(source.bits)),
            ]
        m.d.comb += [
            normal.i.payload.scale.eq(scales[0]),
            exit_.i.valid.eq(normal.o.valid),
            normal.o.ready.eq(exit_.i.ready),
            exit_.i.payload.last.eq(normal.o.payload.last),
        ]
        for source, target in zip(normal.o.payload.values, exit_.i.payload.values, strict=True):
            m.d.comb += target.eq(_code(m, source, normal.o.payload.scale, longest))
        return m


def _normal_layout(config):
    """Values of a transfer with their leading zeros, and the exponent of the top bit of them all."""
    longest = config.max_mantissa
    value = data.StructLayout({"bits": longest, "negative": 1, "zeros": mantissa_bits(longest)})
    return data.StructLayout({"values": data.ArrayLayout(value, config.width), "scale": EXPONENT + 1, "last": 1})


def _code(m, value, scale, longest):
    """FP16 code of a mantissa, the exponent of whose top bit, were it set, is `scale`."""
    normal, field = value.zeros < scale, Signal(EXPONENT + 1)
    amount, shifted = Signal(range(longest + 2)), Signal(longest)
    m.d.comb += [
        field.eq(scale - value.zeros),
        # Up to the leading one and this one out, or to the place of a subnormal's bits.
        amount.eq(Mux(normal, value.zeros + 1, scale)),
        shifted.eq(shift_left(value.bits, amount)),
    ]
    fraction = Cat(Const(0, _FRACTION), shifted)[-_FRACTION:]
    empty = value.zeros == longest
    large = normal & (field >= _NONFINITE)
    exponent = Mux(large, _NONFINITE, Mux(normal & ~empty, field, 0))[:EXPONENT]
    return Cat(Mux(large & ~empty, 0, fraction), Mux(empty, 0, exponent), value.negative)
