"""A comparison that is interrupted: one line, nothing half-written, and the next one goes on with what is done."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import toy_encoder
from command_line import bitloom, complaint

from bitloom.compare import cost
from bitloom.tools import running, workers

# A row that a worker is at as long as a file is there; the process that starts them all only asks for its size.
SLOW = """
import multiprocessing, pathlib, time
from bitloom.golden.workloads.comparison.integers import IntegerScheme
from bitloom.golden.workloads.comparison.rows import Row

def slow():
    while multiprocessing.parent_process() and pathlib.Path("held").exists():
        pathlib.Path("started").touch()
        time.sleep(0.05)
    return IntegerScheme("int4")

ROWS = [Row("slow", "integers on a tiny tile", slow, {"rows": 1, "cols": 2})]
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with a model and a row that takes its time, and a cache of its own."""
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "work"
    folder.mkdir()
    toy_encoder.write(folder / "toy")
    (folder / "slow.py").write_text(SLOW)
    (folder / "held").touch()
    return folder


def entries(work):
    """What is kept of rows, and what lies beside it."""
    return sorted((work.parent / "cache" / "compare").glob("*"))


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.long)])
def test_it_goes_on_with_the_rows_that_are_done(number, work):
    words = ["compare", "toy", "--rows", "int8,slow", "--inputs", "1", "--more", "slow.py", "-o", "report"]
    # In a session of its own, so that Ctrl-C reaches the workers too, as on a terminal.
    process = subprocess.Popen(
        [sys.executable, "-m", "bitloom", *words, "--jobs", "1", "--json", "rows.json"],
        cwd=work,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not (work / "started").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (work / "started").exists(), "the second row was never begun"
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.kill()
    _, error = process.communicate(timeout=60)
    if number == signal.SIGINT:
        assert process.returncode == 130 and error.splitlines()[-1] == "bitloom: interrupted", error
        assert "Traceback" not in error
    assert {path.name for path in work.iterdir()} == {"toy", "slow.py", "held", "started"}
    (kept,) = entries(work)
    assert kept.suffix == ".json"
    # The first row is taken from there, which a mark shows, and the second one is measured.
    kept.write_text(json.dumps(json.loads(kept.read_text()) | {"cycles": 7}))
    (work / "held").unlink()
    bitloom(*words, "--json", "rows.json", cwd=work)
    records = json.loads((work / "rows.json").read_text())["rows"]
    assert [record["row"] for record in records] == ["int8", "slow"]
    assert records[0]["cycles"] == 7 and records[1]["cycles"] > 7
    assert len(entries(work)) == 2 and (work / "report" / "index.html").is_file()


def test_where_all_is_kept_nothing_is_started(work, monkeypatch):
    words = "compare", "toy", "--rows", "int8,mxfp4", "--inputs", "1"
    first, _ = bitloom(*words, cwd=work)

    def refuse(function, calls, jobs=None, **options):
        raise ValueError(f"{', '.join(calls)} would be measured")

    monkeypatch.setattr(workers, "results", refuse)
    assert bitloom(*words, cwd=work)[0] == first
    said = complaint(*words[:3], "int8,int4", *words[4:], cwd=work)
    assert said == "bitloom: int4 would be measured"


def test_another_model_than_is_meant_is_refused(work):
    from bitloom.compare.measure import measure

    with pytest.raises(ValueError, match="inputs are other ones than where the comparison was started"):
        measure(str(work / "toy"), "int8", 1, fingerprint="of another one")


@pytest.mark.long
def test_costs_are_kept(work, monkeypatch):
    (work / "held").unlink()
    monkeypatch.chdir(work)
    first = cost.fpga("slow", "ice40-up5k", "slow.py")
    assert first["fmax_mhz"] > 0
    run = running.run

    def refuse(command, *arguments, **options):
        raise AssertionError(f"{command} ran again")

    monkeypatch.setattr(running, "run", refuse)
    assert cost.fpga("slow", "ice40-up5k", "slow.py") == first
    monkeypatch.setattr(running, "run", run)
