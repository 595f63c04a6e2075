"""The HGQ tile (Hierarchical Group Quantization) against its golden model, for every scheme."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from benches import rehearse

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.cores.sevedo.hgq_pe import DotProduct
from bitloom.cores.sevedo.hgq_tile import HgqTile, HgqTileConfig
from bitloom.golden.sevedo import hgq
from bitloom.golden.sevedo import hgq_tile as golden
from bitloom.testbench.drive import drive
from bitloom.testbench.formal import ProofFailed, prove, prove_no_path
from bitloom.testbench.reduction_contract import ReductionContract
from bitloom.testbench.runner import simulate

CORE = "hgq-tile"
TINY = {"rows": 2, "cols": 1, "coarse": 2, "fine": 1, "shift_bits": 1, "adder": 1}


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="lanes must divide the 4 rows, not be 3"):
        HgqTileConfig(lanes=3)
    with pytest.raises(ValueError, match="coarse must be a multiple of the fine group of 16, not 24"):
        HgqTileConfig(coarse=24)
    with pytest.raises(ValueError, match="n must be 1 or more, not 0"):
        golden.cycles(HgqTileConfig(), 1, 1, 0)


def test_cycles():
    config = HgqTileConfig(rows=8, cols=8)
    assert config.unit_lanes == 8
    # One transfer on the way in, 12 cycles to the first row of results, eight rows.
    assert golden.cycles(config, 8, 16, 8) == 12 + 8
    # Without bubbles between coarse groups, between reductions, or both: 64 products of 16 a cycle.
    assert golden.cycles(config, 8, 384, 8) == 24 - 1 + 12 + 8
    assert golden.cycles(config, 128, 384, 384) == 16 * 48 * 24 - 1 + 12 + 8
    # K of 24 fine groups and one more element: the last coarse group takes the turns of eight lanes.
    assert golden.cycles(config, 16, 385, 8) == 2 * 32 - 1 + 12 + 8
    assert golden.cycles(HgqTileConfig(rows=8, cols=8, dot=2), 8, 384, 8) == 24 - 1 + 13 + 8
    flat = HgqTileConfig(rows=8, cols=8, scheme="flat")
    assert golden.cycles(flat, 128, 384, 384) == 16 * 48 * 24 - 1 + 10 + 8
    assert golden.cycles(flat, 16, 16, 8) == 8 + 10 + 8


def test_floating_point_operations():
    assert golden.float_operations(HgqTileConfig(), 384) == 2 / 128
    assert golden.float_operations(HgqTileConfig(scheme="flat"), 384) == 2 / 16
    assert golden.float_operations(HgqTileConfig(scheme="channel"), 384) == 1 / 384


@pytest.mark.parametrize("cycles", [1, 2])
@pytest.mark.parametrize("fine", [1, 2, 3, 16, pytest.param(64, marks=pytest.mark.long)])
def test_dot_product(fine, cycles):
    config = HgqTileConfig(fine=fine, coarse=fine, dot=cycles)
    dot, rng = DotProduct(config), np.random.default_rng(fine)
    sides = [rng.integers(-7, 8, (24, fine)) for _ in range(2)]
    sides[0][:2] = 7
    sides[1][:2] = [[7], [-7]]
    expected = [None] * (cycles - 1) + [x @ w for x, w in zip(*sides, strict=True)]

    async def bench(ctx):
        ctx.set(dot.en, 1)
        for x, w, o in zip(*sides, expected, strict=False):
            for port, values in ((dot.x, x), (dot.w, w)):
                lanes = enumerate(values.tolist())
                ctx.set(port.as_value(), sum((abs(value) | (value < 0) << 3) << 4 * lane for lane, value in lanes))
            await ctx.tick()
            assert o is None or ctx.get(dot.o) == o

    simulator = Simulator(dot)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def payloads(t, last):
    """Transfers of a tensor, one fine group of each row."""
    codes = (t.codes & 15).astype(int).reshape(*t.shifts.shape, t.fine)
    rows = []
    for step in range(t.shifts.shape[1]):
        word, at = 0, 0
        for row in range(len(codes)):
            scale = int(t.scales.view(np.uint16)[row, step * t.fine // t.coarse])
            fields = [*((code, 4) for code in codes[row, step]), (int(t.shifts[row, step]), t.shift_bits), (scale, 16)]
            for value, bits in fields:
                word |= int(value) << at
                at += bits
        word |= (last and step == t.shifts.shape[1] - 1) << at
        rows.append(list(word.to_bytes(-(-(at + 1) // 8), "little")))
    return np.array(rows, np.uint8)


def test_worked_example():
    """spec/sevedo.md 8: K = 16, coarse groups of 8, fine groups of 4; two roundings are halfway."""
    x = [7, -3.5, 0.5, 2, 0.875, -0.3125, 0.1875, 0, -1, 3, 0.25, -2.5, 0, 0, 0, 0]
    w = [
        [0.75, -0.5, 0.25, 0, 1.75, 0.625, -1.125, 0.375, 0.125, -0.25, 0.5, 0.0625, -0.875, 0.4375, 0.21875, 1],
        [-1, 0.3, 0.6, -0.2, 0.05, -0.1, 0.12, 0.02, 2, -1.5, 0.7, 0.1, 0.3, 0.2, -0.4, 0.25],
    ]
    x, w = (hgq.quantize(np.array(side, np.float16), 8, 4) for side in ([x], w))
    assert x.codes[0, :8].tolist() == [7, -4, 0, 2, 7, -2, 2, 0] and x.shifts.tolist() == [[3, 0, 3, 0]]
    config = HgqTileConfig(rows=1, cols=2, coarse=8, fine=4)
    driven = drive(generate(lookup(CORE), config), {"x": payloads(x, True), "w": payloads(w, False)}, {"o": 1})
    assert driven.failure is None
    code = int.from_bytes(driven.outputs["o"][0].tobytes(), "little")
    assert (code & 0xFFFFFFFF, code >> 32 & 0xFFFFFFFF, code >> 64) == (0x40EEA5C1, 0xC1612EC8, 1)


@pytest.mark.parametrize(
    "parameters",
    [
        ["rows=4", "cols=2", "coarse=8", "fine=4", "shift_bits=1", "adder=2"],
        ["rows=3", "cols=1", "fine=4", "coarse=16"],
        ["rows=2", "cols=1", "fine=4", "coarse=16", "dot=2"],
        ["rows=3", "cols=2", "fine=2", "scheme=flat", "dot=2"],
        ["rows=4", "cols=1", "fine=4", "lanes=2", "scheme=channel", "dot=2"],
    ],
    ids=" ".join,
)
def test_bench(parameters):
    core = lookup(CORE)
    result = simulate(core, core.config.parse(parameters), vectors=100, seed=2)
    assert result.passed, result.summary()
    assert result.vectors == 100


@pytest.mark.long
@pytest.mark.parametrize(
    "parameters", [[], ["dot=2"], ["scheme=flat"], ["scheme=channel"], ["rows=8", "cols=2"]], ids=" ".join
)
def test_bench_long(parameters):
    core = lookup(CORE)
    result = simulate(core, core.config.parse(parameters), vectors=1000, seed=5)
    assert result.passed, result.summary()


#: Coarse groups of one value, and of one fine group for lanes that have more turns.
EDGES = [
    ["rows=1", "cols=1", "coarse=1", "fine=1", "shift_bits=0", "adder=5"],
    ["rows=3", "cols=1", "coarse=2", "fine=2", "shift_bits=3", "lanes=3", "dot=2"],
    ["rows=5", "cols=2", "coarse=2", "fine=1", "scheme=flat"],
    ["rows=1", "cols=3", "coarse=2", "fine=2", "scheme=channel", "dot=2"],
]


@pytest.mark.parametrize("vectors", [1, 2])
@pytest.mark.parametrize("parameters", EDGES, ids=" ".join)
def test_rehearsal(parameters, vectors):
    rehearse(CORE, parameters, vectors)


@pytest.mark.long
@pytest.mark.parametrize("parameters", EDGES, ids=" ".join)
def test_bench_at_the_edge(parameters):
    core = lookup(CORE)
    config = core.config.parse(parameters)
    result = simulate(core, config, vectors=2, seed=2)
    assert result.passed, result.summary()
    assert result.latency == core.latency(config)


def contract(dot, room=0):
    return ReductionContract(HgqTile(HgqTileConfig(**TINY, dot=dot)), "xw", room or 11 + dot)


def test_contract_up_to_the_second_result():
    """A reduction of two transfers, a latency of 10, two results."""
    prove(contract(1), "hgq-tile", mode="bmc", depth=14)
    with pytest.raises(ProofFailed, match="no more results inside"):
        prove(contract(1, room=2), "hgq-tile-wrong", mode="bmc", depth=14)


@pytest.mark.long
@pytest.mark.parametrize("dot", [1, 2])
def test_contract(dot):
    prove(contract(dot), "hgq-tile")


@pytest.mark.parametrize("scheme", golden.SCHEMES)
def test_no_path_from_ready_to_ready(scheme):
    targets = ["x__ready", "w__ready", "o__valid", "o__payload"]
    prove_no_path(HgqTile(HgqTileConfig(**TINY, scheme=scheme)), "o__ready", targets, "hgq_tile")
