"""The Anda decompressor: bit planes back to FP16 values (our choice: the paper computes on the planes).

The planes of a set are gathered in a shift register for each value; then the values leave, `width` a transfer, while
the planes of the next set come in. Only the values of one transfer are normalized at a time: cost of a value, two
registers of the longest mantissa and the sign, and of a value of a transfer, a leading-zero count, a shifter and four
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
_BEHIND = 4  # transfers of values behind the shift registers: zeros, distance, two at the output


class AndaDecompressorConfig(AndaPlanesConfig):
    """Parameters of `AndaDecompressor`."""


class AndaDecompressor(wiring.Component):
    """Give the FP16 values of bit planes.

    The mantissa length is the number of planes from `first` to `last`, 1 to `max_mantissa`. A set leaves in
    `lanes * group / width` transfers, element 0 of lane 0 first; it takes the larger of that and its mantissa length in
    cycles.

    Latency 5 cycles from the last plane of a set to its first values. One plane per cycle while the mantissa is not
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
        taken, full, swap, step = Signal(), Signal(), Signal(), Signal()
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
        left, beat = Signal(range(config.load + 1)), Signal(range(beats))
        # No more than one transfer is left, or none: registers, since all values wait for them.
        ends, idle = Signal(), Signal(init=1)
        m.submodules.counted = counted = PipelineRegister(_counted_layout(config))
        self._leave(m, counted.o)
        # Whether `counted` is ready, as a register too.
        inside, after, room = Signal(range(_BEHIND + 1)), Signal(range(_BEHIND + 1)), Signal(init=1)
        m.d.comb += [
            step.eq(~idle & room),
            swap.eq(full & (idle | (ends & room))),
            after.eq(inside + step - (self.o.valid & self.o.ready)),
        ]
        m.d.sync += [inside.eq(after), room.eq(after != _BEHIND)]
        with m.If(step):
            m.d.sync += [left.eq(left - 1), ends.eq(left == 2), idle.eq(ends)]
            for value, following in zip(going, going[config.width :], strict=False):
                m.d.sync += value.eq(following)
            m.d.sync += beat.eq(Mux(beat == beats - 1, 0, beat + 1))
            with m.If(beat == beats - 1):
                m.d.sync += [scale.eq(following) for scale, following in itertools.pairwise(scales)]
        with m.If(swap):
            m.d.sync += [left.eq(config.load), ends.eq(config.load == 1), idle.eq(0)]
            m.d.sync += [value.eq(source) for value, source in zip(going, coming, strict=True)]
            # The exponent that the top bit of the shift register stands for.
            m.d.sync += [scale.eq(exponents[lane] + (longest - planes)) for lane, scale in enumerate(scales)]

        m.d.comb += [counted.i.valid.eq(step), counted.i.payload.last.eq(ends), counted.i.payload.scale.eq(scales[0])]
        for source, target in zip(going, counted.i.payload.values, strict=False):
            m.d.comb += [
                target.bits.eq(source.bits),
                target.negative.eq(source.negative),
                target.zeros.eq(leading_zeros(source.bits)),
            ]
        return m

    def _leave(self, m, counted):
        """From leading zeros to FP16 codes: first by how much to shift, then the shift."""
        config = self.config
        m.submodules.placed = placed = PipelineRegister(_placed_layout(config))
        m.submodules.exit = exit_ = Stage(config.value_layout)
        connect(m, exit_.o, flipped(self.o))
        for source, target in ((counted, placed.i), (placed.o, exit_.i)):
            m.d.comb += [
                target.valid.eq(source.valid),
                source.ready.eq(target.ready),
                target.payload.last.eq(source.payload.last),
            ]
        for source, target in zip(counted.payload.values, placed.i.payload.values, strict=True):
            m.d.comb += _place(target, source, counted.payload.scale, config.max_mantissa)
        for source, target in zip(placed.o.payload.values, exit_.i.payload.values, strict=True):
            m.d.comb += target.eq(_code(m, source, config.max_mantissa))


def _counted_layout(config):
    """Values of a transfer with their leading zeros, and the exponent of the top bit of them all."""
    longest = config.max_mantissa
    value = data.StructLayout({"bits": longest, "negative": 1, "zeros": mantissa_bits(longest)})
    return data.StructLayout({"values": data.ArrayLayout(value, config.width), "scale": EXPONENT + 1, "last": 1})


def _placed_layout(config):
    """Values of a transfer with their exponents, and how far the fraction is to the left, or that it is zero."""
    longest = config.max_mantissa
    fields = {"bits": longest, "negative": 1, "exponent": EXPONENT, "amount": range(longest + 2), "infinite": 1}
    return data.StructLayout({"values": data.ArrayLayout(data.StructLayout(fields), config.width), "last": 1})


def _place(target, value, scale, longest):
    """Assignments: where the bits of a value go, the exponent of whose top bit, were it set, is `scale`."""
    normal, field = value.zeros < scale, (scale - value.zeros)[: EXPONENT + 1]
    empty = value.zeros == longest
    large = normal & (field >= _NONFINITE)
    return [
        target.bits.eq(value.bits),
        target.negative.eq(value.negative),
        target.exponent.eq(Mux(empty | ~normal, 0, Mux(large, _NONFINITE, field))),
        # Up to the leading one and this one out, or to the place of a subnormal's bits.
        target.amount.eq(Mux(normal, value.zeros + 1, scale)),
        target.infinite.eq(large & ~empty),
    ]


def _code(m, value, longest):
    """FP16 code of a value of `_placed_layout`."""
    shifted = Signal(longest)
    m.d.comb += shifted.eq(shift_left(value.bits, value.amount))
    fraction = Cat(Const(0, _FRACTION), shifted)[-_FRACTION:]
    return Cat(Mux(value.infinite, 0, fraction), value.exponent, value.negative)
