"""The MX tile against its golden model, for every format."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from amaranth import Elaboratable, Module, Signal
from amaranth.lib import data
from amaranth.sim import Simulator
from benches import rehearse

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.cores.mx.pe import DotProduct, decode
from bitloom.cores.mx.scaler import Scaler
from bitloom.cores.mx.tile import MxTile, MxTileConfig
from bitloom.golden import mx
from bitloom.golden.mx import tile as golden
from bitloom.hdl.stream import codec
from bitloom.testbench.drive import drive
from bitloom.testbench.formal import prove, prove_no_path
from bitloom.testbench.mx.reductions import FAR, KINDS, Draw
from bitloom.testbench.reduction_contract import ReductionContract
from bitloom.testbench.runner import simulate

CORE = "mx-tile"
TINY = {"rows": 2, "cols": 1, "format": "nvfp4", "lanes": 8}
IMMEDIATE = {"rows": 2, "cols": 1, "format": "nvfp4", "lanes": 16}

each_format = pytest.mark.parametrize("name", mx.FORMATS)


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="lanes must divide the block of 32, not be 12"):
        MxTileConfig(lanes=12)
    with pytest.raises(ValueError, match="lanes must divide the block of 16, not be 32"):
        MxTileConfig(format="nvfp4", lanes=32)
    with pytest.raises(ValueError, match="share must divide the 4 rows, not be 3"):
        MxTileConfig(share=3)
    with pytest.raises(ValueError, match="adder must be 1 or none where each transfer is a block of 16 lanes"):
        MxTileConfig(format="nvfp4", adder=3)
    with pytest.raises(ValueError, match="format must be one of mxfp4, mxfp6-e2m3, mxfp6-e3m2, mxint8, nvfp4, not 'x'"):
        MxTileConfig(format="x")
    with pytest.raises(ValueError, match="k must be 1 or more, not 0"):
        golden.cycles(MxTileConfig(), 1, 0, 1)


def test_widths():
    """spec/mx.md 4: products of E2M1 have 8 bits, 32 sum in 14; E2M3 times 8 has 6 bits, E3M2 times 16 has 9."""
    widths = {
        name: (golden.product_bits(fmt.element), golden.accumulator_bits(fmt)) for name, fmt in mx.FORMATS.items()
    }
    assert widths == {
        "mxfp4": (8, 14),
        "mxfp6-e2m3": (12, 18),
        "mxfp6-e3m2": (18, 24),
        "mxint8": (15, 21),
        "nvfp4": (8, 13),
    }
    assert [int(mx.FORMATS[f"mxfp6-{name}"].element.integers.max()).bit_length() for name in ("e2m3", "e3m2")] == [6, 9]


def test_cycles():
    config = MxTileConfig()
    assert config.unit_lanes == 2
    # Operands and dot product, block, two of a term, a sum, output; results of two rows, and of two more.
    assert config.schedule.latency == 1 + 1 + 1 + 2 + 1 + 1
    assert golden.cycles(config, 4, 384, 4) == 24 - 1 + 7 + 2
    # Four reductions without bubbles between them.
    assert golden.cycles(config, 8, 384, 8) == 4 * 24 - 1 + 7 + 2
    assert [MxTileConfig(lanes=lanes).schedule.adder for lanes in (1, 8, 16, 32)] == [3, 3, 1, 1]
    # An addition that takes longer is waited for.
    assert golden.cycles(MxTileConfig(adder=3), 4, 384, 4) == 1 + 4 * 11 + 9 + 2
    # A block of one transfer, the sum in the next cycle; four rows leave one by one, and a reduction waits for that.
    config = MxTileConfig(format="nvfp4")
    assert config.immediate and config.schedule.latency == 1 + 1 + 3 + 1 + 1 + 1
    assert golden.cycles(config, 8, 16, 4) == 4 + 8 + 4


class Products(Elaboratable):
    """Codes in, their dot product out."""

    def __init__(self, config):
        element = config.fmt.element
        self.element, self.dot = element, DotProduct(config)
        self.x, self.w = (Signal(data.ArrayLayout(element.bits, config.lanes)) for _ in range(2))

    def elaborate(self, platform):
        m = Module()
        m.submodules.dot = dot = self.dot
        operands = [decode(self.element, side) for side in (self.x, self.w)]
        m.d.comb += [dot.en.eq(1), dot.x.eq(operands[0]), dot.w.eq(operands[1])]
        return m


def simulate_with(component, bench):
    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


@pytest.mark.parametrize("cycles", [1, 2])
@each_format
def test_products_of_all_codes(name, cycles):
    """Each magnitude with each other one, but of INT8, which has some; of any signs, two in a sum."""
    config = MxTileConfig(format=name, lanes=2, dot=cycles)
    products, integers, bits = Products(config), config.fmt.element.integers.astype(int), config.fmt.element.bits
    magnitudes = np.arange(1 << bits - 1) if bits < 8 else np.array([0, 1, 2, 3, 63, 64, 126, 127, *range(17, 122, 9)])
    pairs = np.array(list(itertools.product(magnitudes, magnitudes)))
    rng = np.random.default_rng(cycles)
    pairs |= rng.integers(0, 2, pairs.shape) << bits - 1
    sides = rng.permutation(np.concatenate([pairs, pairs[: len(pairs) % 2]])).T.reshape(2, -1, 2)
    expected = [None] * (cycles - 1) + [int(integers[x] @ integers[w]) for x, w in zip(*sides, strict=True)]

    async def bench(ctx):
        for x, w, o in zip(*sides, expected, strict=False):
            for port, values in ((products.x, x), (products.w, w)):
                ctx.set(port.as_value(), sum(int(value) << bits * lane for lane, value in enumerate(values)))
            await ctx.tick()
            assert o is None or ctx.get(products.dot.o) == o

    simulate_with(products, bench)


def fp32(value):
    """Code of an exact number as a term: FP32, +0 below the normal numbers, infinity beyond them."""
    if abs(value) < Fraction(1, 1 << 126):
        return 0
    if abs(value) >= 1 << 128:
        return 0xFF800000 if value < 0 else 0x7F800000
    single = np.float32(float(value))
    assert Fraction(float(single)) == value
    return int(single.view(np.uint32))


def scale_of(fmt, code):
    """Value of a scale's code, None for NaN: an oracle of its own, by the definitions of the formats."""
    if not fmt.two_level:
        return None if code == 255 else Fraction(2) ** (code - 127)
    exponent, mantissa = code >> 3 & 15, code & 7
    if (exponent, mantissa) == (15, 7):
        return None
    return Fraction(mantissa, 512) if exponent == 0 else Fraction(8 + mantissa, 8) * Fraction(2) ** (exponent - 7)


@each_format
def test_scaled_integers_are_exact(name):
    """Each scale with some others: integers of few and of all bits, terms beyond FP32 on both sides, NaN."""
    config, rng = MxTileConfig(format=name), np.random.default_rng(1)
    fmt, scaler = config.fmt, Scaler(config)
    largest = fmt.block * int(np.abs(fmt.element.integers).max()) ** 2
    partners = [0, 1, fmt.nan_scale, fmt.nan_scale - 1, *rng.integers(0, fmt.nan_scale, 4).tolist()]
    cases = [
        (int(integer), x, w)
        for x in range(fmt.nan_scale + 1)
        for w in (*partners, min(max(254 - x + int(rng.integers(-140, 140)), 0), fmt.nan_scale))
        for integer in (rng.choice([0, 1, -1, largest, -largest]), rng.integers(-largest, largest + 1))
    ]

    async def bench(ctx):
        ctx.set(scaler.en, 1)
        codes = []
        for integer, x, w in [*cases, *[(0, 0, 0)] * config.schedule.term]:
            ctx.set(scaler.i, integer)
            ctx.set(scaler.x_scale, x)
            ctx.set(scaler.w_scale, w)
            await ctx.tick()
            codes.append(ctx.get(scaler.o.as_value()))
        for (integer, x, w), code in zip(cases, codes[config.schedule.term - 1 :], strict=False):
            scales = scale_of(fmt, x), scale_of(fmt, w)
            value = None
            if None not in scales:
                value = integer * scales[0] * scales[1] / 4**fmt.element.fraction_bits
            assert code == (0x7FC00000 if value is None else fp32(value)), (integer, x, w)

    simulate_with(scaler, bench)


def payloads(config, t, last):
    """Transfers of a tensor."""
    steps = -(-t.k // config.lanes)
    codes = t.codes[:, : steps * config.lanes].reshape(len(t.codes), steps, config.lanes).swapaxes(0, 1)
    scales = np.repeat(t.scales, config.steps, axis=1)[:, :steps].T
    ends = np.arange(steps) == steps - 1
    fields = {"groups.codes": codes, "groups.scale": scales, "last": ends & last}
    return codec.pack(config.x_layout if last else config.w_layout, **fields)


def test_worked_example():
    """spec/mx.md 2, its numbers times 1 and times -1: 0.5 - 0.5 + 1 + 1 + 2 + 2 - 4 + 6 = 8."""
    values = [[0, 0.3, -0.5, 1, 1.25, 1.75, 2.5, -5, 7]]
    x, w = mx.quantize(values, "mxfp4"), mx.quantize(np.array([np.ones(9), -np.ones(9)]), "mxfp4")
    assert (x.scales.tolist(), w.scales.tolist()) == ([[127]], [[125], [125]])
    config = MxTileConfig(rows=1, cols=2, lanes=4)
    driven = drive(
        generate(lookup(CORE), config), {"x": payloads(config, x, True), "w": payloads(config, w, False)}, {"o": 1}
    )
    assert driven.failure is None
    o = codec.unpack(config.o_layout, driven.outputs["o"])
    assert o["values"].ravel().tolist() == [0x41000000, 0xC1000000] and o["last"].tolist() == [1]


@pytest.mark.parametrize(
    "parameters",
    [
        ["rows=2", "cols=1", "lanes=4", "adder=2", "dot=2"],
        ["rows=1", "cols=2", "lanes=16", "format=mxfp6-e2m3"],
        ["rows=3", "cols=1", "lanes=8", "share=3", "format=mxfp6-e3m2"],
        ["rows=4", "cols=1", "lanes=2", "format=mxint8", "adder=5", "dot=2"],
        ["rows=2", "cols=1", "format=nvfp4"],
        ["rows=2", "cols=1", "format=nvfp4", "lanes=4", "dot=2"],
    ],
    ids=" ".join,
)
def test_bench(parameters):
    core = lookup(CORE)
    result = simulate(core, core.config.parse(parameters), vectors=50, seed=2)
    assert result.passed, result.summary()
    assert result.vectors == 50


@pytest.mark.long
@pytest.mark.parametrize("dot", ["dot=1", "dot=2"])
@each_format
def test_bench_long(name, dot):
    core = lookup(CORE)
    result = simulate(core, core.config.parse([f"format={name}", dot]), vectors=1000, seed=5)
    assert result.passed, result.summary()


#: One element at a time; units for more rows than can have their turns without a wait; additions that are waited for.
EDGES = [
    ["rows=1", "cols=1", "lanes=1", "adder=5", "format=mxfp6-e3m2"],
    ["rows=4", "cols=1", "lanes=16", "share=4", "dot=2"],
    ["rows=5", "cols=2", "lanes=32", "format=mxint8"],
    ["rows=2", "cols=3", "format=nvfp4", "share=2", "adder=4"],
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


@each_format
def test_kinds_of_operands(name):
    """Operands of every kind are legal, and their results those of exact fractions, rounded block by block."""
    config = MxTileConfig(format=name, rows=2, cols=2, lanes=8)
    draw = Draw(config, np.random.default_rng(3))
    for kind in KINDS if config.fmt.two_level else (*KINDS, *FAR):
        reduction = draw(5 * config.steps, kind)
        for row, col in itertools.product(range(2), range(2)):
            expected = one_result(config.fmt, reduction.x, reduction.w, row, col)
            assert reduction.results.view(np.uint32)[row, col] == expected, kind


def one_result(fmt, x, w, row, col):
    """A result, by fractions: what the specification says, block by block."""
    total = 0
    for block in range(x.scales.shape[1]):
        here = slice(block * fmt.block, (block + 1) * fmt.block)
        integers = [fmt.element.integers[t.codes[n, here]].astype(int) for t, n in ((x, row), (w, col))]
        scales = scale_of(fmt, int(x.scales[row, block])), scale_of(fmt, int(w.scales[col, block]))
        if None in scales:
            return 0x7FC00000
        term = fp32(int(integers[0] @ integers[1]) * scales[0] * scales[1] / 4**fmt.element.fraction_bits)
        # FP32 addition is NumPy's here; flushing is what is below the normal numbers.
        with np.errstate(over="ignore", invalid="ignore"):
            both = np.uint32(total).view(np.float32) + np.uint32(term).view(np.float32)
        if np.isnan(both):
            return 0x7FC00000
        total = 0 if abs(both) < 2.0**-126 else int(both.view(np.uint32))
    return total


@pytest.mark.long
@pytest.mark.parametrize("dot", [1, 2])
def test_contract(dot):
    """The parts at the streams are those of the HGQ tile, whose contract is proved with each run of the tests."""
    prove(ReductionContract(MxTile(MxTileConfig(**TINY, dot=dot)), "xw", 9 + dot), "mx-tile")


@pytest.mark.parametrize("parameters", [TINY, IMMEDIATE], ids=["shared", "immediate"])
def test_no_path_from_ready_to_ready(parameters):
    targets = ["x__ready", "w__ready", "o__valid", "o__payload"]
    prove_no_path(MxTile(MxTileConfig(**parameters)), "o__ready", targets, "mx_tile")
