"""Matrix products of any shape: the cutting against plain loops, the Verilated tile against the golden model."""

import functools
import json
import os
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from command_line import bitloom
from oracles import codes

from bitloom.cli import program as cli
from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.cores.systolic.tile import SystolicConfig
from bitloom.golden.systolic import tile as golden
from bitloom.golden.systolic import tiling
from bitloom.golden.workloads.product import encode, prepare
from bitloom.hdl.stream import codec
from bitloom.testbench import array_files, payloads
from bitloom.testbench.systolic import product as gemm_run


def _legal(a_format, w_format):
    try:
        golden.check_formats(a_format, w_format)
    except ValueError:
        return False
    return True


LEGAL = [(a, w) for a in golden.FORMATS for w in golden.FORMATS if _legal(a, w)]
SHAPES = [(1, 1, 1), (7, 5, 9), (3, 1, 2), (1, 13, 4), (10, 20, 1), (2, 4, 3), (5, 9, 7)]


def config(a_format, w_format, dataflow, **fields):
    """A tile of 2 x 3 with accumulators as narrow as a product allows, so that sums wrap."""
    base = SystolicConfig(2, 3, a_format, w_format, accumulator=48)
    fields = {"accumulator": max(golden.term_bits(base), 8), "block": 2, "partials": 3} | fields
    return replace(base, dataflow=dataflow, **fields)


@functools.cache
def generated(this):
    """The tile's design."""
    return generate(lookup("systolic-tile"), this)


def operands(this, shape, seed=0):
    rng = np.random.default_rng(seed)
    (m, k, n), (a, w) = shape, this.operands
    return codes(rng, a, m, k), codes(rng, w, n, k)


def field(payload, start, width):
    return (int.from_bytes(payload.tobytes(), "little") >> start) & ((1 << width) - 1)


def values(payload, operand, lanes):
    """Values of one transfer, shape (steps, lanes), and its `last`."""
    found = []
    for lane in range(lanes):
        code = field(payload, lane * operand.lane_bits, operand.lane_bits)
        if operand.pairs:
            found.append(operand.values(np.frombuffer(code.to_bytes(operand.lane_bits // 8, "little"), np.uint8)))
        else:
            found.append([code - ((code >> (operand.bits - 1)) << operand.bits)])
    assert int.from_bytes(payload.tobytes(), "little") >> (lanes * operand.lane_bits) in (0, 1)
    return np.array(found).T, field(payload, lanes * operand.lane_bits, 1)


def model(transfers, this):
    """What a tile makes of its transfers, as its docstring says: rows of sums and their `last`."""
    a_operand, w_operand = this.operands
    w_all = [values(payload, w_operand, this.cols) for payload in transfers["w"]]
    lanes = this.rows // a_operand.steps if this.weight_stationary else this.rows
    a_all = [values(payload, a_operand, lanes) for payload in transfers["a"]]
    rows = []
    while w_all:
        length = next(i for i, (_, last) in enumerate(w_all) if last) + 1
        w = np.concatenate([steps for steps, _ in w_all[:length]])
        del w_all[:length]
        if not this.weight_stationary:
            a = np.concatenate([steps for steps, _ in a_all[:length]])
            assert [last for _, last in a_all[:length]] == [0] * (length - 1) + [1]
            del a_all[:length]
            rows += [(sums, i == this.rows - 1) for i, sums in enumerate(a.T @ w)]
            continue
        total = 0
        for start in range(0, len(w), this.rows):
            height = next(i for i, (_, last) in enumerate(a_all) if last) + 1
            assert height <= this.partials or len(w) <= this.rows
            block = np.array([steps.T.ravel() for steps, _ in a_all[:height]])[:, : len(w) - start]
            del a_all[:height]
            total = total + block @ w[start : start + this.rows]
        rows += [(sums, i == len(total) - 1) for i, sums in enumerate(total)]
    assert not a_all
    return rows


def results(rows, this):
    """Payloads of the stream of results; flags are parity bits here."""
    width, payloads = this.accumulator, []
    for sums, last in rows:
        bits = sum((int(x) % (1 << width)) << (width * i) for i, x in enumerate(sums))
        if this.overflow:
            bits |= sum((int(x) & 1) << (width * this.cols + i) for i, x in enumerate(sums))
        bits |= int(last) << (this.cols * (width + this.overflow))
        payloads.append(list(bits.to_bytes(-(-(this.cols * (width + this.overflow) + 1) // 8), "little")))
    return np.array(payloads, np.uint8)


@pytest.mark.parametrize("dataflow", golden.DATAFLOWS)
@pytest.mark.parametrize("a_format, w_format", LEGAL)
def test_cutting_and_putting_together_is_the_product(a_format, w_format, dataflow):
    rng = np.random.default_rng(7)
    shapes = SHAPES + [tuple(rng.integers(1, 24, 3).tolist()) for _ in range(3)]
    for index, shape in enumerate(shapes):
        rows, cols, partials = 2 * rng.integers(1, 4), rng.integers(1, 6), rng.integers(2, 9)
        this = SystolicConfig(
            int(rows), int(cols), a_format, w_format, 48, index % 2 == 0, dataflow=dataflow, partials=int(partials)
        )
        a, w = operands(this, shape, seed=index)
        sent = payloads.rows({"a": this.a_layout, "w": this.w_layout}, tiling.transfers(a, w, this))
        given = codec.unpack(this.o_layout, results(model(sent, this), this))
        product, overflow, last = tiling.results(given, shape[0], shape[2], this)
        expected = this.operands[0].values(a) @ this.operands[1].values(w).T
        assert (product == expected).all()
        assert (overflow == ((expected & 1 == 1) & this.overflow)).all()
        k = tiling.steps(a, this.operands[0])
        assert k == -(-shape[1] // this.operands[0].steps) * this.operands[0].steps
        assert last.tolist() == tiling.ends(shape[0], k, shape[2], this).tolist()


def through_the_rtl(this, shapes, seeds):
    """Values, flags, marks, cycles; then the same under stalls."""
    design = generated(this)
    for index, shape in enumerate(shapes):
        a, w = operands(this, shape, seed=index)
        product, overflow = golden.matmul(a, w, this)
        result = gemm_run.run(a, w, this, k=shape[1], design=design, seed=index)
        assert result.failure is None and result.passed
        assert (result.product == product).all()
        assert not this.overflow or (result.overflow == overflow).all()
        k = tiling.steps(a, this.operands[0])
        assert result.cycles == result.expected_cycles == golden.cycles(this, shape[0], k, shape[2])
        assert result.macs == np.prod(shape)
        assert result.utilization == result.macs / (result.cycles * this.rows * this.cols)
    for seed in range(seeds):
        for stall_in, stall_out in ((40, 0), (0, 60), (50, 50)):
            result = gemm_run.run(a, w, this, design=design, stall_in=stall_in, stall_out=stall_out, seed=seed)
            assert result.failure is None
            assert result.cycles > result.expected_cycles


@pytest.mark.parametrize(
    "a_format, w_format, dataflow",
    [
        ("int8", "int4", "output-stationary"),
        ("ovp-int4", "ovp-flint4", "weight-stationary"),
        ("ovp-int8", "ovp-int8", "output-stationary"),
    ],
)
def test_the_tile_gives_the_product(a_format, w_format, dataflow):
    through_the_rtl(config(a_format, w_format, dataflow), SHAPES, 2)


@pytest.mark.long
@pytest.mark.parametrize("dataflow", golden.DATAFLOWS)
@pytest.mark.parametrize("a_format, w_format", LEGAL)
def test_every_tile_gives_the_product(a_format, w_format, dataflow):
    rng = np.random.default_rng(3)
    shapes = SHAPES + [tuple(rng.integers(1, 40, 3).tolist()) for _ in range(5)]
    through_the_rtl(config(a_format, w_format, dataflow), shapes, 5)
    through_the_rtl(config(a_format, w_format, dataflow, rows=4, cols=4, overflow=False), shapes, 1)


def test_a_fault_in_the_design_is_found():
    this = config("int8", "int4", "output-stationary")
    design = generated(this)
    lines = design.verilog.splitlines()
    at = next(i for i, line in enumerate(lines) if " + " in line and "assign" in line)
    lines[at] = lines[at].replace(" + ", " - ")
    a, w = operands(this, (4, 6, 5))
    result = gemm_run.run(a, w, this, design=replace(design, verilog="\n".join(lines)))
    product, overflow = golden.matmul(a, w, this)
    wrong = (result.product != product) | (result.overflow != overflow)
    row, column = np.argwhere(wrong)[0]
    assert not result.passed and result.mismatches == wrong.sum()
    start = f"{wrong.sum()} of {wrong.size} results differ, the first at ({row}, {column}): "
    assert result.failure.startswith(f"{start}expected {product[row, column]}")


def _last(driven):
    payloads = driven.outputs["o"].copy()
    payloads[1, -1] ^= 1 << (3 * 24 % 8)
    return {"outputs": {"o": payloads}}


@pytest.mark.parametrize(
    "change, failure",
    [
        (_last, "`last` of result row 1 is 0, expected 1"),
        (lambda driven: {"status": {"illegal": 1}}, "`illegal` is 1, expected 0"),
        (lambda driven: {"cycles": driven.cycles + 1}, "the product took 15 cycles, expected 14"),
        (lambda driven: {"failure": "the design hung"}, "the design hung"),
    ],
)
def test_every_check_can_fail(change, failure, monkeypatch):
    this = SystolicConfig(2, 3, "ovp-int4", "ovp-int4", 24, overflow=False, block=2)
    drive = gemm_run.drive.drive

    def tampered(*args, **options):
        driven = drive(*args, **options)
        assert driven.failure is None
        return replace(driven, **change(driven))

    zeros = np.zeros((2, 2), np.uint8)
    assert gemm_run.run(zeros, zeros, this, design=generated(this)).passed
    monkeypatch.setattr(gemm_run.drive, "drive", tampered)
    result = gemm_run.run(zeros, zeros, this, design=generated(this))
    assert (result.passed, result.mismatches) == (False, 0)
    assert result.failure == failure


def test_progress_is_told():
    this = config("int8", "int4", "output-stationary")
    seen = []
    gemm_run.run(*operands(this, (3, 4, 5)), this, progress=lambda *step: seen.append(step))
    assert seen[0] == (0, 8, "compiling the tile") and seen[-1] == (8, 8)


def test_errors_are_those_of_the_formats():
    rng = np.random.default_rng(5)
    a, w = rng.normal(size=(6, 15)), rng.normal(size=(15, 4)) * [1, 10, 0.1, 0]
    for name in golden.FORMATS:
        this = SystolicConfig(a_format=name, w_format=name, accumulator=48)
        problem = prepare(a, w, this)
        product, _ = golden.matmul(problem.a, problem.w, this)
        restored = problem.restored(product)
        assert (problem.shape, restored.dtype, restored.shape) == ((6, 15, 4), np.float32, (6, 4))
        assert problem.a_steps.shape == (6,) and len(set(problem.a_steps)) == 1 and problem.w_steps.shape == (4,)
        errors = problem.errors(product)
        noise = np.linalg.norm(restored - a @ w) / np.linalg.norm(a @ w)
        assert errors["relative_error"] == pytest.approx(noise) and noise < (0.3 if "4" in name else 0.03)
        assert errors["sqnr_db"] == pytest.approx(-20 * np.log10(noise))


def test_integers_are_units_of_a_step():
    a, w = np.array([[1, -7, 50]]), np.array([[2], [3], [-1]], np.int8)
    plain = prepare(a, w, SystolicConfig())
    assert (plain.a_steps, plain.w_steps, plain.exact) == (None, None, None)
    assert plain.restored(a @ w).dtype == np.int64 and plain.errors(a @ w) == {}
    this = SystolicConfig(a_format="ovp-int4", w_format="ovp-int4")
    pairs = prepare(a, w, this)
    product, _ = golden.matmul(pairs.a, pairs.w, this)
    # 50 becomes the outlier 48.
    assert product.item() == 2 - 21 - 48
    assert pairs.errors(product)["relative_error"] == pytest.approx(2 / 69)


def test_an_exact_product_has_no_ratio():
    a, w = np.array([[7.0, 1.0], [0.0, -7.0]]), 7 * np.eye(2)
    problem = prepare(a, w, SystolicConfig(a_format="int4", w_format="int4"))
    product, _ = golden.matmul(problem.a, problem.w, SystolicConfig(a_format="int4", w_format="int4"))
    assert problem.errors(product) == {"relative_error": 0, "sqnr_db": None}


def test_operands_and_products_beyond_float32_are_refused():
    this, one = SystolicConfig(), np.ones((2, 2))
    for a, w, what in (
        (one * 1e39, one, "A: values from 1e.39 to 1e.39"),
        (one, one * 5e-324, "W: values from 4.941e-324"),
        (one * 1e30, one * 1e30, "the product of A and W: values from 2e.60"),
        (one * 1e-30, one * 1e-30, "the product of A and W: values from 2e-60"),
        # The terms cancel.
        (np.array([[1e30, -1e30]]), np.array([[1e30], [1e30]]), "the product of A and W: values from 2e.60"),
    ):
        with pytest.raises(ValueError, match=rf"^{what}.*: the largest magnitude must be "):
            prepare(a, w, this)
    problem = prepare(one * 1e-30, one * 1e30, this)
    product, _ = golden.matmul(problem.a, problem.w, this)
    assert np.allclose(problem.restored(product), 2)


def test_zeros_have_no_error():
    this = SystolicConfig(a_format="ovp-int4", w_format="ovp-int4")
    problem = prepare(np.zeros((2, 3)), np.ones((3, 2)), this)
    product, _ = golden.matmul(problem.a, problem.w, this)
    assert not product.any() and problem.errors(product) == {}


def test_a_row_can_have_its_own_step():
    x = np.array([[1.0, 2.0], [100.0, 300.0]])
    _, steps = encode(x, golden.FORMATS["int8"], 0)
    assert steps[1] > 50 * steps[0]


TILE = ["-p", "rows=2", "-p", "cols=3", "-p", "block=2", "-p", "accumulator=12", "-p", "partials=3"]


def test_run_matmul(tmp_path):
    rng = np.random.default_rng(1)
    a, w = rng.integers(-128, 128, (5, 1)), rng.integers(-8, 8, (1, 7))
    a_file, w_file, y_file, report = (tmp_path / name for name in ("A.npy", "W.npy", "new/Y.npy", "r.json"))
    np.save(a_file, a), np.save(w_file, w)
    words = ["run", "matmul", "--on", "rtl", "--format", "int8,int4", *TILE, a_file, w_file, "-o", y_file]
    output, _ = bitloom(*words, "--json", report)
    found = np.load(y_file)
    assert found.dtype == np.int64 and (found == a @ w).all()
    for word in ("5x1x7", "2x3, output-stationary", "int8 x int4", "utilization", "MAC/s", "passed", f"wrote {y_file}"):
        assert word in output
    assert "relative error" not in output
    told = json.loads(report.read_text())
    this = config("int8", "int4", "output-stationary")
    assert told["passed"] and told["cycles"] == told["expected_cycles"] == golden.cycles(this, 5, 1, 7)
    assert (told["shape"], told["macs"], told["parameters"]) == ([5, 1, 7], 35, this.to_dict())
    np.save(a_file, rng.normal(size=(5, 1)).astype(np.float32))
    output, _ = bitloom(*words)
    found = np.load(y_file)
    assert found.dtype == np.float32 and np.allclose(found, np.load(a_file) @ w, atol=0.3)
    assert "relative error" in output and "SQNR dB" in output


def test_operands_come_through_pipes_too(tmp_path):
    a = np.arange(6).reshape(2, 3)
    np.save(tmp_path / "A.npy", a), np.save(tmp_path / "W.npy", a.T)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def write():
        pipe.write_bytes((tmp_path / "A.npy").read_bytes())

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    np.testing.assert_array_equal(array_files.load(pipe), a)
    writer.join()


def test_a_mismatch_is_status_1_and_leaves_no_product(tmp_path, monkeypatch, capsys):
    failed = gemm_run.GemmResult(None, None, False, "2 of 4 results differ", 2, 9, 9, 8, 0.5, 1.0, 1.0)
    monkeypatch.setattr(gemm_run, "run", lambda *args, **options: failed)
    np.save(tmp_path / "A.npy", np.ones((2, 2), int))
    words = ["run", "matmul", "--format", "int8", "A.npy", "A.npy", "-o", "Y.npy"]
    monkeypatch.chdir(tmp_path)
    assert called(monkeypatch, words) == 1
    assert "2 of 4 results differ" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["A.npy"]


def called(monkeypatch, words):
    """Exit status of the command line, in this process."""
    monkeypatch.setattr(sys, "argv", ["bitloom", *words])
    monkeypatch.setattr(cli.signal, "signal", lambda number, handler: None)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


WRONG = {
    "none.npy": "none.npy: No such file or directory",
    "text.npy": "'text.npy' must be a whole .npy file of numbers",
    "empty.npy": "'empty.npy' must be a whole .npy file of numbers",
    "cut.npy": "'cut.npy' must be a whole .npy file of numbers",
    "objects.npy": "'objects.npy' must be a whole .npy file of numbers",
    "folder": "folder: Is a directory",
    "vector.npy": "A must be a matrix of at least one value, not of shape (4,)",
    "nothing.npy": "A must be a matrix of at least one value, not of shape (0, 4)",
    "bools.npy": "A must hold integers or floating-point numbers, not bool",
    "long.npy": "A must be (M, K) and W (K, N), with one K, not (2, 5) and (4, 3)",
    "nan.npy": "A: x must be finite, not nan at index (1, 2)",
    "big.npy": "A: int8 takes integers from -128 to 127, not 200",
    "vast.npy": "A: values from 0 to 7e+300: the largest magnitude must be 0 or 1.4013e-45 to 3.40282e+38",
    "huge.npy": "the product of A and W: values from",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = np.arange(8).reshape(2, 4)
    files = {
        "A": good,
        "W": np.full((4, 3), 9),
        "vector": good[0],
        "nothing": good[:0],
        "bools": good > 3,
        "long": np.ones((2, 5), int),
        "nan": np.where(good == 6, np.nan, good),
        "big": np.where(good == 6, 200, good),
        "vast": good * 1e300,
        "huge": good * 1e37,
    }
    for name, array in files.items():
        np.save(f"{name}.npy", array)
    np.save("objects.npy", np.array([{}, 1]), allow_pickle=True)
    (tmp_path / "text.npy").write_text("1 2 3\n")
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "cut.npy").write_bytes((tmp_path / "A.npy").read_bytes()[:-9])
    (tmp_path / "folder").mkdir()
    return tmp_path


def complaint(monkeypatch, capsys, folder, words):
    """The one line that a wrong request prints; nothing is left behind, and nothing was compiled."""
    before = sorted(folder.rglob("*"))
    monkeypatch.setattr(gemm_run.drive, "build", lambda design: pytest.fail("the work has begun"))
    assert called(monkeypatch, ["run", *words]) == 2
    output, error = capsys.readouterr()
    assert output == "" and error.count("\n") == 1 and error.startswith("bitloom: ")
    assert sorted(folder.rglob("*")) == before
    return error


@pytest.mark.parametrize("name", WRONG)
def test_wrong_files_are_refused(name, folder, monkeypatch, capsys):
    words = ["matmul", "--format", "int8", name, "W.npy", "-o", "Y.npy"]
    assert WRONG[name] in complaint(monkeypatch, capsys, folder, words)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--format", "int8", "--on", "silicon"], "there is no port silicon: is the board plugged in?"),
        (["--format", "int3"], "format must be one of int8, int4, ovp-int4, ovp-flint4, ovp-int8, not 'int3'"),
        (["--format", "int8,int8,int8"], "one format, or two with a comma between them, not 'int8,int8,int8'"),
        (["--format", "int8,ovp-int4"], "w_format must be one of int8, int4 for a_format int8, not 'ovp-int4'"),
        (["--format", "ovp-int4,ovp-int8"], "w_format must be one of ovp-int4, ovp-flint4 for a_format ovp-int4"),
        (["--format", "int8", "-p", "w_format=int4"], "w_format must be given by --format alone, not by -p w_format"),
        (["--format", "int8", "-p", "rows=0"], "rows must be 1 to 256, not 0"),
        (["--format", "int8", "-p", "sides=4"], "unknown parameter 'sides': allowed are rows, cols"),
        (["--format", "int8", "-p", "target=ecp5"], "target must be generic to run in Verilator, not 'ecp5'"),
        (
            ["--format", "int8", "-p", "accumulator=16"],
            "K must be 1 or less for int8 x int8 in an accumulator of 16 bits, not 4: that takes accumulator=18",
        ),
        (["--format", "int8", "-o", "A.npy/Y.npy"], "A.npy: Not a directory"),
        (["--format", "int8", "--json", "W.npy/r.json"], "W.npy: Not a directory"),
    ],
)
def test_wrong_requests_are_refused(words, message, folder, monkeypatch, capsys):
    files = ["matmul", "A.npy", "W.npy", *([] if "-o" in words else ["-o", "Y.npy"])]
    assert message in complaint(monkeypatch, capsys, folder, [*files, *words])


def test_the_accumulator_that_is_named_would_do():
    for k in (2, 5, 100, 1 << 20):
        with pytest.raises(ValueError, match="takes accumulator=") as caught:
            tiling.check_k(SystolicConfig(accumulator=16), k)
        bits = int(str(caught.value).rpartition("=")[2])
        tiling.check_k(SystolicConfig(accumulator=bits), k)
        with pytest.raises(ValueError):
            tiling.check_k(SystolicConfig(accumulator=bits - 1), k)
