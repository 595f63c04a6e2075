"""Mutation: small faults put into a core's Verilog, one at a time, to see whether its bench finds them.

Yosys chooses the faults and puts all of them into one flat design, each behind its own value of an extra input port,
so that Verilator compiles once and each mutant is a run with another value on that port; 0 is the design without a
fault. A mutant that no check finds is held against the design by a proof: either it is the same to whoever keeps to the
streams' rules, for all inputs and all times, or it has survived.
"""

import dataclasses
import itertools
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ..cores.generate import Port, generate
from ..tools import running
from .mutant_proof import flat, prove, run_yosys
from .runner import simulate

__all__ = ["Mutant", "MutationResult", "mutate"]

_PORT = Port("mutant", "input", 16)

_JOBS = 2  # runs at a time
#: A run may take so many times as long as one without a fault; a fault may also stop the simulator from ever settling.
_SLOWER = 20

#: What a mode of Yosys' `mutate` does with a bit.
_MODES = {
    "inv": "is inverted",
    "const0": "is stuck at 0",
    "const1": "is stuck at 1",
    "cnot0": "is inverted while bit {ctrlbit} is 0",
    "cnot1": "is inverted while bit {ctrlbit} is 1",
}


@dataclass(frozen=True)
class Mutant:
    """One fault and its fate.

    Attributes
    ----------
    number : int
        From 1.
    fault : str
        What is wrong in it.
    line : str
        The line of the generated Verilog that the faulty cell comes from.
    verdict : str
        "killed" by the bench, "equivalent" by proof, or "survived".
    why : str
        The check that found it, the proof that it is equivalent, or why there is none.
    """

    number: int
    fault: str
    line: str
    verdict: str = ""
    why: str = ""


@dataclass(frozen=True)
class MutationResult:
    """The fate of every mutant of a core.

    Attributes
    ----------
    core : str
        Name of the core.
    parameters : dict
        Of its configuration.
    seed : int
        Chose the mutants, and the vectors and stalls of the bench.
    mutants : list of Mutant
        All of them.
    """

    core: str
    parameters: dict
    seed: int
    mutants: list

    def of(self, verdict):
        """The mutants with that verdict."""
        return [mutant for mutant in self.mutants if mutant.verdict == verdict]

    @property
    def score(self):
        """Killed mutants among those that differ from the core; 1 if none does."""
        different = len(self.mutants) - len(self.of("equivalent"))
        return len(self.of("killed")) / different if different else 1.0

    def summary(self):
        """A few lines for people."""
        counts = ", ".join(f"{len(self.of(verdict))} {verdict}" for verdict in ("killed", "equivalent", "survived"))
        lines = [f"{self.core}: {len(self.mutants)} mutants, {counts}: score {self.score:.1%}, seed {self.seed}"]
        for verdict in ("equivalent", "survived"):
            for mutant in self.of(verdict):
                lines += [f"{verdict}: mutant {mutant.number}, {mutant.fault}", f"  {mutant.line}"]
                lines += [f"  {mutant.why}"] if mutant.why else []
        return "\n".join(lines)

    def to_dict(self):
        """What goes into a JSON file."""
        return dataclasses.asdict(self) | {"score": self.score}


def mutate(core, config, count=60, seed=1, progress=None):
    """Count how many small faults in a core its bench finds.

    Parameters
    ----------
    core : Core
        Entry of the catalogue.
    config : Config
        Of the type `core.config`.
    count : int
        Number of mutants, 1 to 65,535; fewer where the design has no more places.
    seed : int
        Chooses the mutants, evenly over the design, and the vectors and stalls of the bench; 0 to 2**31 - 1.
    progress : callable, optional
        Called with (done, total) mutants.

    Returns
    -------
    MutationResult

    Raises
    ------
    ValueError
        For a count or seed out of range.
    ToolMissing, ToolFailed
        If a tool failed, or the bench does not pass on the design without a fault.
    """
    limit = (1 << _PORT.width) - 1
    if not 1 <= count <= limit:
        raise ValueError(f"count must be 1 to {limit}, not {count}")
    if not 0 <= seed < 1 << 31:
        raise ValueError(f"seed must be 0 to {(1 << 31) - 1}, not {seed}")
    design = generate(core, config)
    commands = _faults(design, count, seed)
    instrumented = _instrumented(design, commands)

    def run(number, **limit):
        ports = {_PORT.name: number}
        return simulate(core, config, seed=seed, design=instrumented, ports=ports, first=True, **limit)

    def judge(numbered):
        number, command = numbered
        mutant = _describe(number, command, design.verilog.splitlines())
        result = run(number, timeout=limit)
        if result.passed:
            same, why = prove(design, command, f"{design.top}-mutant-{number}")
            verdict = "equivalent" if same else "survived"
        else:
            verdict, why = "killed", result.failure or "{what} in phase {phase!r}".format(**result.mismatches[0])
        return dataclasses.replace(mutant, verdict=verdict, why=why)

    # It also compiles what the runs share.
    begun = time.monotonic()
    sound = run(0)
    limit = _SLOWER * (time.monotonic() - begun)
    if not sound.passed:
        said = " ".join(sound.summary().split())
        raise running.ToolFailed(f"{core.name}: its bench does not pass without a fault: {said}")
    judged = []
    with ThreadPoolExecutor(_JOBS) as pool:
        try:
            for mutant in pool.map(judge, enumerate(commands, 1)):
                judged.append(mutant)
                if progress:
                    progress(len(judged), len(commands))
        except BaseException:
            # Ctrl-C: the two runs under way end by themselves, no other one starts.
            pool.shutdown(cancel_futures=True)
            raise
    return MutationResult(core.name, config.to_dict(), seed, judged)


def _faults(design, count, seed):
    """Yosys commands, each of which makes one mutant."""
    # Clocks are left out: a register on the other edge, half a cycle early, is the same to every synchronous check.
    more = count + count // 2 + 20
    script = [*flat(design.top), f"mutate -list {more} -seed {seed} -o mutants.txt"]
    (listed,) = run_yosys({"design.v": design.verilog}, script, "mutants.txt")
    # So are the first contents of memories, which Verilog has as constants only.
    left_out = (" -port CLK ", "$meminit$")
    commands = filter(None, listed.splitlines())
    return [command for command in commands if not any(word in command for word in left_out)][:count]


def _instrumented(design, commands):
    """The flat design with all the mutants in it; the port `mutant` chooses one, from 1, or none."""
    script = flat(design.top)
    for number, command in enumerate(commands, 1):
        script.append(command.replace("mutate ", f"mutate -ctrl {_PORT.name} {_PORT.width} {number} ", 1))
    script.append("write_verilog -noattr mutated.v")
    (verilog,) = run_yosys({"design.v": design.verilog}, script, "mutated.v")
    # Verilator makes assertions of these comments, which fail while a cycle's values are not there yet.
    verilog = re.sub(r" // \w+ parallel_case$", "", verilog, flags=re.MULTILINE)
    return dataclasses.replace(design, verilog=verilog, ports=(*design.ports, _PORT))


def _describe(number, command, lines):
    """A mutant from the Yosys command that makes it."""
    words = command.split()
    # If a cell has several places in the source, the last one is its own.
    options = {word[1:]: value for word, value in itertools.pairwise(words) if word.startswith("-")}
    cell = options["cell"].removeprefix("$flatten\\")
    drives = options["port"] in ("Y", "Q") and "wire" in options
    wire = f", which drives {options['wire']}[{options['wirebit']}]," if drives else ""
    effect = _MODES[options["mode"]].format(ctrlbit=options.get("ctrlbit"))
    fault = f"bit {options['portbit']} of port {options['port']} of cell {cell}{wire} {effect}"
    place = re.match(r"design\.v:(\d+)", options.get("src", ""))
    return Mutant(number, fault, lines[int(place[1]) - 1].strip() if place else "")
