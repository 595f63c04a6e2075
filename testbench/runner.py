"""Simulate a core: generate, compile, run its bench in a process of its own, read what it found."""

import contextlib
import json
import os
import secrets
import sys
import tempfile
import textwrap
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..cores.generate import generate
from ..golden import strict_json
from ..golden.checks import integer
from ..tools import finding, running
from ..tools.environment import environment
from ..tools.files import atomic_write, check_writable, replacing
from . import verilator
from .progress_file import watched

__all__ = ["DEFAULT_VECTORS", "PERIOD", "REQUEST", "Result", "simulate"]

#: Random vectors of a run that does not say how many.
DEFAULT_VECTORS = 10_000

#: Nanoseconds of one clock cycle.
PERIOD = 10

#: Environment variable that carries the request to the bench's process.
REQUEST = "BITLOOM_BENCH"

_TIMEOUT = 3600  # seconds; the bench itself gives up much earlier when nothing moves


@dataclass(frozen=True)
class Result:
    """What a run found.

    Attributes
    ----------
    core : str
        Name of the core.
    parameters : dict
        Of its configuration.
    passed : bool
        Whether every check of a complete run held.
    failure : str or None
        One line: why the run was not complete, where that is so.
    seed : int
        Repeats the run.
    vectors : int
        Random vectors compared.
    transfers : int
        Output transfers compared, directed ones included.
    cycles : int
        Simulated cycles.
    latency : int or None
        Cycles from an input transfer to its output's valid, without stalls, as measured.
    interval : int or None
        Cycles per transfer, without stalls, as measured.
    coverage : dict of str to (int, int)
        For each kind of case that the bench must reach: how many it reached, and how many there are.
    figures : dict of str to str
        What else the bench measured.
    mismatches : list of dict
        `cycle`, `time_ns`, `phase`, `item` (its number in the phase), `what` (port or property), `input`, `expected`,
        `got`, and `differs`: the fields of a payload in which those two differ.
    seconds : float
        Of the simulation, without generation, compilation and start.
    waves : str or None
        The waveform file.
    log : str
        What the simulator and the bench printed.
    """

    core: str
    parameters: dict[str, Any]
    passed: bool
    failure: str | None
    seed: int
    vectors: int = 0
    transfers: int = 0
    cycles: int = 0
    latency: int | None = None
    interval: int | None = None
    coverage: dict[str, tuple[int, int]] = field(default_factory=dict)
    figures: dict[str, str] = field(default_factory=dict)
    mismatches: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    waves: str | None = None
    log: str = field(default="", repr=False)

    def summary(self) -> str:
        """A few lines for people."""
        verdict = "passed" if self.passed else "FAILED"
        lines = [
            f"{self.core}: {verdict}, seed {self.seed}",
            f"{self.transfers:,} transfers compared ({self.vectors:,} random vectors) in {self.cycles:,} cycles",
        ]
        if self.latency is not None:
            # A single transfer has no interval.
            interval = "" if self.interval is None else f", {_cycles(self.interval)} per transfer"
            lines.append(f"latency {_cycles(self.latency)}{interval}")
        if self.coverage:
            lines.append("covered: " + ", ".join(f"{a:,} of {b:,} {name}" for name, (a, b) in self.coverage.items()))
        lines += [f"{name} {value}" for name, value in self.figures.items()]
        if self.waves:
            lines.append(f"waves: {self.waves}")
        if self.failure:
            lines.append(self.failure)
        if self.mismatches:
            first = self.mismatches[0]
            lines.append(
                f"{len(self.mismatches):,} mismatches, the first in cycle {first['cycle']} at {first['time_ns']} ns "
                f"(phase {first['phase']!r}, item {first['item']}): {first['what']}"
            )
            lines += [f"  {name:<10}{text}" for name, text in _first(first)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """What goes into a JSON file: everything but the log."""
        fields = asdict(self)
        del fields["log"]
        return fields

    def write_mismatches(self, path: str | os.PathLike[str]) -> None:
        """Write every mismatch, and what repeats the run, as JSON.

        Parameters
        ----------
        path : path-like
            File; missing folders are made.
        """
        keys = ("core", "parameters", "seed", "failure")
        report = {key: getattr(self, key) for key in keys} | {"mismatches": self.mismatches}
        atomic_write(path, strict_json.dumps(report, indent=2) + "\n")


def simulate(
    core,
    config,
    *,
    vectors=None,
    codes=None,
    seed=None,
    waves=None,
    design=None,
    ports=None,
    first=False,
    timeout=_TIMEOUT,
    progress=None,
):
    """Run a core's bench on its Verilog.

    Parameters
    ----------
    core : Core
        Entry of the catalogue.
    config : Config
        Of the type `core.config`.
    vectors : int, optional
        Random vectors, 1 or more, beside the directed and exhaustive ones of the bench; 10,000 by default.
    codes : ndarray of uint8, optional
        Run these, and nothing else, through a core that takes packed codes: one row of bytes a transfer.
    seed : int, optional
        0 or more; decides vectors and stalls. Drawn by default.
    waves : path-like, optional
        Write a waveform to exactly this file; it ends in .vcd or .fst. Missing folders are made.
    design : Design, optional
        Simulate this in place of what `generate` gives, with the same streams.
    ports : dict of str to int, optional
        Constant values of input ports that the bench does not know.
    first : bool
        Stop at the first mismatch.
    timeout : float
        Seconds for the simulation.
    progress : callable, optional
        Called with (done, total) transfers while the simulation runs, from another thread.

    Returns
    -------
    Result
        Not passed if anything differs from the golden model, or if the bench broke off, hung, or compared nothing.

    Raises
    ------
    ValueError
        For a number of vectors, a seed or a name of a waveform file that is not allowed.
    ToolMissing, ToolFailed
        If the program could not be built.
    """
    vectors = None if vectors is None else integer("vectors", vectors, 1, None)
    seed = None if seed is None else integer("seed", seed, 0, None)
    if waves is not None:
        waves = Path(waves)
        if waves.suffix not in verilator.TRACES:
            raise ValueError(f"waves must be a file that ends in {' or '.join(verilator.TRACES)}, not {str(waves)!r}")
        if waves.is_dir():
            raise ValueError(f"waves must be a file, {str(waves)!r} is a folder")
        check_writable(waves)
    seed = secrets.randbits(32) if seed is None else seed
    design = design or generate(core, config)
    program = verilator.build(design, waves.suffix if waves else None)
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bitloom-sim-")))
        # The seed also decides values that the Verilog leaves unknown; Verilator wants one above 0, of 31 bits.
        command = [str(program), "+verilator+rand+reset+2", f"+verilator+seed+{seed % ((1 << 31) - 1) + 1}"]
        if waves:
            trace = stack.enter_context(replacing(waves))
            command += ["--trace", "--trace-file", str(trace)]
        if codes is not None:
            np.save(work / "codes.npy", codes)
        request = {
            "core": core.name,
            "parameters": config.to_dict(),
            "vectors": 0 if codes is not None else DEFAULT_VECTORS if vectors is None else vectors,
            "codes": None if codes is None else str(work / "codes.npy"),
            "seed": seed,
            "ports": ports or {},
            "first": first,
            "result": str(work / "result.json"),
            "progress": str(work / "progress") if progress else None,
        }
        if progress:
            stack.enter_context(watched(work / "progress", progress))
        report = {"failure": None}
        try:
            variables = _environment(design, request, work)
            log = running.run(command, work, timeout=timeout, env=variables, name="the simulation").stdout
        except running.ToolFailed as error:
            report, log = {"failure": str(error)}, ""
        if (work / "result.json").is_file():
            report = json.loads((work / "result.json").read_text()) | {k: v for k, v in report.items() if v}
        elif not report["failure"]:
            report["failure"] = f"the simulation ended without a result: {_last_line(log)}"
    mismatches = report.get("mismatches")
    if not (report["failure"] or mismatches or report["transfers"]):
        report["failure"] = "the bench compared nothing"
    passed = not report["failure"] and not mismatches
    return Result(
        core=core.name,
        parameters=config.to_dict(),
        passed=passed,
        seed=seed,
        waves=str(waves) if waves else None,
        log=log,
        **report,
    )


def _environment(design, request, work):
    """What cocotb must know to start Python inside the simulator."""
    import cocotb_tools.config
    import find_libpython

    libpython = find_libpython.find_libpython()
    if libpython is None:
        raise finding.ToolMissing(
            "cocotb needs Python's shared library, which this Python has not; install it with: apt install "
            "libpython3-dev, or build Python with --enable-shared"
        )
    inherited = environment()
    searched = filter(None, (str(verilator.libraries()), inherited.get("LD_LIBRARY_PATH")))
    return {
        **inherited,
        "LD_LIBRARY_PATH": os.pathsep.join(searched),
        "GPI_USERS": f"{libpython};{cocotb_tools.config.pygpi_entry_point()}",
        "PYGPI_PYTHON_BIN": sys.executable,
        "TOPLEVEL_LANG": "verilog",
        "COCOTB_TOPLEVEL": design.top,
        "COCOTB_TEST_MODULES": f"{__package__}.bench",
        "COCOTB_RANDOM_SEED": str(request["seed"]),
        "COCOTB_RESULTS_FILE": str(work / "results.xml"),
        # Rewriting every imported module's assertions, as pytest does, takes longer than the simulation.
        "COCOTB_REWRITE_ASSERTION_FILES": "",
        "COCOTB_LOG_LEVEL": "WARNING",
        "GPI_LOG_LEVEL": "WARNING",
        # Verilator's inertial writes can be trusted; cocotb's own queue of writes is slower.
        "COCOTB_TRUST_INERTIAL_WRITES": "1",
        REQUEST: strict_json.dumps(request),
    }


def _first(mismatch):
    """Lines on one mismatch: of wide payloads only the first field that differs."""
    differs = mismatch["differs"]
    if mismatch["input"] is not None:
        yield "input", textwrap.shorten(str(mismatch["input"]), 200, placeholder=" …")
    for key in ("expected", "got"):
        value = mismatch[key]
        if differs:
            name, _, index = differs[0].rstrip("]").partition("[")
            value = f"{differs[0]} = {value[name][int(index)] if index else value[name]}"
        yield key, value


def _last_line(text):
    return ([line.strip() for line in text.splitlines() if line.strip()] or ["it printed nothing"])[-1]


def _cycles(count):
    return "1 cycle" if count == 1 else f"{count} cycles"
