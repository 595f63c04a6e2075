"""The Anda compressor against its golden model, and what its bench cannot see."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from benches import passes, rehearse

from bitloom.cores.anda.compressor import AndaCompressor, AndaCompressorConfig
from bitloom.cores.catalogue import lookup
from bitloom.golden.anda import cycles as anda_cycles
from bitloom.golden.anda import planes as anda
from bitloom.testbench.formal import prove_no_path

SMALL = AndaCompressorConfig(lanes=2, group=16, max_mantissa=4)


def stream_planes(component, sets, mantissas):
    """Planes that Amaranth's simulator gives: for each plane, (plane, signs, exponents, first, last) of all lanes.

    `sets` holds lists of transfers, each a list of FP16 codes; the last one of each is marked. `mantissas` is what the
    port shows from each transfer on.
    """
    taken = []
    transfers = [(codes, codes is beats[-1]) for beats in sets for codes in beats]

    async def feed(ctx):
        for (codes, last), mantissa in zip(transfers, mantissas, strict=True):
            ctx.set(component.i.payload, {"values": codes, "last": last})
            ctx.set(component.i.valid, 1)
            ctx.set(component.mantissa, mantissa)
            await ctx.tick().until(component.i.ready)
        ctx.set(component.i.valid, 0)

    async def drain(ctx):
        ctx.set(component.o.ready, 1)
        async for _, _, valid, payload in ctx.tick().sample(component.o.valid, component.o.payload):
            if valid:
                fields = (list(payload[name]) for name in ("plane", "signs", "exponents"))
                taken.append((*fields, payload.first, payload.last))
                if sum(last for *_, last in taken) == len(sets):
                    break

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(feed)
    simulator.add_testbench(drain)
    simulator.run_until(1e-3)
    return taken


def expected(codes, mantissa, rounding="truncate"):
    """What `stream_planes` must give of one set, codes of shape (lanes, group)."""
    t = anda.encode(np.array(codes, np.uint16).view(np.float16), mantissa, rounding, len(codes[0]))
    planes = t.planes[:, 0].T.tolist()
    beside = t.signs[:, 0].tolist(), t.exponents[:, 0].tolist()
    return [(plane, *beside, index == 0, index == mantissa - 1) for index, plane in enumerate(planes)]


@pytest.mark.parametrize("rounding", anda.ROUNDINGS)
def test_the_length_is_taken_with_the_first_transfer_of_a_set(rounding):
    """The port changes in the middle of a set, and again before the planes of that set have left."""
    component = AndaCompressor(AndaCompressorConfig(lanes=2, group=16, max_mantissa=9, rounding=rounding))
    codes = np.random.default_rng(1).integers(0x3000, 0x4400, (3, 2, 16)).tolist()
    found = stream_planes(component, codes, [5, 1, 9, 0, 2, 7])
    wanted = [expected(lanes, mantissa, rounding) for lanes, mantissa in zip(codes, (5, 9, 2), strict=True)]
    assert found == [plane for planes in wanted for plane in planes]


def test_a_short_set_is_filled_with_zeros():
    component = AndaCompressor(AndaCompressorConfig(lanes=3, group=16, width=8, max_mantissa=4))
    full = np.random.default_rng(2).integers(0x3000, 0x4400, (6, 8)).tolist()
    # Three transfers of six: half of lane 1 and all of lane 2 are missing.
    short = [[0xC000] * 8, [0x0001] * 8, [0x4200] * 8]
    found = stream_planes(component, [full, short], [4] * 9)
    lanes = [[0xC000] * 8 + [0x0001] * 8, [0x4200] * 8 + [0] * 8, [0] * 16]
    assert found[4:] == expected(lanes, 4)
    assert found[4][1] == [0x00FF, 0, 0]
    assert found[4][2] == [16, 16, 1]


def test_figure_12_of_the_paper():
    """Distances 0, 2 and 1: planes 1 to 3, read top to bottom, are 100, 001 and 110."""
    codes = [(15 << 10) | (0b01101 << 5), (13 << 10) | (0b10010 << 5), (14 << 10) | (0b00100 << 5)]
    found = stream_planes(AndaCompressor(SMALL), [[codes + [0] * 13]], [3])
    planes = [[plane[0] >> value & 1 for value in range(3)] for plane, *_ in found]
    assert planes == [[1, 0, 0], [0, 0, 1], [1, 1, 0]]


def test_cycles_of_the_paper():
    """16 lanes and a group a cycle: 16 groups take the larger of 16 and M cycles."""
    config = AndaCompressorConfig(lanes=16, width=64)
    for mantissa in range(1, 17):
        of = [anda_cycles.compressor_cycles(config, [16] * count, [mantissa] * count) for count in (1, 2, 10)]
        assert of == [20 + mantissa + (count - 1) * 16 for count in (1, 2, 10)]
    narrow = AndaCompressorConfig(lanes=1, width=64)
    assert anda_cycles.compressor_cycles(narrow, [1, 1, 1], [5, 7, 2]) == 4 + 1 + 5 + 7 + 2


@pytest.mark.parametrize("rounding", anda.ROUNDINGS)
def test_no_path_from_ready_to_ready(rounding):
    config = AndaCompressorConfig(lanes=1, group=16, width=8, max_mantissa=4, rounding=rounding)
    targets = ["i__ready", "o__valid", "o__payload", "nonfinite"]
    prove_no_path(AndaCompressor(config), "o__ready", targets, "anda_compressor")


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="width must divide the group of 64, not be 24"):
        AndaCompressorConfig(width=24)
    with pytest.raises(ValueError, match="width must divide the group of 16, not be 32"):
        AndaCompressorConfig(group=16, width=32)
    with pytest.raises(ValueError, match="group must be one of 16, 32, 64, not 48"):
        AndaCompressorConfig(group=48)
    with pytest.raises(ValueError, match="max_mantissa must be 1 to 16, not 17"):
        AndaCompressorConfig(max_mantissa=17)
    with pytest.raises(ValueError, match="rounding must be one of truncate, nearest, not 'up'"):
        AndaCompressorConfig(rounding="up")


def check(parameters, vectors):
    config, result = passes("anda-compressor", parameters, vectors)
    assert (result.latency, result.interval) == (lookup("anda-compressor").latency(config), 1)
    assert result.coverage["codes at every distance"] == [1079296, 1079296]


@pytest.mark.parametrize(
    "parameters",
    [
        ("lanes=3", "group=32", "width=32", "max_mantissa=9", "rounding=nearest"),
        ("lanes=1", "width=64", "max_mantissa=13"),
    ],
    ids=" ".join,
)
def test_compressor_matches_its_golden_model(parameters):
    check(parameters, 2000)


@pytest.mark.long
@pytest.mark.parametrize(
    "parameters",
    [
        ("rounding=nearest",),
        ("lanes=16", "width=64"),
        ("lanes=16", "width=64", "rounding=nearest"),
        ("lanes=1", "group=16", "width=1", "max_mantissa=1"),
        ("lanes=1", "group=16", "width=2", "rounding=nearest"),
        ("lanes=1", "group=16", "rounding=nearest"),
        ("lanes=2", "group=16", "max_mantissa=4", "rounding=nearest"),
    ],
    ids=" ".join,
)
def test_compressor_matches_its_golden_model_long(parameters):
    check(parameters, 10_000)


@pytest.mark.parametrize("rounding", anda.ROUNDINGS)
@pytest.mark.parametrize("size", ["lanes=1 group=16", "lanes=1 group=16 width=8", "lanes=16 group=32 width=32"])
def test_its_bench_sends_more_than_it_holds(size, rounding):
    """Sets of a single transfer: more of them wait inside than of others."""
    rehearse("anda-compressor", [*size.split(), f"rounding={rounding}"], 1)
