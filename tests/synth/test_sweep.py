"""Sweeps: which points there are, how they are measured side by side, what is told and drawn of them."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from command_line import bitloom

from bitloom.cores.catalogue import lookup
from bitloom.synth import plot, sweep
from bitloom.synth.report import Area, Report, Use
from bitloom.synth.room import TooSmall
from bitloom.tools import pictures, running

CORE = lookup("ovp-decoder")
TOOLS = {"yosys": "0.70", "nextpnr-ice40": "0.11.1"}

# What workers import in place of the tools; it cannot be patched from here, as they are processes of their own.
FAKE = """
import os, signal, time
from pathlib import Path
from bitloom.tools import running
from bitloom.synth.report import Report, Use
from bitloom.synth.room import TooSmall

def measure(core, config, request):
    # The first ones take longest.
    time.sleep(0.6 / config.pairs)
    uses = (Use("LUT4", 100 * config.pairs, 1000), Use("FF", 10, 1000), Use("DSP", 0, 8))
    if config.pairs > 10:
        return TooSmall(core, request["part"], uses, uses[:1])
    return Report(core, request["part"], "", uses, 100.0, request["freq"], None, None, {}, {}, request["seed"], ())

def fail(core, config, request):
    if config.pairs == 2:
        raise running.ToolFailed("nextpnr lost its way")
    Path(f"started-{config.pairs}").touch()
    running.run(["sh", "-c", "sleep 120; touch slept"], ".")

def tell(core, config, request):
    return Report(core, request["liberty"].name, "", (), None, None, None, None, {}, {}, None, ())

def die(core, config, request):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BITLOOM_CACHE", str(folder))
        yield folder


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A module whose functions can stand for `sweep._measure` in the workers."""
    (tmp_path / "fake_measure.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    import fake_measure

    yield fake_measure
    del sys.modules["fake_measure"]


def synth(*words, cwd, status=0):
    """`bitloom synth` of a core; its standard output and error."""
    return bitloom("synth", "ovp-decoder", *words, cwd=cwd, status=status)


def found(values, capacity=1000, **more):
    """A sweep over `pairs` and `normal` with made-up figures; points above the capacity are too large."""
    points = sweep.plan(CORE, [], [f"pairs={','.join(map(str, values))}", "normal=int4,int8"])
    results = []
    for point in points:
        size = point.config.pairs * (2 if point.config.normal == "int8" else 1)
        uses = (Use("LUT4", 100 * size, capacity), Use("FF", 50 * size, 7680), Use("DSP", 0, 0), Use("EBRAM", 0, 9))
        if uses[0].used > capacity:
            results.append(TooSmall("ovp-decoder", "part", uses, uses[:1]))
        else:
            report = Report(
                "ovp-decoder", "part", "Part", uses, 150.0 - size, None, None, None, {}, TOOLS, 1, ("note",)
            )
            results.append(report)
    return sweep.Sweep("ovp-decoder", "part", points, tuple(results), **{"freq": None, **more})


def test_the_plan_is_every_combination_in_order():
    points = sweep.plan(CORE, ["bias=3"], ["pairs=1,2", "normal=int4,int8"])
    assert [str(point) for point in points] == [
        "pairs=1 normal=int4",
        "pairs=1 normal=int8",
        "pairs=2 normal=int4",
        "pairs=2 normal=int8",
    ]
    assert points[1].config == CORE.config(normal="int8", pairs=1, bias=3)
    assert found((1,)).fixed == []
    assert sweep.Sweep("", "", points, (), None).fixed == ["bias=3"]


@pytest.mark.parametrize(
    "parameters, assignments, said",
    [
        ([], [], "a sweep needs what to sweep, as NAME=V1,V2,…"),
        ([], ["pairs"], "what is swept must be given as NAME=V1,V2,…, not 'pairs'"),
        ([], ["pairs=1,,2"], "what is swept must be given as NAME=V1,V2,…, not 'pairs=1,,2'"),
        ([], ["=1"], "what is swept must be given as NAME=V1,V2,…, not '=1'"),
        ([], ["pairs=1", "pairs=2"], "'pairs' is swept twice"),
        ([], ["pairs=1,2,1"], "pairs=1 is given twice: as pairs=1"),
        ([], ["pairs=2,02"], "pairs=02 is given twice: as pairs=2"),
        ([], ["pears=1"], "pears=1: unknown parameter 'pears': allowed are normal, pairs"),
        (["pairs=1"], ["pairs=2"], "pairs=2: parameter 'pairs' is given twice"),
        ([], ["pairs=1,33", "normal=int8"], "pairs=33 normal=int8: pairs must be 1 to 32, not 33"),
        ([], ["bias=1", "bias_port=false,true"], "bias=1 bias_port=true: bias must be none where bias_port is true"),
    ],
)
def test_a_wrong_plan_is_refused_with_its_point(parameters, assignments, said):
    with pytest.raises(ValueError) as error:
        sweep.plan(CORE, parameters, assignments)
    assert str(error.value).startswith(said)


def test_points_are_told_in_the_order_of_the_request_and_run_at_the_same_time(fake, monkeypatch):
    monkeypatch.setattr(sweep, "_measure", fake.measure)
    done = []
    points = sweep.plan(CORE, [], ["pairs=1,20,3,6"])
    swept = sweep.run(CORE, points, "ice40-up5k", freq=50.0, jobs=4, progress=lambda *at: done.append(at))
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]
    columns, rows = swept.table()
    assert columns == ["pairs", "LUT4", "FF", "DSP", "Fmax MHz", "fit"]
    assert rows == [
        ["1", 100, 10, 0, "100.0", "yes"],
        ["20", 2000, 10, 0, None, "too large: 1,000 LUT4 too many"],
        ["3", 300, 10, 0, "100.0", "yes"],
        ["6", 600, 10, 0, "100.0", "yes"],
    ]
    assert swept.met is False
    assert sweep.run(CORE, points[:1], "ice40-up5k", freq=50.0, jobs=1).met is True
    told = json.loads(json.dumps(swept.to_dict()))
    assert [point["fits"] for point in told["points"]] == [True, False, True, True]
    assert told["points"][1]["error"] == (
        "ice40-up5k is too small for ovp-decoder: it needs 2,000 LUT4 of 1,000 (1,000 too many)"
    )


def test_a_point_that_fails_is_named_and_stops_the_others(fake, monkeypatch):
    monkeypatch.setattr(sweep, "_measure", fake.fail)
    with pytest.raises(running.ToolFailed, match=r"^pairs=2: nextpnr lost its way$"):
        sweep.run(CORE, sweep.plan(CORE, [], ["pairs=1,2,3,4,5,6,7"]), "ice40-up5k", jobs=2)
    # The points that ran were ended in their sleep.
    assert not Path("slept").exists()
    assert not Path("started-7").exists()


def test_a_worker_that_is_killed_is_one_line(fake, monkeypatch):
    monkeypatch.setattr(sweep, "_measure", fake.die)
    with pytest.raises(running.ToolFailed, match=r"^a worker was killed, perhaps for want of memory: try --jobs 1$"):
        sweep.run(CORE, sweep.plan(CORE, [], ["pairs=1,2"]), "ice40-up5k", jobs=1)


def test_a_liberty_file_is_read_once_so_it_may_be_a_pipe(fake, monkeypatch, tmp_path):
    pins = 'pin(A) {direction : input;} pin(B) {direction : input;} pin(Y) {direction : output; function : "!(A&B)";}'
    text = f"library (tiny) {{ cell (N) {{area : 1; {pins}}} cell (D) {{area : 4; ff(IQ, IQN) {{}}}} }}"
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(text,), daemon=True)
    writer.start()
    monkeypatch.setattr(sweep, "_measure", fake.tell)
    found = sweep.run(CORE, sweep.plan(CORE, [], ["pairs=1,2"]), liberty=pipe, jobs=1)
    writer.join(timeout=10)
    assert found.target == "tiny" and [report.target for report in found.reports] == ["tiny", "tiny"]


def test_the_request_is_checked_before_anything_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(sweep, "pool", None)
    points = sweep.plan(CORE, [], ["pairs=1,2"])
    (tmp_path / "no.lib").write_text("no library")
    for arguments, said in (
        ({"part": "vax"}, "unknown target 'vax'"),
        ({"part": "ice40-up5k", "freq": -1}, "freq must be"),
        ({"liberty": tmp_path / "no.lib", "freq": 3}, "freq needs an FPGA target"),
        ({"liberty": tmp_path / "no.lib"}, "is not a Liberty file"),
    ):
        with pytest.raises(ValueError, match=said):
            sweep.run(CORE, points, **arguments)


def test_what_is_too_small_says_by_how_much():
    uses = (Use("LUT4", 71000, 5280), Use("FF", 9, 5280), Use("DSP", 256, 8))
    error = TooSmall("tile", "ice40-up5k", uses, (uses[0], uses[2]))
    assert str(error) == (
        "ice40-up5k is too small for tile: it needs 71,000 LUT4 of 5,280 (65,720 too many), 256 DSP of 8 (248 too many)"
    )
    assert error.missing == "65,720 LUT4 too many, 248 DSP too many"
    placed = TooSmall("tile", "part", uses[1:2], (Use("ICESTORM_LC", 5300, 5280),), placed=True)
    assert str(placed) == (
        "part is too small for tile in its harness: "
        "it needs 5,300 ICESTORM_LC of 5,280 (20 too many); alone it takes 9 FF of 5,280"
    )
    assert placed.missing == "20 ICESTORM_LC too many, harness included"
    crowded = TooSmall("tile", "part", uses[1:2], (), placed=True)
    assert "nextpnr finds no place for every cell; alone it takes 9 FF of 5,280" in str(crowded)
    assert crowded.missing == "no placement found, harness included"


def drawn(path, swept):
    plot.draw(path, swept)
    return path.read_bytes()


@pytest.mark.parametrize("suffix, start", [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_the_same_sweep_gives_the_same_picture(suffix, start, tmp_path):
    first = drawn(tmp_path / "new" / f"a{suffix}", found((1, 2, 4, 8)))
    assert first.startswith(start)
    assert drawn(tmp_path / f"b{suffix}", found((1, 2, 4, 8))) == first
    assert drawn(tmp_path / f"c{suffix}", found((1, 2, 4))) != first
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"b{suffix}", f"c{suffix}", "new"]


def words(path, swept):
    """The words in a picture."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(pictures.STYLE, "svg.fonttype", "none")
        return re.findall(r"<text[^>]*>([^<]+)", drawn(path, swept).decode())


def test_the_picture_has_its_labels(tmp_path):
    said = words(tmp_path / "a.svg", found((1, 2, 4, 8)))
    assert {"LUT4", "FF", "DSP", "Fmax", "LUT4s", "flip-flops", "blocks", "MHz", "pairs"} <= {*said}
    assert {"normal = int4", "normal = int8", "the part's capacity", "too large for the part"} <= {*said}
    assert "ovp-decoder on part (Part)" in said
    assert "estimate of Yosys 0.70 / nextpnr-ice40 0.11.1, seed 1, out of context" in said
    said = words(tmp_path / "b.svg", found((1, 2), capacity=5000))
    assert "too large for the part" not in said and "the part's capacity" not in said


def test_a_sweep_of_areas_is_tabled_and_drawn(tmp_path):
    points = sweep.plan(CORE, [], ["normal=int4,flint4"])
    area = Area("tiny", 12.5, 9, 4, "ND2", 1.25, 10.0)
    report = Report("ovp-decoder", "tiny", "", (), None, None, None, area, {}, {"yosys": "0.70"}, None, ())
    swept = sweep.Sweep("ovp-decoder", "tiny", points, (report, report), None)
    assert swept.table() == (
        ["normal", "area", "NAND2 equivalents", "cells", "flip-flops"],
        [["int4", "12.5", "10.0", 9, 4], ["flint4", "12.5", "10.0", 9, 4]],
    )
    said = words(tmp_path / "a.svg", swept)
    assert {"NAND2 equivalents", "the library's unit", "int4", "flint4", "normal", "estimate of Yosys 0.70"} <= {*said}


def test_the_command_sweeps_two_parameters(tmp_path):
    request = ["--sweep", "pairs=1,2", "normal=int4", "--target", "ice40-hx8k", "-p", "bias=3", "--freq", "9"]
    output, _ = synth(*request, "--plot", "new/a.png", "--json", "a.json", cwd=tmp_path)
    title, columns, *rows, wrote = output.splitlines()
    assert title.startswith("ovp-decoder on ice40-hx8k: estimate of Yosys 0.70 / nextpnr-ice40 ")
    assert columns.split() == ["pairs", "normal", "LUT4", "FF", "DSP", "Fmax", "MHz"]
    assert [row.split()[:2] for row in rows] == [["1", "int4"], ["2", "int4"]]
    assert wrote == f"wrote {Path('new/a.png')}"
    told = json.loads((tmp_path / "a.json").read_text())
    assert (told["target"], told["swept"], told["met"]) == ("ice40-hx8k", ["pairs", "normal"], True)
    assert [point["parameters"]["pairs"] for point in told["points"]] == [1, 2]
    assert all(point["parameters"]["bias"] == 3 for point in told["points"])
    first = (tmp_path / "new" / "a.png").read_bytes()
    # From the cache, and with a frequency that no point reaches.
    output, _ = synth(*request[:-1], "5000", "--plot", "b.png", cwd=tmp_path, status=1)
    assert (tmp_path / "b.png").read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.png", "new"]


@pytest.mark.parametrize(
    "request_, message",
    [
        (["pairs=1,2"], "argument 'pairs=1,2' needs --sweep"),
        (["--target", "ice40-hx8k", "--plot", "a.png"], "--plot needs --sweep"),
        (["--target", "ice40-hx8k", "--jobs", "2"], "--jobs needs --sweep"),
        (["--sweep"], "a sweep needs what to sweep, as NAME=V1,V2,…"),
        (["--sweep", "pairs=1,40"], "pairs=40: pairs must be 1 to 32, not 40"),
        (["--sweep", "pairs=1", "--plot", "a.gif"], "a plot must end in .png, .svg, .pdf, not 'a.gif'"),
        (["--sweep", "pairs=1", "--plot", "/dev/null/a.png"], "/dev/null"),
        (["--sweep", "pairs=1", "--jobs", "0"], "0 is not in the range x>=1"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_request_is_one_line_and_leaves_nothing(request_, message, tmp_path):
    output, error = synth(*request_, cwd=tmp_path, status=2)
    assert output == ""
    (line,) = error.splitlines()
    assert line.startswith("bitloom: ") and message in line
    assert [*tmp_path.iterdir()] == []


def processes_with(text):
    """Identifiers of the processes that have a text in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def is_tool(process):
    try:
        return b"run.ys" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_end_in_the_middle_ends_every_tool_and_leaves_no_picture(number, tmp_path):
    cache, work = tmp_path / "cache", tmp_path / "work"
    work.mkdir()
    words = ["synth", "ovp-encoder", "--sweep", "pairs=1,2,3,4", "--jobs", "2", "--plot", "a.png"]
    # In a session of its own, so that Ctrl-C reaches the workers too, as on a terminal.
    process = subprocess.Popen(
        [sys.executable, "-m", "bitloom", *words],
        cwd=work,
        env={**os.environ, "BITLOOM_CACHE": str(cache)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while sum(map(is_tool, processes_with(str(cache)))) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sum(map(is_tool, processes_with(str(cache)))) >= 2, "no two tools were ever started"
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.kill()
    _, error = process.communicate(timeout=30)
    if number == signal.SIGINT:
        assert (process.returncode, error.split("\n")[-2]) == (130, "bitloom: interrupted")
        assert "Traceback" not in error
    deadline = time.monotonic() + 20
    while processes_with(str(cache)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_with(str(cache)) == []
    assert [*work.iterdir()] == []
