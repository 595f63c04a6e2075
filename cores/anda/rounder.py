"""Rounding to nearest, in front of an aligner that cuts (our variant; the paper's hardware cannot round).

The aligner gives the most significant bit first, and a rounding's carry goes the other way. So each FP16 value is
rounded beforehand, to the bits that will be left of it: the value that comes out is an FP16 number too, and cutting
that one gives the rounded mantissa. An addition to the whole code does it, for its carry out of the fraction is a
carry into the exponent, and one from the largest subnormal gives the smallest normal number.

How many bits will be left depends on the largest exponent of the group. A group waits in a memory until all of it has
come; that memory, and for each value of a transfer a subtraction, an addition of 15 bits and two registers, is the
price. The exponent of a group does not change: where the addition would carry beyond it, the value stays as it is,
and is cut to the largest mantissa.
"""

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...hdl.stream.stages import PipelineRegister, Stage
from .planes import EXPONENT, largest, mantissa_bits

__all__ = ["AndaRounder", "Maxima", "beat_layout"]

_FRACTION = 10
_WAY = 3  # transfers that follow a group into the queue before its first one leaves


def beat_layout(config):
    """Payload of a stream of FP16 values inside the compressor: `values`, the `mantissa` length, `last` of the set."""
    return data.StructLayout(
        {
            "values": data.ArrayLayout(16, config.width),
            "mantissa": mantissa_bits(config.max_mantissa),
            "last": 1,
        }
    )


class Maxima(wiring.Component):
    """Register stage that adds, to each transfer, the largest exponents of its parts. Latency 1.

    Parameters
    ----------
    config : AndaCompressorConfig

    Attributes
    ----------
    i : in stream of `beat_layout(config)`
    o : out stream
        `beat`, what came in, and `maxima`.
    """

    def __init__(self, config):
        self.config = config
        layout = {"beat": beat_layout(config), "maxima": data.ArrayLayout(EXPONENT, config.spans)}
        super().__init__(
            {
                "i": In(stream.Signature(beat_layout(config))),
                "o": Out(stream.Signature(data.StructLayout(layout))),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.register = register = PipelineRegister(self.o.payload.shape())
        connect(m, register.o, flipped(self.o))
        m.d.comb += [
            register.i.valid.eq(self.i.valid),
            self.i.ready.eq(register.i.ready),
            register.i.payload.beat.eq(self.i.payload),
        ]
        exponents = [value[_FRACTION:-1] for value in self.i.payload.values]
        for index, target in enumerate(register.i.payload.maxima):
            m.d.comb += target.eq(largest(m, exponents[index :: self.config.spans], f"span_{index}"))
        return m


class AndaRounder(wiring.Component):
    """Round FP16 values to the bits that a mantissa will have of them: to nearest, ties to even.

    One transfer per cycle. Latency 6 cycles after the last transfer of the group; no combinational path from
    `o.ready` to `i.ready`.

    Parameters
    ----------
    config : AndaCompressorConfig

    Attributes
    ----------
    i, o : streams of `beat_layout(config)`
        Values; a group ends after `group / width` transfers or with `last`. Cutting to `mantissa` bits what comes out
        gives `golden.anda.planes.encode(…, rounding="nearest")`.
    """

    def __init__(self, config):
        self.config = config
        layout = stream.Signature(beat_layout(config))
        super().__init__({"i": In(layout), "o": Out(layout)})

    def elaborate(self, platform):
        m = Module()
        config = self.config
        beats = config.group // config.width
        m.submodules.group_maxima = maxima = Maxima(config)
        connect(m, flipped(self.i), maxima.i)

        # Two queues: the transfers with a mark on the last one of each group, and the groups' exponents.
        beat = maxima.o.payload.beat
        depth = beats + _WAY
        m.submodules.waiting = waiting = fifo.SyncFIFOBuffered(width=len(Value.cast(beat)) + 1, depth=depth)
        m.submodules.exponents = exponents = fifo.SyncFIFOBuffered(width=EXPONENT, depth=depth)
        take, position, ends = Signal(), Signal(range(beats)), Signal()
        m.d.comb += [
            take.eq(maxima.o.valid & maxima.o.ready),
            maxima.o.ready.eq(waiting.w_rdy),
            ends.eq(beat.last | (position == beats - 1)),
            waiting.w_data.eq(Cat(beat, ends)),
            waiting.w_en.eq(take),
        ]
        with m.If(take):
            m.d.sync += position.eq(Mux(ends, 0, position + 1))
        # The exponent comes a cycle after its group. It has room: no more groups wait than transfers.
        merged, merges, closes = Signal(EXPONENT, reset_less=True), Signal(), Signal()
        reached, top = Signal(EXPONENT, init=1), Signal(EXPONENT)
        m.d.sync += [
            merged.eq(largest(m, list(maxima.o.payload.maxima), "merged")),
            merges.eq(take),
            closes.eq(take & ends),
        ]
        m.d.comb += [
            top.eq(largest(m, [reached, merged], "top")),
            exponents.w_data.eq(top),
            exponents.w_en.eq(closes),
        ]
        with m.If(merges):
            m.d.sync += reached.eq(Mux(closes, 1, top))

        distances = data.StructLayout(
            {
                "beat": beat_layout(config),
                "dropped": data.ArrayLayout(4, config.width),
                "top": config.width,
            }
        )
        m.submodules.distances = distance = PipelineRegister(distances)
        m.submodules.rounded = rounded = Stage(beat_layout(config))
        connect(m, rounded.o, flipped(self.o))
        m.d.comb += [
            distance.i.valid.eq(waiting.r_rdy & exponents.r_rdy),
            waiting.r_en.eq(exponents.r_rdy & distance.i.ready),
            exponents.r_en.eq(waiting.r_rdy & waiting.r_data[-1] & distance.i.ready),
            distance.i.payload.beat.eq(waiting.r_data),
            rounded.i.valid.eq(distance.o.valid),
            distance.o.ready.eq(rounded.i.ready),
            rounded.i.payload.mantissa.eq(distance.o.payload.beat.mantissa),
            rounded.i.payload.last.eq(distance.o.payload.beat.last),
        ]

        # Bits dropped of a normal number with exponent e: E - e + 11 - M.
        least = Signal(signed(7))
        m.d.comb += least.eq(exponents.r_data + (_FRACTION + 1) - distance.i.payload.beat.mantissa)
        for index, code in enumerate(distance.i.payload.beat.values):
            exponent, dropped = Signal(EXPONENT, name=f"exponent_{index}"), Signal(signed(7), name=f"dropped_{index}")
            m.d.comb += [
                exponent.eq(code[_FRACTION:-1] | (code[_FRACTION:-1] == 0)),
                dropped.eq(least - exponent),
                distance.i.payload.top[index].eq(code[_FRACTION:-1] == exponents.r_data),
            ]
            # None for a number that is kept whole, nor for one below half of the last bit.
            with m.If((dropped > 0) & (dropped <= _FRACTION + 1)):
                m.d.comb += distance.i.payload.dropped[index].eq(dropped)
        for index, target in enumerate(rounded.i.payload.values):
            source = distance.o.payload
            m.d.comb += target.eq(_rounded(m, source.beat.values[index], source.dropped[index], source.top[index]))
        return m


def _rounded(m, code, dropped, top):
    """A code that is rounded so that its lowest `dropped` bits, 0 to 11, may be cut; `top`: of the largest exponent."""
    magnitude = code[:-1]
    kept = magnitude[_FRACTION:].any()
    # Half of the last bit that is kept, less one, and that bit: ties go to the even neighbour.
    below = Cat(dropped >= bit + 2 for bit in range(_FRACTION))
    lowest = Array([Const(0, 1), *magnitude[1:_FRACTION], kept, *([Const(0, 1)] * 5)])[dropped]
    total = Signal(17)
    m.d.comb += total.eq(Cat(Const(1, 1), magnitude) + Cat(lowest, below))
    carried = total[_FRACTION + 1] != magnitude[_FRACTION]
    return Cat(Mux(top & carried, magnitude, total[1:16]), code[-1])
