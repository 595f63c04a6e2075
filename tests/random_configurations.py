"""Configurations drawn at random over every core: generated, linted in both interfaces, simulated.

    python tests/random_configurations.py --count 500 --jobs 2

Run so, it prints what failed and the command that repeats it; exit status 1 where anything did. The tests run a few.
"""

import argparse
import os
import secrets
import shlex
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

import linters
import numpy as np

from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.cores.generate import INTERFACES, generate
from bitloom.testbench import verilator
from bitloom.testbench.configurations import MOST_SIGNAL_BITS, draw
from bitloom.testbench.runner import simulate
from bitloom.tools import finding
from bitloom.tools.flows import FLOWS

VECTORS = 20

#: What a configuration is put through: each interface is linted, and the core is simulated.
STEPS = (*INTERFACES, "sim")

_TIMEOUT = 300  # seconds for one simulation; the longest take a tenth


@dataclass(frozen=True)
class Failure:
    """What went wrong with a configuration: at which step, what was said, and the command that repeats it."""

    step: str
    message: str
    command: str


def lint(core, config, interface):
    """Failures of the three tools on a configuration's Verilog in one interface."""
    command = [*_words("generate", core, config), "--interface", interface, "-o", "design.v"]
    try:
        design = generate(core, config, interface)
    except Exception as error:
        return [Failure("generate", repr(error), shlex.join(command))]
    # What Yosys reads first where a design names primitives.
    library = "" if config.family.portable else FLOWS[config.family.name].library
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "design.v"
        file.write_text(design.verilog)
        said = {"yosys": linters.yosys(file, design.top, library=library)}
        # The simulators have no library of a family's primitives.
        if config.family.portable:
            said["verilator"] = linters.verilator(file, "-Wall")
            if _has_icarus():
                said["icarus"] = linters.icarus(file)
    return [
        Failure(f"{tool}, {interface}", " / ".join(lines)[:300] or f"status {status}", shlex.join(command))
        for tool, (status, lines) in said.items()
        if status or lines
    ]


def run(core, config, seed, vectors=VECTORS):
    """Failures of a configuration against its golden model, in Verilator."""
    config = config.portable()
    command = [*_words("sim", core, config), "--vectors", str(vectors), "--seed", str(seed)]
    program = None
    try:
        design = generate(core, config)
        # A text of its own, so that the program is nobody else's and can be removed.
        design = replace(design, verilog=f"{design.verilog}// drawn in process {os.getpid()}\n")
        program = verilator.build(design)
        result = simulate(core, config, vectors=vectors, seed=seed, design=design, timeout=_TIMEOUT)
        message = None if result.passed else result.summary().partition("\n")[2].replace("\n", " / ")
        if message is None and result.latency is None:
            message = "the bench measured nothing"
    except Exception as error:
        message = repr(error)
    if program is not None:
        program.unlink(missing_ok=True)
    return [] if message is None else [Failure("sim", message[:500], shlex.join(command))]


def drawn(name, seed, most=MOST_SIGNAL_BITS):
    """The configuration, of at most so many bits of signals, and the simulation's seed that a core and a seed give."""
    rng = np.random.default_rng(seed)
    config = draw(lookup(name), rng, most)
    return config, int(rng.integers(1 << 31))


def check(core, config, seed, steps=STEPS):
    """What failed of a configuration's `steps`; the seed is that of its simulation."""
    failures = []
    for step in steps:
        failures += run(core, config, seed) if step == "sim" else lint(core, config, step)
    return failures


def _draw_and_check(name, seed):
    config, run_seed = drawn(name, seed)
    return config, check(lookup(name), config, run_seed)


def _words(command, core, config):
    return ["bitloom", command, core.name, *(word for text in config.assignments() for word in ("-p", text))]


def _has_icarus():
    try:
        return finding.find("iverilog")
    except finding.ToolMissing:
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=len(CATALOGUE), help="configurations over all cores; one each")
    parser.add_argument("--jobs", type=int, default=2, help="at a time; 2")
    parser.add_argument("--seed", type=int, default=secrets.randbits(31), help="repeats a run; drawn")
    parser.add_argument("--core", action="append", choices=CATALOGUE, help="of this core only; may be repeated")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    names, started, failed, done = options.core or list(CATALOGUE), time.time(), Counter(), Counter()
    with ProcessPoolExecutor(options.jobs) as pool:
        tasks = {}
        for number in range(options.count):
            name = names[number % len(names)]
            tasks[pool.submit(_draw_and_check, name, [options.seed, number])] = name
        for task in as_completed(tasks):
            name, (config, failures) = tasks[task], task.result()
            done[name] += 1
            failed[name] += bool(failures)
            for failure in failures:
                print(f"FAILED {name} {' '.join(config.assignments())}\n  {failure.step}: {failure.message}")
                print(f"  {failure.command}", flush=True)
            if sum(done.values()) % 20 == 0:
                print(f"{sum(done.values())} of {options.count}, {time.time() - started:.0f} s", flush=True)
    for name in names:
        print(f"{name:<20}{done[name]:>5} drawn{failed[name]:>5} failed")
    print(f"{sum(done.values())} configurations, {sum(failed.values())} failed, {time.time() - started:.0f} s")
    return bool(sum(failed.values()))


if __name__ == "__main__":
    sys.exit(main())
