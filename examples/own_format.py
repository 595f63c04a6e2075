"""A number format of one's own, from one description to NumPy, Amaranth, a check of every code, and Verilog.

The format is *log4*: 4 bits, sign and magnitude. Magnitude 0 is zero, magnitude m is the power of two 2**(m - 1), so
the values are 0, 1, 2, 4, ..., 64 and their negatives. The code of -0 is illegal and decodes to 0.

Run it: python examples/own_format.py [FILE.v]
"""

import sys
from dataclasses import dataclass

import numpy as np
from amaranth import Module, Mux, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped
from amaranth.sim import Simulator

from bitloom import ConfiguredCore
from bitloom.cores.catalogue import Core
from bitloom.cores.config import Config, param
from bitloom.hdl.stream.stages import Stage


@dataclass(frozen=True)
class LogFormat(Config):
    """The description: from it come the values, the widths and the hardware."""

    bits: int = param(4, "bits of a code: a sign and a magnitude", low=2, high=5)
    lanes: int = param(2, "codes a transfer", low=1, high=64)

    @property
    def magnitudes(self):
        """Values of the magnitude codes, ascending."""
        return np.concatenate([[0], 1 << np.arange(2 ** (self.bits - 1) - 1)])

    @property
    def width(self):
        """Bits of a decoded value, two's complement."""
        return int(self.magnitudes[-1]).bit_length() + 1

    @property
    def code_layout(self):
        """Payload of a stream of codes: `codes`, lane 0 lowest; `last`, the end of a packet."""
        return data.StructLayout({"codes": data.ArrayLayout(self.bits, self.lanes), "last": 1})

    @property
    def value_layout(self):
        """Payload of a stream of values: `values`, lane 0 lowest; `last`, the end of a packet."""
        return data.StructLayout({"values": data.ArrayLayout(signed(self.width), self.lanes), "last": 1})


# -- the golden model: NumPy only


def encode(x, fmt):
    """Nearest codes of numbers in units of the scale step; ties go to the smaller magnitude, -0 is never given."""
    x = np.asarray(x, float)
    bounds = (fmt.magnitudes[1:] + fmt.magnitudes[:-1]) / 2
    codes = np.searchsorted(bounds, np.abs(x), side="left")
    return np.where((x < 0) & (codes > 0), codes | 1 << (fmt.bits - 1), codes)


def decode(codes, fmt):
    """Values of any codes."""
    codes, sign = np.asarray(codes), 1 << (fmt.bits - 1)
    values = fmt.magnitudes[codes & (sign - 1)]
    return np.where(codes & sign, -values, values)


# -- the hardware


class LogDecoder(wiring.Component):
    """Decode a stream of codes. Latency 1 cycle, one transfer a cycle.

    Parameters
    ----------
    config : LogFormat

    Attributes
    ----------
    i : stream of `config.code_layout`
        Codes; transfers do not depend on each other.
    o : stream of `config.value_layout`
        Values, one transfer for each of `i`, in order.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {"i": In(stream.Signature(config.code_layout)), "o": Out(stream.Signature(config.value_layout))}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.stage = stage = Stage(self.config.value_layout)
        connect(m, stage.o, flipped(self.o))
        m.d.comb += [
            stage.i.valid.eq(self.i.valid),
            self.i.ready.eq(stage.i.ready),
            stage.i.payload.last.eq(self.i.payload.last),
        ]
        for lane in range(self.config.lanes):
            code = self.i.payload.codes[lane]
            # One bit for each magnitude code: shifted right by one, that is the power of two, and 0 for the code 0.
            magnitude = (1 << code[:-1]) >> 1
            m.d.comb += stage.i.payload.values[lane].eq(Mux(code[-1], -magnitude, magnitude))
        return m


#: What the catalogue holds of a core; with it, a core of one's own has the methods of the cores that are there.
LOG_DECODER = Core(
    name="log-decoder",
    summary="codes of sign and power of two to integers",
    paper="an example",
    config=LogFormat,
    component=LogDecoder,
    bench="",
    latency=lambda config: 1,
    interval=lambda config: 1,
    small=("bits=3",),
)


def check_every_code(config):
    """Send every code through the decoder in Amaranth's simulator, and compare with the golden model."""
    codes = np.arange(2**config.bits).repeat(config.lanes).reshape(-1, config.lanes)
    design, values = LogDecoder(config), []

    async def give(ctx):
        for lanes in codes.tolist():
            ctx.set(design.i.payload, {"codes": lanes, "last": 0})
            ctx.set(design.i.valid, 1)
            await ctx.tick().until(design.i.ready)
        ctx.set(design.i.valid, 0)

    async def take(ctx):
        ctx.set(design.o.ready, 1)
        for _ in codes:
            (payload,) = await ctx.tick().sample(design.o.payload).until(design.o.valid)
            values.append([*payload.values])

    simulator = Simulator(design)
    simulator.add_clock(1e-6)
    simulator.add_testbench(give)
    simulator.add_testbench(take)
    simulator.run()
    assert np.array_equal(values, decode(codes, config))
    return len(codes)


def main(file=None):
    for bits in (2, 3, 4, 5):
        print(f"log{bits}: {check_every_code(LogFormat(bits=bits))} codes equal the golden model")

    # Is the format any good? Bell-shaped values, the scale that suits each format best.
    x, steps = np.random.default_rng(1).normal(size=100_000), np.geomspace(1e-3, 1, 200)
    fmt = LogFormat()
    log4 = min(np.mean((decode(encode(x / s, fmt), fmt) * s - x) ** 2) for s in steps)
    int4 = min(np.mean((np.clip(np.round(x / s), -7, 7) * s - x) ** 2) for s in steps)
    print(f"mean squared error: log4 {log4:.4f}, int4 {int4:.4f}")

    design = ConfiguredCore(LOG_DECODER, fmt).generate(file).design
    print(f"module {design.top}: {len(design.verilog.splitlines())} lines, {len(design.ports)} ports")


if __name__ == "__main__":
    main(*sys.argv[1:2])
