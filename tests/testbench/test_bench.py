"""The benches run on every core, and find what is wrong in wrong designs."""

import itertools
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from amaranth import signed
from amaranth.lib import data
from benches import passes

from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.cores.generate import Port, generate
from bitloom.golden.olive import ovp
from bitloom.golden.systolic import tile as systolic
from bitloom.testbench import runner, verilator
from bitloom.testbench.runner import simulate
from bitloom.testbench.stream import PROFILES, describing, packed, stalls
from bitloom.tools import running

VECTORS = 2000


def tiles():
    """Every pair of formats with both dataflows; accumulators as narrow as a product allows, so that sums wrap."""
    for dataflow in systolic.DATAFLOWS:
        for a, w in itertools.product(systolic.FORMATS, repeat=2):
            try:
                formats = SimpleNamespace(a_format=a, w_format=w)
                narrow = systolic.term_bits(formats)
            except ValueError:
                continue  # not defined
            size = ("rows=2", "cols=2", "block=1") if a == "ovp-int8" else ("rows=4", "cols=3", "block=2")
            accumulator = f"accumulator={max(narrow, 8)}"
            yield [*size, f"a_format={a}", f"w_format={w}", f"dataflow={dataflow}", accumulator, "partials=5"]


#: Each core's default, but small configurations of those that compile for many seconds.
BASE = {name: [] for name in CATALOGUE} | {
    name: list(CATALOGUE[name].small)
    for name in CATALOGUE
    if name.startswith(("anda-", "hgq-", "mx-")) or name in ("lvc", "machine", "sevedo-core")
}


def formats(parameters):
    """Those of a tile's operands."""
    return {word.partition("=")[2] for word in parameters[3:5]}


#: Tiles of different formats take the others' decoders and multipliers; those that hold their weights, of most formats,
#: those of the others.
REPEATED = [
    parameters
    for parameters in tiles()
    if len(formats(parameters)) > 1
    or ("dataflow=weight-stationary" in parameters and not formats(parameters) <= {"int8", "ovp-flint4"})
]

#: Configurations beside those.
MORE = [
    ("ovp-decoder", ["normal=int8"]),
    ("ovp-decoder", ["normal=flint4", "pairs=3", "bias_port=true"]),
    ("ovp-decoder", ["normal=int8", "pairs=32", "bias_port=true"]),
    ("ovp-decoder", ["bias=12", "pairs=2"]),
    ("ovp-encoder", ["normal=int8", "width=48", "fraction=16"]),
    ("ovp-encoder", ["normal=flint4", "pairs=3", "bias=12"]),
    ("ovp-encoder", ["width=4", "fraction=1"]),
    ("ovp-encoder", ["width=8", "fraction=2"]),
    *(("systolic-tile", parameters) for parameters in tiles() if parameters not in REPEATED),
    ("systolic-tile", ["rows=1", "cols=1", "overflow=false"]),
    ("systolic-tile", ["rows=1", "cols=1", "a_format=ovp-int4", "w_format=ovp-int4"]),
    ("systolic-tile", ["rows=5", "cols=6", "block=3", "dataflow=weight-stationary", "overflow=false"]),
    ("systolic-tile", ["rows=4", "cols=3", "block=2", "pipeline=free-running"]),
    ("nm-tile", ["rows=2", "cols=3", "block=2", "pipeline=free-running"]),
    ("gemm", ["rows=2", "cols=3", "block=2", "a_depth=8", "w_depth=16", "pipeline=free-running"]),
]

LONG = [
    *((name, []) for name, parameters in BASE.items() if parameters),
    *(("systolic-tile", parameters) for parameters in REPEATED),
    ("ovp-decoder", ["normal=int8", "bias_port=true"]),
    ("ovp-decoder", ["normal=int8", "pairs=3"]),
    ("ovp-decoder", ["pairs=32"]),
    ("ovp-encoder", ["normal=int8"]),
    ("ovp-encoder", ["normal=flint4", "pairs=32", "width=7", "fraction=1"]),
    ("ovp-encoder", ["normal=int8", "pairs=32", "width=48", "fraction=46"]),
    ("systolic-tile", ["rows=16", "cols=16"]),
    ("systolic-tile", ["dataflow=weight-stationary"]),
    ("systolic-tile", ["a_format=ovp-int4", "w_format=ovp-flint4"]),
]


def check(name, parameters, vectors):
    core = lookup(name)
    config, result = passes(name, parameters, vectors)
    assert result.transfers > vectors
    assert (result.latency, result.interval) == (core.latency(config), core.interval(config))
    assert result.coverage
    assert all(covered == total for covered, total in result.coverage.values())


def each(cases):
    return pytest.mark.parametrize(
        ("name", "parameters"), cases, ids=[" ".join([name, *parameters]) for name, parameters in cases]
    )


# The SeVeDo core's small configuration is in its own tests.
@each([(name, parameters) for name, parameters in BASE.items() if name != "sevedo-core"] + MORE)
def test_core_matches_its_golden_model(name, parameters):
    check(name, parameters, VECTORS)


@pytest.mark.long
@each(LONG)
def test_core_matches_its_golden_model_long(name, parameters):
    check(name, parameters, 20_000)


@pytest.mark.parametrize("parameters", [["pairs=2"], ["normal=int8", "pairs=3"]], ids=" ".join)
def test_given_codes_run_alone(parameters):
    core = lookup("ovp-decoder")
    config = core.config.parse(parameters)
    fmt = config.format
    codes = ovp.encode(np.random.default_rng(3).normal(0, 10, (50, 2 * config.pairs)), fmt)
    result = simulate(core, config, codes=codes, seed=1)
    assert result.passed, result.summary()
    assert result.transfers == 50
    assert result.cycles < 100
    # The golden model's own codes are legal; one that is not is decoded as the golden model says, too.
    codes[7, : fmt.bits // 4] = [0x88] if fmt.bits == 4 else [0x80, 0x80]
    assert simulate(core, config, codes=codes, seed=1).passed


def test_a_core_that_takes_no_codes_refuses_them():
    core = lookup("ovp-encoder")
    result = simulate(core, core.config(), codes=np.zeros((4, 1), np.uint8), seed=1)
    assert not result.passed
    assert result.failure == "the encoder takes no packed codes"


def test_a_seed_repeats_a_run_exactly():
    core = lookup("ovp-decoder")
    first, again, other = (simulate(core, core.config(), vectors=500, seed=seed) for seed in (5, 5, 6))
    assert (first.seed, other.seed) == (5, 6)
    assert replace(first, seconds=0, log="") == replace(again, seconds=0, log="")
    assert other.passed
    assert other.cycles != first.cycles
    drawn = simulate(core, core.config(), vectors=500)
    assert replace(simulate(core, core.config(), vectors=500, seed=drawn.seed), seconds=0) == replace(drawn, seconds=0)


# The sound decoder inside, one fault around it.
FAULTY = """
module ovp_decoder(input clk, input rst, input [8:0] i__payload, input i__valid, output i__ready,
                   output [16:0] o__payload, output o__valid, input o__ready, output illegal, input [7:0] fault);
  wire flipped = fault == 1, waiting = fault == 2, unsteady = fault == 3, losing = fault == 4, repeating = fault == 5,
       dropping = fault == 6, late = fault == 7, half = fault == 8, forgetful = fault == 9, tardy = fault == 10,
       unreset = fault == 11, finishing = fault == 12, shallow = fault == 13;
  wire [16:0] payload;
  wire ready, valid, flag;
  wire go = (tick | ~half) & (o__ready | ~valid | ~shallow);
  wire lost = losing & taken == 100, again = repeating & given == 100 & ~repeated;
  wire passed = late ? ~late_valid | o__ready : o__ready & ~again;
  reg tick = 0, stalled = 0, repeated = 0, late_valid = 0, late_flag = 0, old_flag = 0;
  reg [16:0] late_payload;
  reg [9:0] taken = 0, given = 0;
  inner core(.clk(clk), .rst(rst & ~unreset), .i__payload(i__payload), .i__valid(i__valid & go & ~lost),
             .i__ready(ready), .o__payload(payload), .o__valid(valid), .o__ready(passed), .illegal(flag));
  assign i__ready = ready & go;
  assign o__valid = late ? late_valid : valid & (~waiting | o__ready) & ~(dropping & stalled);
  assign o__payload = late ? late_payload : payload ^ flipped ^ (unsteady & stalled);
  assign illegal = late ? late_flag : tardy ? old_flag : flag & (valid | ~forgetful);
  always @(posedge clk) begin
    tick <= ~tick;
    stalled <= valid & ~o__ready;
    taken <= taken + (i__valid & i__ready);
    given <= given + (o__valid & o__ready);
    if (again & valid & o__ready) repeated <= 1;
    if (passed) begin late_payload <= payload; late_valid <= valid & ~rst; late_flag <= flag; end
    old_flag <= flag & ~rst;
    if (finishing & taken == 60) $finish;
  end
endmodule
"""

FAULTS = {
    1: ("o__payload", "values", "values"),
    3: ("o__payload", "held until ready", ""),
    4: ("o__payload", "", ""),
    5: ("o__payload", "", ""),
    6: ("o__valid", "high until ready", "low"),
    7: ("latency", "1 cycles", "2 cycles"),
    8: ("interval", "1 cycles", "2 cycles"),
    9: ("illegal", "1", "0"),
    10: ("illegal", "1", "0"),
    11: ("illegal", "0", "1"),
    13: ("capacity", "2 items", "1 items"),
}


def faulty(fault, **options):
    core = lookup("ovp-decoder")
    design = generate(core, core.config())
    verilog = design.verilog.replace("module ovp_decoder(", "module inner(") + FAULTY
    design = replace(design, verilog=verilog, ports=(*design.ports, Port("fault", "input", 8)))
    return simulate(core, core.config(), vectors=600, seed=2, design=design, ports={"fault": fault}, **options)


def test_the_design_around_the_faults_is_sound():
    assert faulty(0).passed


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault):
    result = faulty(fault, first=True)
    assert not result.passed
    assert result.failure is None
    (mismatch,) = result.mismatches
    what, expected, got = FAULTS[fault]
    assert mismatch["what"] == what
    assert expected in str(mismatch["expected"])
    assert got in str(mismatch["got"])
    assert mismatch["time_ns"] == runner.PERIOD * mismatch["cycle"]


def test_every_mismatch_is_reported(tmp_path):
    result = faulty(1)
    assert not result.passed
    assert len(result.mismatches) > 600
    path = tmp_path / "deep" / "mismatches.json"
    result.write_mismatches(path)
    report = json.loads(path.read_text())
    assert report["seed"] == 2
    assert report["mismatches"] == result.mismatches
    first = report["mismatches"][0]
    assert first["differs"] == ["values[0]"]
    assert first["input"]["codes"]
    text = result.summary()
    assert "FAILED" in text
    assert f"in cycle {first['cycle']} at {first['time_ns']} ns" in text


def test_a_design_that_waits_for_ready_is_a_failure():
    result = faulty(2)
    assert not result.passed
    assert "no transfer in 2000 cycles" in result.failure
    assert "patient" in result.failure


def test_a_simulation_that_ends_early_is_a_failure():
    result = faulty(12)
    assert not result.passed
    assert result.failure.startswith("the simulation ended without a result")


def test_a_bench_that_breaks_is_a_failure():
    core = lookup("ovp-decoder")
    result = simulate(core, core.config(), vectors=10, seed=1, ports={"nowhere": 1})
    assert not result.passed
    assert result.transfers == 0
    assert result.failure.startswith("the bench stopped with AttributeError: ")
    assert "nowhere" in result.failure
    assert "\n" not in result.failure


def test_a_simulation_that_takes_too_long_is_a_failure():
    core = lookup("ovp-decoder")
    result = simulate(core, core.config(), vectors=10, seed=1, timeout=0.01)
    assert not result.passed
    assert "took longer than 0.01 s" in result.failure


def test_waves_are_written_to_the_path_given(tmp_path, monkeypatch):
    core = lookup("ovp-decoder")
    monkeypatch.chdir(tmp_path)
    result = simulate(core, core.config(), vectors=100, seed=1, waves="deep/er/run.vcd")
    assert result.passed
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["run.vcd"]
    text = (tmp_path / "deep" / "er" / "run.vcd").read_text()
    assert "i__payload" in text.partition("$enddefinitions")[0]
    # The last change lies in the last cycle.
    last = max(int(line[1:]) for line in text.splitlines() if line.startswith("#"))
    assert last // runner.PERIOD == result.cycles
    plain = simulate(core, core.config(), vectors=100, seed=1)
    assert (plain.cycles, plain.transfers) == (result.cycles, result.transfers)


def test_progress_is_told():
    core, told = lookup("ovp-decoder"), []
    result = simulate(core, core.config(), vectors=20_000, seed=1, progress=lambda *pair: told.append(pair))
    assert result.passed
    assert told == sorted(told)
    assert 0 < told[-1][0] <= told[-1][1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vectors": 0}, "vectors must be 1 or more, not 0"),
        ({"seed": -1}, "seed must be 0 or more, not -1"),
        ({"waves": "x.txt"}, "waves must be a file that ends in .vcd or .fst, not 'x.txt'"),
    ],
)
def test_a_wrong_request_is_refused(options, message):
    core = lookup("ovp-decoder")
    with pytest.raises(ValueError, match=message):
        simulate(core, core.config(), **options)


def test_waves_are_not_written_over_a_folder(tmp_path):
    core = lookup("ovp-decoder")
    (tmp_path / "run.vcd").mkdir()
    with pytest.raises(ValueError, match="is a folder"):
        simulate(core, core.config(), waves=tmp_path / "run.vcd")


def test_a_program_is_built_once_and_never_half(tmp_path, monkeypatch):
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path))
    core = lookup("ovp-decoder")
    design = generate(core, core.config())
    calls = []

    def broken(command, cwd, **_):
        if "--cc" in command:
            (cwd / "build").mkdir()
        elif command[-1].endswith(".gch"):
            (cwd / command[-1]).write_text("headers")
        else:
            (cwd / "sim").write_text("half")
            (cwd / "verilated.o").write_text("half")
            raise running.ToolFailed("make failed")

    def whole(command, cwd, **_):
        calls.append(command)
        if "--cc" in command:
            (cwd / "build").mkdir()
        elif command[-1].endswith(".gch"):
            (cwd / command[-1]).write_text("headers")
        else:
            (cwd / "sim").write_text("whole")
            (cwd / "verilated.o").write_text("object")

    # Asked of Verilator once in a process, so whether it is asked here depends on the tests before.
    monkeypatch.setattr(verilator, "_root", lambda: tmp_path)
    monkeypatch.setattr(running, "run", broken)
    with pytest.raises(running.ToolFailed):
        verilator.build(design)
    # What is whole is kept: the headers.
    assert [path.name for path in (tmp_path / "verilator").rglob("*") if path.is_file()] == ["Vtop_headers.h.gch"]
    monkeypatch.setattr(running, "run", whole)
    program = verilator.build(design)
    assert program.read_text() == "whole"
    assert verilator.build(design) == program
    assert len(calls) == 2
    kept = {path.name for path in (tmp_path / "verilator").glob("runtime-*/*")}
    assert kept == {"Vtop_headers.h.gch", "verilated.o"}
    assert not list((tmp_path / "verilator").glob(".build-*"))
    assert verilator.build(replace(design, verilog=design.verilog + "\n")) != program
    assert verilator.build(design, ".vcd") != program


@pytest.mark.parametrize("width", [1, 5, 8, 48])
def test_payloads_for_the_simulator_and_for_a_report(width):
    rng = np.random.default_rng(width)
    layout = data.StructLayout({"lanes": data.ArrayLayout(signed(width), 7), "last": 1})
    fields = rng.integers(-(1 << (width - 1)), 1 << (width - 1), (20, 7))
    payloads = packed(layout, lanes=fields, last=np.arange(20) == 19)
    for at, (payload, row) in enumerate(zip(payloads, fields.tolist(), strict=True)):
        last = int(at == 19)
        words = [value % (1 << width) for value in row]
        assert payload == sum(word << (width * lane) for lane, word in enumerate(words)) | last << (7 * width)
        assert describing(layout)(payload) == {"lanes": row, "last": last}
        shown = describing(layout, "lanes")(payload)
        assert shown == {"lanes": [f"0x{word:0{-(-width // 4)}x}" for word in words], "last": last}


def test_stall_profiles():
    shares = {}
    for profile in PROFILES:
        go = stalls(profile, np.random.default_rng(1))
        pattern = [next(go) for _ in range(4000)]
        assert set(pattern) <= {0, 1}
        assert pattern == [x for x, _ in zip(stalls(profile, np.random.default_rng(1)), pattern, strict=False)]
        shares[profile] = sum(pattern) / len(pattern)
    assert shares["eager"] == 1
    assert shares["light"] == pytest.approx(7 / 8, abs=0.03)
    assert shares["heavy"] == pytest.approx(1 / 4, abs=0.03)
    assert shares["sparse"] == 1 / 4
    assert 0.3 < shares["bursts"] < 0.7
