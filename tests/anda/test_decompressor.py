"""The Anda decompressor against its golden model, and behind a compressor."""

import numpy as np
import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import connect, flipped
from amaranth.sim import Simulator
from benches import passes

from bitloom.cores.anda.compressor import AndaCompressor, AndaCompressorConfig
from bitloom.cores.anda.decompressor import AndaDecompressor, AndaDecompressorConfig
from bitloom.cores.catalogue import lookup
from bitloom.golden.anda import cycles as anda_cycles
from bitloom.golden.anda import planes as anda
from bitloom.testbench.formal import prove_no_path


class RoundTrip(wiring.Component):
    """A compressor and a decompressor behind it."""

    def __init__(self, **parameters):
        self.compressor = AndaCompressor(AndaCompressorConfig(**parameters))
        self.decompressor = AndaDecompressor(AndaDecompressorConfig(**parameters))
        members = self.compressor.signature.members
        ports = {"i": members["i"], "mantissa": members["mantissa"], "o": self.decompressor.signature.members["o"]}
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        m.submodules.compressor, m.submodules.decompressor = self.compressor, self.decompressor
        connect(m, self.compressor.o, self.decompressor.i)
        connect(m, flipped(self.i), self.compressor.i)
        connect(m, self.decompressor.o, flipped(self.o))
        m.d.comb += self.compressor.mantissa.eq(self.mantissa)
        return m


def test_what_goes_through_both_is_what_the_model_says():
    trip, taken = RoundTrip(lanes=2, group=16, width=16, max_mantissa=13), []
    codes = np.random.default_rng(3).integers(0, 1 << 16, (8, 16)).astype(np.uint16)
    lengths = [11, 11, 5, 5, 13, 13, 1, 1]

    async def feed(ctx):
        ctx.set(trip.i.valid, 1)
        for group, length in zip(codes.tolist(), lengths, strict=True):
            ctx.set(trip.i.payload, {"values": group, "last": 0})
            ctx.set(trip.mantissa, length)
            await ctx.tick().until(trip.i.ready)
        ctx.set(trip.i.valid, 0)

    async def drain(ctx):
        ctx.set(trip.o.ready, 1)
        while len(taken) < len(codes):
            (payload,) = await ctx.tick().sample(trip.o.payload).until(trip.o.valid)
            taken.append((list(payload["values"]), payload.last))

    simulator = Simulator(trip)
    simulator.add_clock(1e-6)
    simulator.add_testbench(feed)
    simulator.add_testbench(drain)
    simulator.run_until(1e-3)
    for index, (group, length) in enumerate(zip(codes, lengths, strict=True)):
        tensor = anda.encode(group.view(np.float16), length, group=16)
        assert taken[index] == (anda.to_float16(tensor).view(np.uint16).tolist(), index % 2)


def test_cycles():
    config = AndaDecompressorConfig(lanes=4, width=16)
    assert anda_cycles.decompressor_cycles(config, [5]) == 4 + 5 + 16
    assert anda_cycles.decompressor_cycles(config, [5] * 10) == 4 + 5 + 10 * 16
    assert anda_cycles.decompressor_cycles(AndaDecompressorConfig(lanes=1, width=64), [5, 7, 9]) == 4 + 5 + 7 + 9 + 1


def test_no_path_from_ready_to_ready():
    config = AndaDecompressorConfig(lanes=1, group=16, width=8, max_mantissa=4)
    targets = ["i__ready", "o__valid", "o__payload"]
    prove_no_path(AndaDecompressor(config), "o__ready", targets, "anda_decompressor")


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="width must divide the group of 64, not be 5"):
        AndaDecompressorConfig(width=5)
    with pytest.raises(ValueError, match="lanes must be 1 to 64, not 0"):
        AndaDecompressorConfig(lanes=0)


def check(parameters, vectors):
    config, result = passes("anda-decompressor", parameters, vectors)
    # Also where values take longer to leave than planes to come: then a set brings more planes than its mantissas have.
    assert (result.latency, result.interval) == (lookup("anda-decompressor").latency(config), 1)


@pytest.mark.parametrize(
    "parameters", [("lanes=3", "group=32", "width=8", "max_mantissa=9"), ("lanes=1", "group=16")], ids=" ".join
)
def test_decompressor_matches_its_golden_model(parameters):
    check(parameters, 2000)


@pytest.mark.long
@pytest.mark.parametrize(
    "parameters",
    [("lanes=1", "width=64"), ("lanes=1", "group=16", "width=1", "max_mantissa=1"), ("lanes=2", "max_mantissa=12")],
    ids=" ".join,
)
def test_decompressor_matches_its_golden_model_long(parameters):
    check(parameters, 10_000)
