"""The matrix-product core: its model and its jobs against plain loops, the Verilog against the model, its streams."""

import functools
import itertools
import re
from types import SimpleNamespace

import numpy as np
import pytest
from amaranth import Module, Mux, Signal, Value
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from command_line import bitloom
from oracles import codes

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.cores.systolic.gemm import Gemm, GemmConfig
from bitloom.golden.systolic import gemm as golden
from bitloom.golden.systolic import tile as systolic
from bitloom.golden.systolic.gemm import Job
from bitloom.golden.workloads.product import prepare
from bitloom.hdl.stream import codec
from bitloom.testbench import drive
from bitloom.testbench.formal import ProofFailed, held, prove, prove_emission, prove_no_path
from bitloom.testbench.payloads import rows
from bitloom.testbench.runner import simulate

FORMATS = [("int8", "int8"), ("int4", "int8"), ("ovp-int8", "ovp-int8"), ("ovp-int4", "ovp-flint4")]
SHAPES = [(1, 1, 1), (7, 5, 9), (2, 8, 3), (20, 3, 4), (5, 8, 31), (13, 2, 2)]


def config(a_format="int8", w_format="int8", **fields):
    """Tile of 2 x 3, accumulators as narrow as a product allows, so that sums wrap; small memories."""
    formats = SimpleNamespace(a_format=a_format, w_format=w_format)
    base = {"rows": 2, "cols": 3, "block": 2, "accumulator": max(systolic.term_bits(formats), 8)}
    return GemmConfig(**base | {"a_format": a_format, "w_format": w_format, "a_depth": 8, "w_depth": 16} | fields)


def operands(this, shape, seed=0):
    rng = np.random.default_rng(seed)
    (m, k, n), (a, w) = shape, this.operands
    return codes(rng, a, m, k), codes(rng, w, n, k)


# The model


def by_hand(words, operand):
    """Values of the steps of a transfer's lane, from the bits."""
    if not operand.pairs:
        return [words - (words >> (operand.bits - 1) << operand.bits)]
    data = np.frombuffer(int(words).to_bytes(operand.lane_bits // 8, "little"), np.uint8)
    return operand.values(data[None])[0].tolist()


@pytest.mark.parametrize("a_format, w_format", FORMATS)
def test_model_is_plain_loops_over_two_memories(a_format, w_format):
    this, rng = config(a_format, w_format), np.random.default_rng(2)
    model, (rows, cols, width) = golden.Model(this), (2, 3, this.accumulator)
    memories = {"a": [[0] * rows for _ in range(8)], "w": [[0] * cols for _ in range(16)]}
    overruns = 0
    for _ in range(40):
        steps, a_panels, w_panels = (int(x) for x in rng.integers(1, (12, 5, 5)))
        job = Job(steps, a_panels, w_panels, *(bool(x) for x in rng.integers(2, size=2)))
        words = {
            "a": rng.integers(0, 1 << this.operands[0].lane_bits, (steps * a_panels, rows)),
            "w": rng.integers(0, 1 << this.operands[1].lane_bits, (steps * w_panels, cols)),
        }
        given = {name: lanes for name, lanes in words.items() if getattr(job, f"load_{name}")}
        for name, lanes in given.items():
            for address, lane in enumerate(lanes.tolist()):
                memories[name][address % len(memories[name])] = lane
        found = model.run(job, **given)
        overruns += found.overrun
        assert found.overrun == (steps * a_panels > 8 or steps * w_panels > 16)
        for i, j, row, col in np.ndindex(a_panels, w_panels, rows, cols):
            total, left = 0, False
            for step in range(steps):
                a = by_hand(memories["a"][(i * steps + step) % 8][row], this.operands[0])
                w = by_hand(memories["w"][(j * steps + step) % 16][col], this.operands[1])
                for x, y in zip(a, w, strict=True):
                    total += (x * y + (1 << width - 1)) % (1 << width) - (1 << width - 1)
                    left |= not -(1 << width - 1) <= total < 1 << width - 1
                    total = (total + (1 << width - 1)) % (1 << width) - (1 << width - 1)
            assert found.product[i, j, row, col] == total
            assert found.overflow[i, j, row, col] == left
    assert overruns


def job_payload(job, this):
    """Fields of a job, one above the other."""
    payload = at = 0
    for name, bits in golden.job_fields(this).items():
        payload |= golden.job_values(job, this)[name] << at
        at += bits
    return payload


def transfers(a, w, plan, this):
    """Payloads of the core's streams."""
    layouts = {"job": this.job_layout, "a": this.a_transfer, "w": this.w_transfer}
    return rows(layouts, golden.transfers(a, w, plan, this))


@pytest.mark.parametrize("a_format, w_format", FORMATS)
def test_jobs_make_the_product(a_format, w_format):
    this = config(a_format, w_format)
    for shape in SHAPES:
        a, w = operands(this, shape, seed=shape[0])
        plan = golden.jobs(shape, this)
        sent = {name: list(rows) for name, rows in transfers(a, w, plan, this).items()}
        model, payloads = golden.Model(this), []
        for job in plan:
            assert int.from_bytes(sent["job"].pop(0).tobytes(), "little") == job_payload(job, this)
            lanes = {}
            for name, operand, count in zip("aw", this.operands, (this.rows, this.cols), strict=True):
                if getattr(job, f"load_{name}"):
                    taken = [sent[name].pop(0) for _ in range(getattr(job, f"{name}_transfers"))]
                    numbers = [int.from_bytes(row.tobytes(), "little") for row in taken]
                    bits = operand.lane_bits
                    lanes[name] = [[x >> lane * bits & (1 << bits) - 1 for lane in range(count)] for x in numbers]
            found = model.run(job, **lanes)
            assert not found.overrun
            for i, j, row in np.ndindex(job.a_panels, job.w_panels, this.rows):
                fields = [(int(x), this.accumulator) for x in found.product[i, j, row]]
                fields += [(int(x), 1) for x in found.overflow[i, j, row]] + [(int(row == this.rows - 1), 1)]
                bits = at = 0
                for value, size in fields:
                    bits |= (value & (1 << size) - 1) << at
                    at += size
                payloads.append(list(bits.to_bytes(-(-at // 8), "little")))
        assert not any(sent.values())
        assert [payload[-1] >> (at - 1) % 8 for payload in payloads] == golden.ends(plan, this).tolist()
        given = codec.unpack(this.o_layout, np.array(payloads, np.uint8))
        product, overflow, _ = golden.results(given, plan, shape[0], shape[2], this)
        expected = this.operands[0].values(a) @ this.operands[1].values(w).T
        half = 1 << this.accumulator - 1
        assert (product == (expected + half) % (2 * half) - half).all()
        assert (overflow == systolic.matmul(a, w, this)[1]).all()


def sent_bytes(plan, this):
    sizes = [-(-operand.lane_bits * lanes // 8) for operand, lanes in zip(this.operands, (2, 3), strict=True)]
    return sum(sizes[0] * job.a_transfers * job.load_a + sizes[1] * job.w_transfers * job.load_w for job in plan)


def test_jobs_send_each_operand_as_seldom_as_they_can():
    this, rng = config(), np.random.default_rng(3)
    for _ in range(200):
        m, k, n = (int(x) for x in rng.integers(1, (40, 9, 60)))
        plan = golden.jobs((m, k, n), this)
        panels = -(-m // 2), -(-n // 3)
        inside, pairs = {"a": set(), "w": set()}, []
        for job in plan:
            for name, depth in (("a", 8), ("w", 16)):
                own = set(range(getattr(job, name), getattr(job, name) + getattr(job, f"{name}_panels")))
                assert len(own) * k <= depth
                if getattr(job, f"load_{name}"):
                    inside[name] = own
                assert own == inside[name]
            pairs += itertools.product(inside["a"], inside["w"])
        assert sorted(pairs) == list(itertools.product(*map(range, panels)))
        room = 8 // k, 16 // k
        blocks = [-(-count // most) for count, most in zip(panels, room, strict=True)]
        whole = 2 * k * panels[0], 3 * k * panels[1]
        # Either operand goes past each block of the other one, less what is there at each turn.
        least = [
            whole[kept] + blocks[kept] * whole[1 - kept] - (blocks[kept] - 1) * min(whole[1 - kept], width * k * most)
            for kept, width, most in ((0, 3, room[1]), (1, 2, room[0]))
        ]
        found = sent_bytes(plan, this)
        assert min(least) <= found <= min(whole[kept] + blocks[kept] * whole[1 - kept] for kept in range(2))
        if blocks[0] == 1 or blocks[1] == 1:
            assert found == sum(whole)


def test_jobs_of_a_product_by_name():
    this = config()
    assert golden.jobs((4, 4, 6), this) == [Job(4, 2, 2)]
    # Five panels of A in blocks of two, the single one in the middle; one block of W stays.
    assert golden.jobs((10, 4, 6), this) == [
        Job(4, 2, 2),
        Job(4, 1, 2, True, False, a=2),
        Job(4, 2, 2, True, False, a=3),
    ]
    # Blocks of one and two panels of W are kept; A's two go past, forth and back.
    assert golden.jobs((4, 8, 9), this) == [
        Job(8, 1, 1),
        Job(8, 1, 1, True, False, a=1),
        Job(8, 1, 2, False, True, a=1, w=1),
        Job(8, 1, 2, True, False, a=0, w=1),
    ]


def test_wrong_requests_are_refused():
    for message, request in {
        "a_depth must be a power of two, not 24": lambda: config(a_depth=24),
        "w_depth must be 2 to 1048576, not 1": lambda: config(w_depth=1),
        "accumulator must be 16 or more for int8 x int8, not 15": lambda: config(accumulator=15),
        "K must be 8 or less for memories of 8 and 16 transfers, not 9": lambda: golden.jobs((1, 9, 1), config()),
        "K must be 16 or less for memories of 8 and 16 transfers, not 17": lambda: golden.jobs(
            (1, 17, 1), config("ovp-int4", "ovp-int4")
        ),
        "a_panels of a job must be 1 to 8, not 9": lambda: golden.job_values(Job(1, 9, 1), config()),
    }.items():
        with pytest.raises(ValueError, match=f"^{message}$"):
            request()


# The Verilog


@functools.cache
def generated(this):
    return generate(lookup("gemm"), this)


@pytest.mark.parametrize(
    "a_format, w_format",
    [pytest.param(*formats, marks=[pytest.mark.long] * (index % 2 == 0)) for index, formats in enumerate(FORMATS)],
)
def test_the_core_gives_the_product(a_format, w_format):
    this = config(a_format, w_format)
    design = generated(this)
    for shape, stalls in [
        *((shape, (0, 0)) for shape in SHAPES),
        *((SHAPES[1], x) for x in [(40, 0), (0, 60), (50, 50)]),
    ]:
        a, w = operands(this, shape)
        plan = golden.jobs(shape, this)
        ends = golden.ends(plan, this)
        streams = transfers(a, w, plan, this)
        driven = drive.drive(design, streams, {"o": len(ends)}, stall_in=stalls[0], stall_out=stalls[1], quiet=50)
        assert driven.failure is None
        product, overflow, last = golden.results(
            codec.unpack(this.o_layout, driven.outputs["o"]), plan, shape[0], shape[2], this
        )
        expected = systolic.matmul(a, w, this)
        assert (product == expected[0]).all() and (overflow == expected[1]).all() and (last == ends).all()
        assert driven.status["overrun"] == 0
        if stalls == (0, 0):
            assert driven.cycles == golden.cycles(plan, this)


@pytest.mark.parametrize("illegal", [0, 1])
@pytest.mark.parametrize("overrun", [0, 1])
def test_flags_are_told_apart(illegal, overrun):
    this = config("ovp-int4", "ovp-int4")
    job = Job(9 if overrun else 8, 1, 1)
    code = 0x88 if illegal else 0x00
    size = -(-sum(golden.job_fields(this).values()) // 8)
    streams = {
        "job": np.frombuffer(job_payload(job, this).to_bytes(size, "little"), np.uint8)[None],
        "a": np.full((job.steps, 2), code, np.uint8),
        "w": np.zeros((job.steps, 3), np.uint8),
    }
    driven = drive.drive(generated(this), streams, {"o": 2})
    assert driven.failure is None and driven.status == {"illegal": illegal, "overrun": overrun}


def check(parameters, vectors, seed=1):
    core = lookup("gemm")
    result = simulate(core, core.config.parse(parameters), vectors=vectors, seed=seed)
    assert result.passed, result.summary()
    assert result.vectors == vectors


@pytest.mark.parametrize(
    "parameters, seed",
    [
        (lookup("gemm").small, 2),
        (("rows=2", "cols=1", "block=1", "accumulator=16", "a_depth=2", "w_depth=2", "overflow=false"), 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_core_matches_its_golden_model(parameters, seed):
    check(parameters, 600, seed)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "parameters",
    [
        ("rows=4", "cols=2", "block=2", "a_format=ovp-int8", "w_format=ovp-int8", "accumulator=40", "w_depth=32"),
        ("rows=3", "cols=2", "block=2", "a_format=ovp-int4", "w_format=ovp-flint4", "a_depth=16", "w_depth=8"),
        ("rows=5", "cols=6", "block=3", "a_format=int4", "w_format=int8", "a_depth=64", "w_depth=4"),
        ("a_depth=2048", "w_depth=2048"),
    ],
    ids=" ".join,
)
def test_core_matches_its_golden_model_long(parameters, seed):
    check(parameters, 5000, seed)


# Its streams


class CoreContract(wiring.Component):
    """What the core owes at its streams, for any jobs, any stalls on the four of them, and a reset at any time.

    - Its results hold until ready if what comes in does.
    - Of each operand it takes what its jobs load, no more, and no job before that.
    - With nothing missing, the next job is taken in time.

    Parameters
    ----------
    core : Gemm
        With memories of equal depth.
    patience : int
        Cycles in which the next job must be taken.
    """

    def __init__(self, core, patience=32):
        self.core, self.patience = core, patience
        ports = {f"{name}_payload": In(len(Value.cast(getattr(core, name).payload))) for name in ("job", "a", "w")}
        super().__init__(ports | {f"{name}_valid": In(1) for name in ("job", "a", "w")} | {"o_ready": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        for name in ("job", "a", "w"):
            port = getattr(core, name)
            m.d.comb += [
                port.valid.eq(getattr(self, f"{name}_valid")),
                Value.cast(port.payload).eq(getattr(self, f"{name}_payload")),
            ]
            held(m, port, Assume)
        m.d.comb += core.o.ready.eq(self.o_ready)
        held(m, core.o, Assert)

        taken = core.job.valid & core.job.ready
        job, most = core.job.payload, core.config.a_depth
        missing = []
        for name, panels, load in (("a", job.a_panels, job.load_a), ("w", job.w_panels, job.load_w)):
            port, owed = getattr(core, name), Signal(range(most * most + 1), name=f"{name}_owed")
            m.d.sync += owed.eq(
                Mux(taken, Mux(load, (job.steps + 1) * (panels + 1), 0), owed - (port.valid & port.ready))
            )
            m.d.comb += [
                Assert(port.ready == (owed != 0), "an operand is taken while a job loads it"),
                Assert(~core.job.ready | (owed == 0), "no job before the operands of the one before it"),
                Cover(owed == most * most, "as many operands are owed as can be"),
            ]
            missing.append((owed != 0) & ~port.valid)
        refused = Signal(range(64))
        stalled = missing[0] | missing[1] | ~core.o.ready
        m.d.sync += refused.eq(Mux(core.job.valid & ~core.job.ready & ~stalled, refused + 1, 0))
        m.d.comb += Assert(refused <= self.patience, "the next job is taken in time while nothing stalls")
        return m


def small(**fields):
    base = {"rows": 2, "cols": 1, "block": 1, "a_format": "int4", "w_format": "int4", "accumulator": 8}
    return Gemm(GemmConfig(**base | {"a_depth": 2, "w_depth": 2, "overflow": False} | fields))


def test_core_keeps_the_contract():
    prove(CoreContract(small()), "gemm")


def test_core_owes_as_many_operands_as_can_be():
    prove(CoreContract(small()), "gemm", mode="cover", depth=20)


def test_a_job_takes_its_time():
    with pytest.raises(ProofFailed, match="the next job is taken in time"):
        prove(CoreContract(small(), patience=8), "gemm-wrong")


@pytest.mark.parametrize("a_format", ["int4", "ovp-int4"])
def test_core_cuts_paths(a_format):
    core = small(a_format=a_format, w_format=a_format, accumulator=32)
    targets = ["job__ready", "a__ready", "w__ready", "o__valid", "o__payload"]
    prove_no_path(core, "o__ready", targets, "gemm")
    prove_no_path(small(), "a__payload", ["o__valid", "o__payload"], "gemm")


def test_verilog_is_what_amaranth_gives():
    core = small()
    prove_emission(generate(lookup("gemm"), core.config), core)


# The command line


@pytest.mark.parametrize("a_format, w_format", [("int8", "int8"), ("ovp-int4", "ovp-int4")])
def test_run_matmul_in_several_jobs_on_the_twin(a_format, w_format, tmp_path):
    this = config(a_format, w_format, accumulator=24)
    rng = np.random.default_rng(1)
    a, w = rng.normal(size=(9, 6)), rng.normal(size=(6, 20))
    np.save(tmp_path / "A.npy", a), np.save(tmp_path / "W.npy", w)
    parameters = [
        f"{name}={getattr(this, name)}" for name in ("rows", "cols", "block", "accumulator", "a_depth", "w_depth")
    ]
    words = ["run", "matmul", "--on", "twin", "--format", f"{a_format},{w_format}", "A.npy", "W.npy", "-o", "Y.npy"]
    output, _ = bitloom(*words, *(word for text in parameters for word in ("-p", text)), cwd=tmp_path)
    problem = prepare(a, w, this)
    plan = golden.jobs(problem.shape, this)
    assert len(plan) > 1 and re.search(r"check +passed", output)
    sizes = {name: rows.nbytes for name, rows in transfers(problem.a, problem.w, plan, this).items()}
    assert f"bytes sent         {sum(sizes.values()):,}" in output
    product, _ = systolic.matmul(problem.a, problem.w, this)
    assert (np.load(tmp_path / "Y.npy") == problem.restored(product)).all()


@pytest.mark.parametrize(
    "parameter, message",
    [
        ("w_depth=4", "K must be 4 or less for memories of 1,024 and 4 transfers, not 6"),
        (
            "dataflow=weight-stationary",
            "unknown parameter 'dataflow': allowed are rows, cols, a_format, w_format, accumulator, overflow, block, "
            "target, a_depth, w_depth, pipeline",
        ),
        ("a_depth=3", "a_depth must be a power of two, not 3"),
        ("target=ecp5", "target must be generic to run in Verilator, not 'ecp5'"),
    ],
)
def test_wrong_requests_print_one_line(parameter, message, tmp_path):
    for name, shape in (("A", (2, 6)), ("W", (6, 2))):
        np.save(tmp_path / f"{name}.npy", np.ones(shape, int))
    words = ["run", "matmul", "--on", "twin", "--format", "int8", "-p", parameter, "A.npy", "W.npy", "-o", "Y.npy"]
    _, error = bitloom(*words, cwd=tmp_path, status=2)
    assert error == f"bitloom: {message}\n"
    assert not (tmp_path / "Y.npy").exists()
