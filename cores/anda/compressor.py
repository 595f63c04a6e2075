"""The Anda compressor: FP16 values to groups with one exponent and bit planes, at run time (Section IV-C, Figure 12).

Cost of a value: 6 + f bits of its code while its group comes in, 7 + f while it goes out, and 2 at the output, where f
is the smaller of 10 and the longest mantissa less one. Cost of a lane: four registers of an exponent, a counter,
compares. Values of a transfer, `width`, cost two registers each at the input: as few as keep up with the planes are
best, `lanes * group / width` about the mantissa length.
"""

from dataclasses import dataclass

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect

from ...golden.anda import planes as golden
from ...hdl.emission.replicate import Replica
from ...hdl.stream.stages import Stage
from ..config import param
from .lane import AndaLane
from .planes import AndaPlanesConfig, clamped, mantissa_bits
from .rounder import AndaRounder, Maxima, beat_layout

__all__ = ["AndaCompressor", "AndaCompressorConfig"]


@dataclass(frozen=True)
class AndaCompressorConfig(AndaPlanesConfig):
    """Parameters of `AndaCompressor`."""

    rounding: str = param(
        golden.ROUNDINGS[0], "of bits beyond the mantissa: the paper's, or ours", choices=golden.ROUNDINGS
    )

    @property
    def spans(self):
        """Exponents that a transfer's are reduced to before they reach a lane: half of the way to one."""
        return -(-self.width // (4 if self.width <= 16 else 8))


class AndaCompressor(wiring.Component):
    """Compress FP16 values to bit planes.

    A group is `group / width` transfers, a set one group for each lane, lane 0 first. After the last transfer of a set
    its planes come out, those of the most significant bits first, as many as the mantissa is long, while the next set
    goes in: a set every `max(mantissa, lanes * group / width)` cycles. The latter is the paper's: 16 lanes, 16
    transfers of one group each.

    Latency 5 cycles from the last transfer of a set to its first plane; rounding to nearest takes
    `group / width + 4` more. One transfer per cycle while the mantissa is not longer than a set has transfers. No
    combinational path from `o.ready` to `i.ready`.

    Parameters
    ----------
    config : AndaCompressorConfig

    Attributes
    ----------
    i : in stream of `config.value_layout`
        FP16 codes: the group of lane 0, element 0 first, then that of lane 1, and so on. `last` ends a set early:
        values that are missing are +0, groups that are missing all +0, with the exponent 1.
    o : out stream of `config.planes_layout`
        Bit planes, one a transfer, the most significant one first; equal to `golden.anda.planes.encode`. Signs and
        exponents come with each plane of the set.
    mantissa : in
        Mantissa length of the set, taken with the set's first transfer. 0 counts as 1, one that is too long as
        `max_mantissa` (our choice).
    nonfinite : out 1
        High from the first Inf or NaN on, at the latest together with its set's first plane, until reset.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(config.value_layout)),
                "o": Out(stream.Signature(config.planes_layout)),
                "mantissa": In(mantissa_bits(config.max_mantissa)),
                "nonfinite": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        if config.rounding == "nearest":
            m.submodules.entry = entry = AndaRounder(config)
        else:
            m.submodules.entry = entry = Stage(beat_layout(config))
        m.submodules.group_maxima = maxima = Maxima(config)
        connect(m, entry.o, maxima.i)
        self._enter(m, entry)

        coming = maxima.o.payload
        full, swap, step, write = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [maxima.o.ready.eq(~full | swap), write.eq(maxima.o.valid & maxima.o.ready)]

        # Where the next transfer goes, one-hot.
        beats = config.group // config.width
        beat, lane = Signal(beats, init=1), Signal(config.lanes, init=1)
        length = Signal(mantissa_bits(config.max_mantissa), reset_less=True)
        with m.If(write):
            m.d.sync += [beat.eq(beat.rotate_left(1)), full.eq(coming.beat.last), length.eq(coming.beat.mantissa)]
            with m.If(beat[-1]):
                m.d.sync += lane.eq(lane.rotate_left(1))
            with m.If(coming.beat.last):
                m.d.sync += [beat.eq(1), lane.eq(1)]
        with m.Elif(swap):
            m.d.sync += full.eq(0)

        # Planes that are still to be taken of the set that goes out; that is the last one, or there is none: registers,
        # since all values wait for them.
        left, first, free = Signal(len(length)), Signal(reset_less=True), Signal()
        ends, idle = Signal(), Signal(init=1)
        m.d.comb += [
            free.eq(self.o.ready | ~self.o.valid),
            step.eq(~idle & free),
            swap.eq(full & (idle | (ends & free))),
        ]
        with m.If(free):
            m.d.sync += self.o.valid.eq(~idle)
        with m.If(step):
            m.d.sync += [left.eq(left - 1), ends.eq(left == 2), idle.eq(ends), first.eq(0)]
            m.d.sync += [self.o.payload.first.eq(first), self.o.payload.last.eq(ends)]
        with m.If(swap):
            m.d.sync += [left.eq(length), ends.eq(length == 1), idle.eq(0), first.eq(1)]

        nonfinite = []
        for index in range(config.lanes):
            packer = AndaLane(config)
            m.submodules[f"lane_{index}"] = Replica(packer)
            m.d.comb += [
                packer.write.eq(write & lane[index]),
                packer.select.eq(beat),
                packer.values.eq(coming.beat.values),
                packer.maxima.eq(coming.maxima),
                packer.swap.eq(swap),
                packer.step.eq(step),
                packer.first.eq(first),
                self.o.payload.plane[index].eq(packer.plane),
                self.o.payload.signs[index].eq(packer.signs),
                self.o.payload.exponents[index].eq(packer.exponent),
            ]
            nonfinite.append(packer.nonfinite)
        with m.If(Cat(nonfinite).any()):
            m.d.sync += self.nonfinite.eq(1)
        return m

    def _enter(self, m, entry):
        """Connect the input; each transfer gets the mantissa length of its set, and the set's last one is marked."""
        config, beat = self.config, entry.i.payload
        position, held = Signal(range(config.load)), Signal(mantissa_bits(config.max_mantissa), reset_less=True)
        m.d.comb += [
            entry.i.valid.eq(self.i.valid),
            self.i.ready.eq(entry.i.ready),
            beat.values.eq(self.i.payload.values),
            beat.mantissa.eq(Mux(position == 0, clamped(self.mantissa, config.max_mantissa), held)),
            beat.last.eq(self.i.payload.last | (position == config.load - 1)),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [position.eq(Mux(beat.last, 0, position + 1)), held.eq(beat.mantissa)]
