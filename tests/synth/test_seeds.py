"""Several seeds of place and route: median, best, and what is refused."""

import json
import sys

import pytest

from bitloom.cli import program as cli
from bitloom.cores.catalogue import lookup
from bitloom.synth import flow, seeds
from bitloom.synth.report import Report

CLOCKS = {1: 150.0, 2: 171.25, 3: 142.5, 4: 171.25}
CORE = lookup("ovp-decoder")


@pytest.fixture
def calls(monkeypatch):
    """No tool runs: the clock is that of the table, and the other seeds are measured one after the other here."""
    made = []

    def synthesize(design, part=None, liberty=None, freq=None, seed=1, progress=None):
        flow.check_request(part, liberty, freq, seed)
        made.append((design.name, part, seed))
        return Report(
            design=design.name,
            target=part,
            part=part,
            uses=(),
            fmax_mhz=CLOCKS[seed],
            freq_mhz=freq,
            path=None,
            area=None,
            cells={},
            tools={},
            seed=seed,
            notes=(),
        )

    monkeypatch.setattr(seeds, "synthesize", synthesize)
    monkeypatch.setattr(
        seeds.workers, "results", lambda function, calls, jobs=None: [function(*call) for call in calls.values()]
    )
    return made


def test_median_and_best(calls):
    steps = []
    tried = seeds.run(CORE, CORE.config(), "ecp5-85k", 4, progress=steps.append)
    assert calls == [("ovp-decoder", "ecp5-85k", seed) for seed in (1, 2, 3, 4)]
    # Of two equal ones the first.
    assert (tried.best.seed, tried.best.fmax_mhz, tried.median_mhz) == (2, 171.25, 160.625)
    assert tried.wording == "seeds 1 to 4: median 160.6 MHz, best 171.2 MHz (seed 2), which is shown"
    told = tried.to_dict()
    assert (told["seed"], told["fmax_mhz"], told["median_mhz"]) == (2, 171.25, 160.625)
    assert told["seeds"] == {"1": 150.0, "2": 171.25, "3": 142.5, "4": 171.25}
    assert steps == ["place and route on ecp5-85k of 3 more seeds"]


def test_one_seed_needs_no_worker(calls, monkeypatch):
    monkeypatch.setattr(seeds.workers, "results", lambda *given: pytest.fail("a worker was asked"))
    tried = seeds.run(CORE, CORE.config(), "ecp5-85k", 1)
    assert (tried.best.seed, tried.median_mhz) == (1, 150.0)


@pytest.fixture
def bitloom(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.signal, "signal", lambda number, handler: None)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["bitloom", "synth", "ovp-decoder", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return ended.value.code, *capsys.readouterr()

    return run


def test_the_command_shows_the_best_and_exits_1_if_that_is_too_slow(calls, bitloom, tmp_path):
    status, output, _ = bitloom("--target", "ecp5-85k", "--seeds", "3", "--freq", "160", "--json", "s.json")
    assert status == 0 and "best 171.2 MHz (seed 2), which is shown" in output.splitlines()[-1]
    assert json.loads((tmp_path / "s.json").read_text())["seeds"] == {"1": 150.0, "2": 171.25, "3": 142.5}
    assert bitloom("--target", "ecp5-85k", "--seeds", "3", "--freq", "172")[0] == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--target", "ecp5-85k", "--seeds", "0"], "Invalid value for '--seeds'"),
        (["--target", "ecp5-85k", "--seeds", "2", "--seed", "1"], "--seeds does not go with --seed"),
        (["--seeds", "2", "--sweep", "pairs=1,2"], "--seeds does not go with --sweep"),
        (["--seeds", "2"], "give either a target or a Liberty file"),
        (["--target", "nothing", "--seeds", "2"], "unknown target 'nothing': there are "),
        (["--target", "ecp5-85k", "--jobs", "2"], "--jobs needs --sweep or --seeds"),
    ],
)
def test_a_wrong_request_is_one_line(words, message, calls, bitloom):
    status, output, told = bitloom(*words)
    assert (status, output, told.count("\n"), calls) == (2, "", 1, []) and message in told
