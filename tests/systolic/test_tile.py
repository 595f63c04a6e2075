"""The systolic tile against its golden model, and the golden model against the paper's examples and plain loops."""

from types import SimpleNamespace

import numpy as np
import pytest
from amaranth import ResetInserter, Signal
from amaranth.sim import Simulator
from oracles import codes

from bitloom.cores.systolic.tile import SystolicConfig, SystolicTile
from bitloom.golden.systolic import tile as golden
from bitloom.hdl.emission.verilog import emit
from bitloom.hdl.primitives import FAMILIES

#: Of output-stationary tiles.
PIPELINES = ("stalling", "free-running")
PAIRS = [(a, w) for a in golden.FORMATS for w in golden.FORMATS]


def legal(a_format, w_format):
    """Plain with plain, pairs with pairs of one width."""
    kinds = {name: (name.startswith("ovp"), name.startswith("ovp") and name.endswith("8")) for name in golden.FORMATS}
    return kinds[a_format] == kinds[w_format]


LEGAL = [pair for pair in PAIRS if legal(*pair)]


def config(a_format="int8", w_format="int8", **fields):
    return SimpleNamespace(**{"a_format": a_format, "w_format": w_format, "accumulator": 32} | fields)


def loops(a, w, width):
    """Product and flags with Python's integers, step by step."""
    limit, product, flags = 1 << (width - 1), [], []
    for row in a.tolist():
        for col in w.tolist():
            total, flag = 0, False
            for x, y in zip(row, col, strict=True):
                total += (x * y + limit) % (2 * limit) - limit
                flag |= not -limit <= total < limit
            product.append((total + limit) % (2 * limit) - limit)
            flags.append(flag)
    return product, flags


@pytest.mark.parametrize("a_format, w_format", LEGAL)
@pytest.mark.parametrize("width", [18, 32, 48])
def test_golden_matmul_is_what_loops_give(a_format, w_format, width):
    rng = np.random.default_rng(width)
    operands = golden.check_formats(a_format, w_format)
    for k in (1, 2, 9, 40):
        a, w = codes(rng, operands[0], 3, k), codes(rng, operands[1], 4, k)
        product, overflow = golden.matmul(a, w, config(a_format, w_format, accumulator=width))
        expected, flags = loops(operands[0].values(a), operands[1].values(w), width)
        assert product.ravel().tolist() == expected
        assert overflow.ravel().tolist() == flags


def test_golden_matmul_of_the_worked_example():
    """spec/olive.md 11.2: int4 activations with flint4 weights."""
    a = np.array([[0x91, 0x85, 0x48, 0x05]], np.uint8)
    w = np.array([[0xA7, 0x8B, 0xA6, 0x54]], np.uint8)
    product, overflow = golden.matmul(a, w, config("ovp-int4", "ovp-flint4"))
    assert (product.tolist(), overflow.tolist()) == ([[-2268]], [[False]])


def test_golden_matmul_of_8_bit_outliers():
    """spec/olive.md 11.4: -1024 x -77, and the largest outliers, of which 32 bits hold two products."""
    a = np.array([[0x98, 0x80]], np.uint8)
    w = np.array([[0xB3, 0x00]], np.uint8)
    assert golden.matmul(a, w, config("ovp-int8", "ovp-int8"))[0].tolist() == [[78848]]
    top = np.array([0x3F, 0x80], np.uint8)
    for terms in (1, 2, 3):
        row = np.tile(top, (1, terms))
        product, overflow = golden.matmul(row, row, config("ovp-int8", "ovp-int8"))
        exact = terms * 30720**2
        assert product.item() == (exact + (1 << 31)) % (1 << 32) - (1 << 31)
        assert overflow.item() == (terms > 2)


@pytest.mark.parametrize("a_format, w_format", LEGAL)
@pytest.mark.parametrize("width", [33, 35])
def test_max_k_is_the_last_k_that_cannot_overflow(a_format, w_format, width):
    """The worst operands of either sign stay in range at `max_k` and leave it at the next step."""
    this = config(a_format, w_format, accumulator=width)
    a, w = golden.check_formats(a_format, w_format)
    largest = golden.max_k(this) // a.steps
    bounds = [abs(x * y) for x in a.limits for y in w.limits]
    assert largest * max(bounds) < 1 << (width - 1) <= (largest + 1) * max(bounds)


def test_max_k_of_small_accumulators():
    assert golden.max_k(config(accumulator=16)) == 1
    assert golden.max_k(config(accumulator=24)) == 511
    # spec/olive.md 6: 233,016 products of two outliers fit, and at most every second product is one.
    assert golden.max_k(config("ovp-int4", "ovp-int4")) == 2 * 233016
    assert golden.max_k(config("ovp-int8", "ovp-int8")) == 4


@pytest.mark.parametrize("a_format, w_format", [pair for pair in PAIRS if not legal(*pair)])
def test_undefined_pairs_are_refused(a_format, w_format):
    with pytest.raises(ValueError, match=f"w_format must be one of .* for a_format {a_format}, not '{w_format}'"):
        SystolicConfig(a_format=a_format, w_format=w_format)


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="accumulator must be 16 or more for int8 x int8, not 15"):
        SystolicConfig(accumulator=15)
    with pytest.raises(ValueError, match="int4 takes integers from -8 to 7, not 8"):
        golden.matmul([[8]], [[0]], config("int4", "int4"))
    with pytest.raises(ValueError, match="int8 takes integers, not float64"):
        golden.matmul([[0.5]], [[0]], config())
    with pytest.raises(ValueError, match=r"shapes \(M, K\) and \(N, K\), not \(1, 2\) and \(1, 1\)"):
        golden.matmul([[1, 2]], [[1]], config())
    with pytest.raises(ValueError, match="k must be 1 or more, not 0"):
        golden.cycles(SystolicConfig(), 1, 0, 1)


class Run:
    """One simulation of a tile: reductions in, results compared, cycles counted."""

    def __init__(self, config, reductions, *, stall_in=0.0, stall_out=0.0, seed=0):
        self.config, self.reductions, self.seed = config, reductions, seed
        self.stall_in, self.stall_out = stall_in, stall_out
        self.dut = SystolicTile(config)
        self.first = self.last = None
        self.steps = 0
        sim = Simulator(self.dut)
        sim.add_clock(1e-6)
        operands = config.operands
        for side, port in enumerate((self.dut.a, self.dut.w)):
            matrices = [self.packed(operands[side], pair[side]) for pair in reductions]
            transfers = self.blocks if side == 0 and config.weight_stationary else self.steps_of
            sim.add_testbench(self.sender(port, [transfer for lanes in matrices for transfer in transfers(lanes)]))
        sim.add_testbench(self.watch, background=True)
        sim.add_testbench(self.receive)
        sim.run()

    def packed(self, operand, codes):
        if operand.pairs and operand.bits == 8:
            return codes[:, ::2].astype(int) | codes[:, 1::2].astype(int) << 8
        return codes

    def steps_of(self, lanes):
        """Transfers that hold a step, or two: lanes and `last`."""
        return [(column, step == lanes.shape[1] - 1) for step, column in enumerate(lanes.T.tolist())]

    def blocks(self, lanes):
        """Transfers that hold a row of a block of the reduction; whatever follows the last step does not count."""
        width = self.config.rows // self.config.operands[0].steps
        pad = -lanes.shape[1] % width
        lanes = np.hstack([lanes] + [lanes[:, -1:]] * pad)
        blocks = np.hsplit(lanes, lanes.shape[1] // width)
        return [(row, m == len(lanes) - 1) for block in blocks for m, row in enumerate(block.tolist())]

    def sender(self, port, transfers):
        async def send(ctx):
            rng = np.random.default_rng((self.seed, len(port.payload.lanes)))
            for lanes, last in transfers:
                while rng.random() < self.stall_in:
                    await ctx.tick()
                ctx.set(port.payload, {"lanes": lanes, "last": last})
                ctx.set(port.valid, 1)
                await ctx.tick().until(port.ready)
                ctx.set(port.valid, 0)

        return send

    async def receive(self, ctx):
        rng, o, config = np.random.default_rng(self.seed), self.dut.o, self.config
        for a, w in self.reductions:
            product, overflow = golden.matmul(a, w, config)
            for row in range(len(a)):
                while rng.random() < self.stall_out:
                    await ctx.tick()
                ctx.set(o.ready, 1)
                (payload,) = await ctx.tick().sample(o.payload).until(o.valid)
                ctx.set(o.ready, 0)
                assert [payload.sums[col] for col in range(config.cols)] == product[row].tolist()
                assert payload.last == (row == len(a) - 1)
                if config.overflow:
                    assert [payload.overflow[col] for col in range(config.cols)] == overflow[row].tolist()

    async def watch(self, ctx):
        a, w, o, cycle, held = self.dut.a, self.dut.w, self.dut.o, 0, None
        async for _, _, a_taken, w_taken, taken, given, payload in ctx.tick().sample(
            a.ready & a.valid, w.ready & w.valid, o.ready, o.valid, o.payload
        ):
            if self.first is None and (a_taken or w_taken):
                self.first = cycle
            if a_taken:
                self.steps += self.config.operands[0].steps
            if given and taken:
                self.last = cycle
            # A result that is not taken holds still.
            bits = payload.as_bits() if given else None
            assert held is None or held == bits
            held = bits if given and not taken else None
            cycle += 1

    @property
    def cycles(self):
        return self.last - self.first + 1


def reductions(config, lengths, seed=0, rows=None):
    """Operands of reductions of these lengths, each of as many rows of results as the array has, or of `rows`."""
    rng = np.random.default_rng(seed)
    a, w = config.operands
    rows = rows or [config.rows] * len(lengths)
    return [(codes(rng, a, m, k), codes(rng, w, config.cols, k)) for m, k in zip(rows, lengths, strict=True)]


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("a_format, w_format", LEGAL)
def test_every_format_pair_under_stalls(a_format, w_format, pipeline):
    """Accumulators as narrow as a product allows, so that sums wrap; K = 1 and others; blocks that do not divide."""
    narrow = golden.term_bits(config(a_format, w_format))
    this = SystolicConfig(3, 2, a_format, w_format, accumulator=max(narrow, 8), block=2, pipeline=pipeline)
    lengths = [1, 6, 2, 9, 1, 1, 1, 4]
    for stall_in, stall_out in ((0.3, 0.3), (0.0, 0.7), (0.6, 0.0)):
        Run(this, reductions(this, lengths), stall_in=stall_in, stall_out=stall_out)


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("rows, cols, block", [(1, 1, 4), (4, 4, 2), (5, 3, 2), (2, 6, 1)])
@pytest.mark.parametrize("a_format", ["int8", "ovp-int4", pytest.param("ovp-int8", marks=pytest.mark.long)])
def test_cycles_are_those_of_the_model(rows, cols, block, a_format, pipeline):
    if a_format == "ovp-int8":
        rows, cols = rows // 2 + 1, cols // 3 + 1  # its shifters make Amaranth's simulator slow
    this = SystolicConfig(rows, cols, a_format, a_format, accumulator=31, block=block, pipeline=pipeline)
    for k in (1, rows, 2 * rows + 3):
        run = Run(this, reductions(this, [k] * 3))
        assert run.cycles == golden.cycles(this, rows, k, 3 * cols)


def test_latency_is_that_of_the_model():
    for a_format in ("int8", "ovp-int4", "ovp-int8"):
        this = SystolicConfig(2, 3, a_format, a_format, accumulator=31, block=2)
        run = Run(this, reductions(this, [2]))
        transfers = 2 // this.operands[0].steps
        assert run.cycles == transfers - 1 + golden.latency(this) + this.rows


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("k", [8, 11])
def test_nothing_idles_between_tiles(k, pipeline):
    """Back to back, K at least `rows`: a step every cycle from the first to the last."""
    this = SystolicConfig(8, 3, block=4, pipeline=pipeline)
    tiles = 6
    run = Run(this, reductions(this, [k] * tiles))
    assert run.steps == tiles * k
    assert run.cycles == run.steps + golden.latency(this) + this.rows - 1


@pytest.mark.parametrize("low", [True, False])
def test_extremes(low):
    """Products of the most negative codes, and of the most negative with the most positive, at the last legal K."""
    this = SystolicConfig(2, 2, accumulator=20)
    k = golden.max_k(this)
    for steps, flag in ((k, False), (k + 1, low)):
        a = np.full((2, steps), -128)
        w = np.full((2, steps), -128 if low else 127)
        assert golden.matmul(a, w, this)[1].all() == flag
        Run(this, [(a, w)] * 2)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_reset_in_the_middle_leaves_nothing_behind(pipeline):
    this = SystolicConfig(3, 3, block=2, pipeline=pipeline)
    dut, reset = SystolicTile(this), Signal()
    ((a, w),) = reductions(this, [7])
    expected, _ = golden.matmul(a, w, this)

    async def bench(ctx):
        for pause in range(14):
            # Some steps of a reduction, perhaps all of it, then reset while its results are on the way.
            await feed(ctx, 7)
            await ctx.tick().repeat(pause + 1)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            await feed(ctx, 3)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            await feed(ctx, 7)
            ctx.set(dut.o.ready, 1)
            for row in range(3):
                (payload,) = await ctx.tick().sample(dut.o.payload).until(dut.o.valid)
                assert [payload.sums[col] for col in range(3)] == expected[row].tolist()
                assert payload.last == (row == 2)
            ctx.set(dut.o.ready, 0)
            await ctx.tick().repeat(4)
            assert not ctx.get(dut.o.valid)

    async def feed(ctx, steps):
        for step in range(steps):
            for port, matrix in ((dut.a, a), (dut.w, w)):
                ctx.set(port.payload, {"lanes": matrix[:, step].tolist(), "last": step == 6})
                ctx.set(port.valid, 1)
            await ctx.tick().until(dut.a.ready)
        ctx.set(dut.a.valid, 0)
        ctx.set(dut.w.valid, 0)

    sim = Simulator(ResetInserter(reset)(dut))
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


def weight_stationary(*args, **fields):
    return SystolicConfig(*args, dataflow="weight-stationary", **fields)


@pytest.mark.parametrize("a_format, w_format", LEGAL)
def test_weight_stationary_under_stalls(a_format, w_format):
    """Accumulators as narrow as a product allows; K = 1 and others, M from 1 to more than there is room for sums."""
    narrow = golden.term_bits(config(a_format, w_format))
    size = (2, 1) if a_format == "ovp-int8" else (4, 3)  # its shifters make Amaranth's simulator slow
    this = weight_stationary(*size, a_format, w_format, accumulator=max(narrow, 8), block=2, partials=5)
    lengths, rows = [1, 9, 2, 4, 13, 1, 8, 5], [2, 5, 7, 1, 3, 1, 4, 1]
    if a_format == "ovp-int8":
        lengths = [-(-k // 2) for k in lengths]
    Run(this, reductions(this, lengths, rows=rows), stall_in=0.3, stall_out=0.4)


@pytest.mark.parametrize("rows, cols, block, partials", [(1, 1, 4, 2), (4, 4, 2, 16), (7, 3, 3, 9), (4, 5, 1, 64)])
@pytest.mark.parametrize("stall_in, stall_out", [(0.0, 0.0), (0.6, 0.0), (0.0, 0.7)])
def test_weight_stationary_shapes_and_stalls(rows, cols, block, partials, stall_in, stall_out):
    """Short blocks after long ones and the other way round, in arrays whose blocks do not divide."""
    rng = np.random.default_rng(int(10 * (stall_in + 3 * stall_out)))
    this = weight_stationary(rows, cols, "int8", "int4", accumulator=16, block=block, partials=partials)
    lengths = rng.integers(1, 3 * rows + 2, 8).tolist()
    results = rng.integers(1, min(partials, 12) + 1, 8).tolist()
    Run(this, reductions(this, lengths, rows=results), stall_in=stall_in, stall_out=stall_out)


@pytest.mark.parametrize("a_format", ["int8", "ovp-int4", "ovp-int8"])
def test_weight_stationary_cycles_are_those_of_the_model(a_format):
    shapes = [(4, 3, 2, 8), (2, 5, 1, 3)] if a_format == "int8" else [(2, 2 if a_format == "ovp-int4" else 1, 1, 4)]
    for rows, cols, block, partials in shapes:
        this = weight_stationary(rows, cols, a_format, a_format, accumulator=31, block=block, partials=partials)
        for m, k in ((1, 1), (rows + 3, rows), (partials, 2 * rows + 2)):
            run = Run(this, reductions(this, [k] * 2, rows=[m] * 2))
            assert run.cycles == golden.cycles(this, m, k, 2 * cols)
    run = Run(this, reductions(this, [5, 5], rows=[partials, 1]))
    assert run.cycles == golden.cycles(this, partials + 1, 5, cols)


@pytest.mark.parametrize("m, k", [(8, 8), (10, 24), (13, 20), (40, 3)])
def test_weight_stationary_nothing_idles(m, k):
    """A row of activations every cycle: a block with as many results as `rows`, or two more if there are several."""
    this = weight_stationary(8, 3)
    run = Run(this, reductions(this, [k] * 3, rows=[m] * 3))
    assert run.steps == 3 * m * -(-k // 8)
    assert run.cycles == min(k, 8) + run.steps + golden.latency(this)


@pytest.mark.parametrize("low", [True, False])
def test_weight_stationary_extremes(low):
    this = weight_stationary(6, 1, accumulator=19)
    k = golden.max_k(this)
    for steps, flag in ((k, False), (k + 1, low)):
        a = np.full((2, steps), -128)
        w = np.full((1, steps), -128 if low else 127)
        assert golden.matmul(a, w, this)[1].all() == flag
        Run(this, [(a, w)] * 2)
    Run(weight_stationary(6, 1, accumulator=19, overflow=False), [(a, w)])


def test_weight_stationary_reset_in_the_middle_leaves_nothing_behind():
    this = weight_stationary(3, 3, block=2, partials=4)
    dut, reset = SystolicTile(this), Signal()
    ((a, w),) = reductions(this, [7], rows=[2])
    expected, _ = golden.matmul(a, w, this)
    blocks = np.hsplit(np.hstack([a, a[:, :2]]), 3)
    feeds = [
        (dut.w, [(column, step == 6) for step, column in enumerate(w.T.tolist())]),
        (dut.a, [(row, m == 1) for block in blocks for m, row in enumerate(block.tolist())]),
    ]
    start = Signal()

    def sender(port, transfers):
        async def send(ctx):
            at = len(transfers)
            async for _, _, begin, end, ready in ctx.tick().sample(start, reset, port.ready):
                at = 0 if begin else len(transfers) if end else min(at + ready, len(transfers))
                ctx.set(port.valid, at < len(transfers))
                if at < len(transfers):
                    ctx.set(port.payload, dict(zip(("lanes", "last"), transfers[at], strict=True)))

        return send

    async def bench(ctx):
        for pause in range(0, 34, 3):
            for interrupted in (True, False):
                ctx.set(start, 1)
                await ctx.tick()
                ctx.set(start, 0)
                if interrupted:
                    await ctx.tick().repeat(pause + 1)
                    ctx.set(reset, 1)
                    await ctx.tick()
                    ctx.set(reset, 0)
            ctx.set(dut.o.ready, 1)
            for row in range(2):
                (payload,) = await ctx.tick().sample(dut.o.payload).until(dut.o.valid)
                assert [payload.sums[col] for col in range(3)] == expected[row].tolist()
                assert payload.last == (row == 1)
            ctx.set(dut.o.ready, 0)
            await ctx.tick().repeat(4)
            assert not ctx.get(dut.o.valid)

    sim = Simulator(ResetInserter(reset)(dut))
    sim.add_clock(1e-6)
    for port, transfers in feeds:
        sim.add_testbench(sender(port, transfers), background=True)
    sim.add_testbench(bench)
    sim.run()


def test_weight_stationary_pairs_need_an_even_number_of_rows():
    with pytest.raises(ValueError, match="rows must be even for weight-stationary pairs, not 3"):
        weight_stationary(3, 3, "ovp-int4", "ovp-int4")


def test_the_pipeline_follows_from_the_target():
    """Of what is `auto`, a configuration says what it stands for; the portable one has the same cycles."""
    chosen = {target: SystolicConfig(target=target).decided()["pipeline"] for target in FAMILIES}
    assert chosen == {
        "generic": "stalling",
        "ice40": "stalling",
        "ecp5": "free-running",
        "gowin": "free-running",
    }
    this = SystolicConfig(target="ecp5")
    assert this.shown()["pipeline"] == "auto: free-running"
    assert this.portable() == SystolicConfig(pipeline="free-running")
    assert golden.latency(this) == golden.latency(SystolicConfig()) + 2
    assert not SystolicConfig(target="ecp5", dataflow="weight-stationary").free_running
    assert not SystolicConfig(target="ecp5", pipeline="stalling").free_running
    with pytest.raises(ValueError, match="pipeline must be auto or stalling for weight-stationary, not free-running"):
        SystolicConfig(dataflow="weight-stationary", pipeline="free-running")


def test_text_grows_with_the_side():
    """Not with its square: the whole of a large array is little more text than a small one."""
    sizes = {side: len(emit(SystolicTile(SystolicConfig(side, side)), "tile")) for side in (8, 32)}
    assert sizes[32] < min(2 * sizes[8], 200_000)
