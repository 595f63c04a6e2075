"""The low-rank vector core against its golden model, and against exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from amaranth import Module
from amaranth.sim import Simulator
from benches import rehearse
from contracts import OutputsHold

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.cores.sevedo.lvc import LowRankVectorCore, LvcConfig
from bitloom.cores.sevedo.lvc_column import SliceMultiplier
from bitloom.golden.sevedo import hgq, lvc, lvc_cycles
from bitloom.testbench.drive import drive
from bitloom.testbench.formal import prove, prove_no_path
from bitloom.testbench.runner import simulate
from bitloom.testbench.sevedo.lvc import payloads

CORE = "lvc"
SMALL = {"lanes": 4, "columns": 2, "max_channels": 16, "max_rank": 8}
TINY = {"lanes": 2, "columns": 2, "max_channels": 4, "max_rank": 2}
SHAPES = ((16, 8, 5, 3, 2), (13, 5, 4, 0, 5), (7, 8, 3, 7, 0), (1, 1, 1, 0, 0), (9, 0, 3, 4, 0))
#: More blocks of ranks than of channels.
DEEP = {"lanes": 2, "columns": 2, "max_channels": 4, "max_rank": 6}
INPUTS = ("layer", "x", "w", "scales")


def low_rank(k, rank, n, wide_channels=0, wide_ranks=0, rng=None, **changes):
    """Random tables, or zeros."""
    extra = np.zeros(rank, np.uint8) if rng is None else rng.integers(0, 9, rank).astype(np.uint8)
    extra[:wide_ranks] = 0
    parts = {
        "l1": np.zeros((k, rank), np.int8) if rng is None else rng.integers(-127, 128, (k, rank)).astype(np.int8),
        "l2": np.zeros((rank, n), np.int8) if rng is None else rng.integers(-127, 128, (rank, n)).astype(np.int8),
        "scales": np.ones(n, np.float16) if rng is None else (2.0 ** rng.uniform(-13, 15, n)).astype(np.float16),
        "extra": extra,
        "shift": 0 if rng is None else int(rng.integers(0, 10)),
        "gain": 0 if rng is None else int(rng.integers(-32, 32)),
    }
    return lvc.LowRank(**parts | changes, wide_channels=wide_channels, wide_ranks=wide_ranks)


def computed(config, layers):
    """Outputs of the Verilog as float32, tokens of layers one after the other; cycles that it took."""
    design, rng = generate(lookup(CORE), config), np.random.default_rng(0)
    sent = {name: [] for name in INPUTS}
    for t, x in layers:
        for name, items in payloads(t, x, config, rng).items():
            sent[name] += items
    widths = {port.name: port.width for port in design.ports}
    inputs = {}
    for name, items in sent.items():
        size = -(-widths[f"{name}__payload"] // 8)
        data = b"".join(item.to_bytes(size, "little") for item in items)
        inputs[name] = np.frombuffer(data, np.uint8).reshape(-1, size)
    count = sum(len(x) * len(t.scales) for t, x in layers)
    driven = drive(design, inputs, {"o": count})
    assert driven.failure is None
    return np.ascontiguousarray(driven.outputs["o"][:, :4]).view("<f4").ravel(), driven.cycles


# -- an oracle, from the text and not from the code --------------------------------------------------------------------


def nearest(value):
    """Round to 24 significant bits, ties to even."""
    if value == 0:
        return value
    top = abs(value).numerator.bit_length() - abs(value).denominator.bit_length()
    top -= abs(value) < Fraction(2) ** top
    unit = Fraction(2) ** (top - 23)
    return round(value / unit) * unit


def exponent(value):
    """floor(log2(value)), exactly."""
    e = value.numerator.bit_length() - value.denominator.bit_length()
    return e - (value < Fraction(2) ** e)


def oracle(x, t):
    """Outputs of one token (spec/sevedo.md, Section 2.3)."""
    x = [Fraction(0) if abs(v) < 2.0**-14 else Fraction(v) for v in x.astype(float).tolist()]
    least = Fraction(1, 1 << 14)
    narrow, wide = (max([least, *map(abs, part)]) for part in (x[t.wide_channels :], x[: t.wide_channels]))
    kx = max(exponent(narrow) - 6, exponent(wide) - 14)
    qx = []
    for k, value in enumerate(x):
        limit = 32767 if k < t.wide_channels else 127
        qx.append(min(max(round(value / Fraction(2) ** kx), -limit), limit))
    zq = []
    for j, column in enumerate(t.l1.T.tolist()):
        z = sum(a * b for a, b in zip(qx, column, strict=True))
        h, limit = t.shift + int(t.extra[j]), 32767 if j < t.wide_ranks else 127
        zq.append(min(max(math.floor(Fraction(z, 1 << h) + Fraction(1, 2)) if h else z, -limit), limit))
    u = [sum((q << int(c)) * b for q, c, b in zip(zq, t.extra, column, strict=True)) for column in t.l2.T.tolist()]
    scales = [Fraction(float(s)) for s in t.scales]
    return [nearest(nearest(Fraction(a)) * s) * Fraction(2) ** (kx + t.gain) for a, s in zip(u, scales, strict=True)]


@pytest.mark.parametrize(
    "parameters, shapes",
    [
        (SMALL, SHAPES),
        (SMALL | {"multiplier": "blocks"}, SHAPES),
        (DEEP, ((4, 6, 5, 1, 2), (3, 5, 4, 0, 5), (1, 6, 3, 1, 0), (4, 0, 3, 4, 0))),
    ],
    ids=["slices", "blocks", "more ranks than channels"],
)
def test_outputs_equal_exact_fractions(parameters, shapes):
    config, rng = LvcConfig(**parameters), np.random.default_rng(8)
    layers, expected = [], []
    for sizes in shapes:
        t = low_rank(*sizes, rng=rng)
        x = hgq.sanitize((rng.normal(size=(3, sizes[0])) * np.exp2(rng.integers(-9, 9, (3, 1)))).astype(np.float16))[0]
        layers.append((t, x))
        expected += [value for token in x for value in oracle(token, t)]
    outputs, cycles = computed(config, layers)
    assert [Fraction(float(value)) for value in outputs] == expected
    assert not np.signbit(outputs[outputs == 0]).any()
    assert cycles == lvc_cycles.cycles(config, [(t, len(x)) for t, x in layers])


def test_worked_example():
    """spec/sevedo.md, Section 8."""
    t = lvc.LowRank(
        l1=np.array(
            [
                [127, -20, 5, 0, 3, 0, 0, 1, 10, -7, 2, 0, 0, 0, 4, 9],
                [-3, 40, 8, 1, 0, 0, 2, 0, 0, 25, 0, -12, 6, 0, 0, 0],
            ],
            np.int8,
        ).T,
        l2=np.array([[100, -64], [-30, 127]], np.int8),
        scales=np.array([1.5 * 2.0**-10, 1.25 * 2.0**-11], np.float16),
        extra=np.array([0, 2], np.uint8),
        shift=2,
        gain=-4,
        wide_channels=1,
        wide_ranks=1,
    )
    x = np.array([[7, -3.5, 0.5, 2, 0.875, -0.3125, 0.1875, 0, -1, 3, 0.25, -2.5, 0, 0, 0, 0]], np.float16)
    outputs, _ = computed(LvcConfig(**SMALL), [(t, x)])
    assert outputs.tolist() == [2.170886993408203, -0.6297922134399414]


# -- parts -------------------------------------------------------------------------------------------------------------


def test_four_digit_products_are_the_product():
    multiplier = SliceMultiplier()
    m = Module()
    m.submodules.multiplier = multiplier

    async def bench(ctx):
        for a in range(-256, 256):
            ctx.set(multiplier.a, a)
            # Every pair of digits is among these.
            for b in {*range(-128, 128, 1 if a % 16 == 5 else 17), -128, -1, 0, 1, 127}:
                ctx.set(multiplier.b, b)
                assert ctx.get(multiplier.o.as_signed()) == a * b

    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


def test_a_block_with_a_wide_operand_takes_two_passes():
    config = LvcConfig()
    assert lvc_cycles.passes(config, 384, 0) == 24
    assert [lvc_cycles.passes(config, 384, wide) for wide in (1, 16, 17, 384)] == [25, 25, 26, 48]
    assert lvc_cycles.passes(config, 385, 0) == 25 and lvc_cycles.passes(config, 0, 0) == 1
    assert lvc_cycles.passes(LvcConfig(multiplier="blocks"), 384, 384) == 24


def test_cycles_of_a_layer():
    """Default: 8 groups of ranks of 25 passes, 96 of outputs of 4 cycles, and 13 until the last ranks are kept."""
    config, t = LvcConfig(), low_rank(384, 32, 384, 16, 8)
    once, twice = (lvc_cycles.cycles(config, [(t, tokens)]) for tokens in (10, 11))
    assert twice - once == 8 * 25 + 96 * 4 + 13
    # All wide: 48 passes for ranks, 4 for outputs.
    t = low_rank(384, 32, 384, 384, 32)
    once, twice = (lvc_cycles.cycles(config, [(t, tokens)]) for tokens in (10, 11))
    assert twice - once == 8 * 48 + 96 * 4 + 13
    # Layers follow each other with the last output.
    first, second = low_rank(16, 4, 8), low_rank(32, 8, 4)
    alone = [lvc_cycles.cycles(config, [(t, 3)]) for t in (first, second)]
    assert lvc_cycles.cycles(config, [(first, 3), (second, 3)]) == sum(alone) - 1
    assert lvc_cycles.cycles(config, [(second, 0), (first, 3)]) == alone[0] + 1


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="max_channels must be a power of two from 32 for 16 lanes, not 1536"):
        LvcConfig(max_channels=1536)
    with pytest.raises(ValueError, match="max_channels must be a power of two from 32 for 16 lanes, not 16"):
        LvcConfig(max_channels=16)
    with pytest.raises(ValueError, match="max_rank must be a multiple of the 16 lanes, not 24"):
        LvcConfig(max_rank=24)
    with pytest.raises(ValueError, match="max_rank must be a multiple of the 16 columns, not 8"):
        LvcConfig(lanes=4, columns=16, max_rank=8)
    with pytest.raises(ValueError, match="lanes must be one of 2, 4, 8, 16, 32, not 12"):
        LvcConfig(lanes=12)


# -- the streams' rules ------------------------------------------------------------------------------------------------


def test_outputs_hold():
    prove(OutputsHold(INPUTS, LowRankVectorCore(LvcConfig(**TINY))), "lvc")


@pytest.mark.parametrize("source", ["o__ready", "layer__valid", "x__valid", "w__valid", "scales__valid", "w__payload"])
def test_paths_are_cut(source):
    targets = [f"{name}__ready" for name in INPUTS] + ["o__valid", "o__payload"]
    prove_no_path(LowRankVectorCore(LvcConfig(**TINY)), source, targets, "lvc")


# -- the bench ---------------------------------------------------------------------------------------------------------


def check(parameters, vectors, seed):
    core = lookup(CORE)
    config = core.config.parse(parameters)
    result = simulate(core, config, vectors=vectors, seed=seed)
    assert result.passed, result.summary()
    assert result.vectors >= vectors
    assert (result.latency, result.interval) == (core.latency(config), core.interval(config))


@pytest.mark.parametrize(
    "parameters",
    [
        ("lanes=4", "columns=2", "max_channels=16", "max_rank=8"),
        ("lanes=4", "columns=4", "max_channels=32", "max_rank=8", "multiplier=blocks"),
        ("lanes=2", "columns=4", "max_channels=64", "max_rank=4"),
        ("lanes=8", "columns=2", "max_channels=16", "max_rank=16"),
    ],
    ids=" ".join,
)
def test_core_matches_its_golden_model(parameters):
    check(parameters, 1000, seed=3)


@pytest.mark.parametrize("vectors", [1, 2])
def test_more_ranks_than_channels(vectors):
    """As few vectors as there can be: each way to stall has its layers all the same."""
    check(tuple(f"{name}={value}" for name, value in DEEP.items()), vectors, seed=1)


EDGES = [
    ("lanes=8", "columns=16", "max_channels=16", "max_rank=32"),
    ("lanes=2", "columns=16", "max_channels=4", "max_rank=16"),
    ("lanes=2", "columns=2", "max_channels=4", "max_rank=2"),
    ("lanes=2", "columns=8", "max_channels=4", "max_rank=256", "multiplier=blocks"),
]


@pytest.mark.parametrize("vectors", [1, 2])
@pytest.mark.parametrize("parameters", EDGES, ids=" ".join)
def test_rehearsal(parameters, vectors):
    rehearse(CORE, parameters, vectors)


@pytest.mark.long
@pytest.mark.parametrize("parameters", EDGES, ids=" ".join)
def test_more_ranks_than_channels_long(parameters):
    check(parameters, 100, seed=1)


@pytest.mark.long
@pytest.mark.parametrize("multiplier", ["slices", "blocks"])
def test_default_core_matches_its_golden_model(multiplier):
    check((f"multiplier={multiplier}",), 4000, seed=4)
