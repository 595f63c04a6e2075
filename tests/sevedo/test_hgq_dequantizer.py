"""The HGQ dequantizer (Hierarchical Group Quantization) against its golden model, and its streams by proof."""

import pytest
from amaranth.sim import Simulator
from benches import rehearse

from bitloom.cores.catalogue import lookup
from bitloom.cores.sevedo.hgq_dequantizer import DequantizerConfig, HgqDequantizer
from bitloom.cores.sevedo.hgq_scaler import Scaler
from bitloom.golden.sevedo import hgq_tile as golden
from bitloom.hdl.reduction.unit import Lane
from bitloom.testbench.formal import ProofFailed, prove, prove_no_path
from bitloom.testbench.reduction_contract import ReductionContract
from bitloom.testbench.runner import simulate

CORE = "hgq-dequantizer"
TINY = {"coarse": 2, "fine": 1, "shift_bits": 1, "adder": 1}


def contract(room):
    config = DequantizerConfig(**TINY)
    return ReductionContract(HgqDequantizer(config), "i", room)


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="lanes must be 1 or none for flat scales, which come in every cycle, not 8"):
        DequantizerConfig(scheme="flat", lanes=8)
    with pytest.raises(ValueError, match="coarse must be 20 or less for shifts of 3 bits, not 128"):
        DequantizerConfig(shift_bits=3)
    with pytest.raises(ValueError, match="scheme must be one of hgq, flat, channel, not 'none'"):
        DequantizerConfig(scheme="none")


def test_widths_and_cycles_of_the_specification():
    """spec/sevedo.md 3.4: 11 bits of a dot product, 20 of an accumulator, 8 lanes a unit."""
    config = DequantizerConfig()
    assert (golden.dot_bits(config), golden.accumulator_bits(config), config.unit_lanes) == (11, 20, 8)
    assert golden.accumulator_bits(DequantizerConfig(scheme="flat")) == 11
    # Eight fine groups, input, hold, five of a term, three of a sum, output, eight lanes.
    assert config.schedule.cycles([8]) == 7 + 11 + 8
    assert config.schedule.cycles([8] * 10) == 79 + 11 + 8
    # A group that is cut short waits for the lanes before it.
    assert config.schedule.cycles([1, 1, 9]) == 0 + 8 + 8 + 8 + 11 + 8
    assert DequantizerConfig(scheme="flat").schedule.cycles([1, 1, 9]) == 10 + 8 + 1


@pytest.mark.parametrize("shift_bits", [1, 2])
def test_a_lane_shifts_and_adds(shift_bits):
    config = DequantizerConfig(shift_bits=shift_bits)
    lane, most = Lane(config), 2 * ((1 << shift_bits) - 1)

    async def bench(ctx):
        ctx.set(lane.en, 1)
        total = 0
        for fresh, dot, shift in [
            (1, 784, most),
            (0, -784, most),
            (0, -784, most),
            (0, 5, 1),
            (1, -3, 0),
            (0, -1, most),
        ]:
            # Shifts come with the operands, dot products one cycle later.
            ctx.set(lane.x_shift, shift // 2)
            ctx.set(lane.w_shift, shift - shift // 2)
            ctx.set(lane.step, 0)
            await ctx.tick()
            ctx.set(lane.fresh, fresh)
            ctx.set(lane.dot, dot)
            ctx.set(lane.step, 1)
            ctx.set(lane.ended, 1)
            await ctx.tick()
            total = (0 if fresh else total) + (dot << shift)
            assert ctx.get(lane.total) == total

    simulate_with(lane, bench)


def test_a_scaled_integer_rounds_to_even():
    """spec/sevedo.md 8, coarse group 1, first column: -992 * 0.4285 * 0.1428 / 64 is halfway."""
    scaler = Scaler(DequantizerConfig())

    async def bench(ctx):
        ctx.set(scaler.en, 1)
        for integer, x_scale, w_scale, code in [
            (-992, 0x36DB, 0x3092, 0xBF72D1F6),
            (0, 0x7BFF, 0x7BFF, 0),
            (1, 0x0400, 0x0400, (127 - 34) << 23),
            (-401408, 0x3C00, 0x3C00, 0xC5C40000),
        ]:
            ctx.set(scaler.i, integer)
            ctx.set(scaler.x_scale.as_value(), x_scale)
            ctx.set(scaler.w_scale.as_value(), w_scale)
            for _ in range(golden.TERM):
                await ctx.tick()
            assert ctx.get(scaler.o.as_value()) == code, hex(code)

    simulate_with(scaler, bench)


def simulate_with(component, bench):
    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize(
    "parameters",
    [["lanes=3", "adder=5"], ["coarse=16", "fine=4", "shift_bits=3", "lanes=1"], ["scheme=flat"], ["scheme=channel"]],
    ids=" ".join,
)
def test_bench(parameters):
    core = lookup(CORE)
    result = simulate(core, core.config.parse(parameters), vectors=200, seed=3)
    assert result.passed, result.summary()
    assert result.vectors == 200


@pytest.mark.parametrize("vectors", [1, 2])
def test_few_vectors(vectors):
    """Each way to stall has its reductions, also without a share of the random vectors."""
    core = lookup(CORE)
    result = simulate(core, core.config.parse(["lanes=3", "adder=5"]), vectors=vectors, seed=3)
    assert result.passed, result.summary()
    assert (result.vectors, result.latency, result.interval) == (vectors, core.latency(core.config(adder=5)), 1)


#: Coarse groups of one value, and of one fine group, for more lanes than can have their turns without a wait.
EDGES = [
    ["coarse=1", "fine=1", "shift_bits=0", "adder=1"],
    ["coarse=2", "fine=2", "shift_bits=3", "lanes=16", "adder=5"],
    ["coarse=3", "fine=1", "scheme=flat"],
    ["coarse=2", "fine=1", "lanes=5", "scheme=channel"],
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
    result = simulate(core, config, vectors=100, seed=2)
    assert result.passed, result.summary()
    assert result.latency == core.latency(config)


def test_contract():
    prove(contract(11), "hgq-dequantizer")


def test_room_is_not_larger_than_it_is():
    with pytest.raises(ProofFailed, match="no more results inside"):
        prove(contract(10), "hgq-dequantizer-wrong", mode="bmc", depth=20)


def test_no_path_from_ready_to_ready():
    prove_no_path(
        HgqDequantizer(DequantizerConfig(**TINY)), "o__ready", ["i__ready", "o__valid", "o__payload"], "hgq_dequantizer"
    )
