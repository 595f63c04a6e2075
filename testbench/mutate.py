"""Mutation: small faults put into a core's Verilog, one at a time, to see whether its bench finds them.

Yosys chooses the faults and puts all of them into one flat design, each behind its own value of an extra input port,
so that Verilator compiles once and each mutant is a run with another value on that port; 0 is the design without a
fault. A mutant that no check finds is held against the design by a proof: either it is the same to whoever keeps to the
streams' rules, for all inputs and all times, or it has survived.
"""

import dataclasses
import itertools
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ..cores.generate import Port, generate
from ..hdl import tools
from . import formal
from .runner import simulate

__all__ = ["Mutant", "MutationResult", "mutate"]

_PORT = Port("mutant", "input", 16)

_JOBS = 2  # runs at a time
_TIMEOUT = 120  # seconds of one run, far above any; a fault may also stop the simulator from ever settling
_STEP_TIMEOUT, _PROOF_TIMEOUT = 30, 120  # seconds

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
        The check that found it, or why it is not proved equivalent.
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

    def run(number):
        ports = {_PORT.name: number}
        return simulate(core, config, seed=seed, design=instrumented, ports=ports, first=True, timeout=_TIMEOUT)

    def judge(numbered):
        number, command = numbered
        mutant = _describe(number, command, design.verilog.splitlines())
        result = run(number)
        if result.passed:
            verdict, why = _prove(design, command)
        else:
            verdict, why = "killed", result.failure or "{what} in phase {phase!r}".format(**result.mismatches[0])
        return dataclasses.replace(mutant, verdict=verdict, why=why)

    # It also compiles what the runs share.
    sound = run(0)
    if not sound.passed:
        said = " ".join(sound.summary().split())
        raise tools.ToolFailed(f"{core.name}: its bench does not pass without a fault: {said}")
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


def _flat(design):
    """Yosys commands that every script here begins with; they leave the same cells with the same names each time."""
    return ["read_verilog design.v", f"hierarchy -top {design.top}", "proc", "flatten", "opt_clean"]


def _yosys(design, script, result):
    """Text of the file `result` that a script makes from a design, without the line that names the version of Yosys."""
    return re.sub(r"/\* Generated by .*?\*/\n", "", _run_yosys({"design.v": design.verilog}, script, result))


def _run_yosys(files, script, result="script.ys"):
    """Text of the file `result` after a script that reads `files`, texts by name."""
    with tempfile.TemporaryDirectory(dir=tools.cache_dir("mutate")) as folder:
        work = Path(folder)
        for name, text in {**files, "script.ys": "\n".join(script) + "\n"}.items():
            (work / name).write_text(text)
        tools.run([*tools.find("yosys").command, "-q", "script.ys"], work)
        return (work / result).read_text()


def _faults(design, count, seed):
    """Yosys commands, each of which makes one mutant."""
    # Clocks are left out: a register on the other edge, half a cycle early, is the same to every synchronous check.
    more = count + count // 2 + 20
    script = [*_flat(design), f"mutate -list {more} -seed {seed} -o mutants.txt"]
    commands = _yosys(design, script, "mutants.txt").splitlines()
    # So are the first contents of memories, which Verilog has as constants only.
    left_out = (" -port CLK ", "$meminit$")
    return [command for command in commands if command and not any(word in command for word in left_out)][:count]


def _instrumented(design, commands):
    """The flat design with all the mutants in it; the port `mutant` chooses one, from 1, or none."""
    script = _flat(design)
    for number, command in enumerate(commands, 1):
        script.append(command.replace("mutate ", f"mutate -ctrl {_PORT.name} {_PORT.width} {number} ", 1))
    verilog = _yosys(design, [*script, "write_verilog -noattr mutated.v"], "mutated.v")
    return dataclasses.replace(design, verilog=verilog, ports=(*design.ports, _PORT))


def _describe(number, command, lines):
    """A mutant from the Yosys command that makes it."""
    words = command.split()
    # Of several places in the source the last one is the cell's own.
    options = {word[1:]: value for word, value in itertools.pairwise(words) if word.startswith("-")}
    cell = options["cell"].removeprefix("$flatten\\")
    drives = options["port"] in ("Y", "Q") and "wire" in options
    wire = f", which drives {options['wire']}[{options['wirebit']}]," if drives else ""
    effect = _MODES[options["mode"]].format(ctrlbit=options.get("ctrlbit"))
    fault = f"bit {options['portbit']} of port {options['port']} of cell {cell}{wire} {effect}"
    place = re.match(r"design\.v:(\d+)", options.get("src", ""))
    return Mutant(number, fault, lines[int(place[1]) - 1].strip() if place else "")


def _alike_in_each_step(design, command):
    """Whether a mutant has the same outputs and the same next state in every state, reachable or not: seconds.

    It has where the faulty bit is not used, or says what others say too. Most of such a miter is the same twice, and is
    merged before anything is searched.
    """
    # No registers: what they hold is an input, what they take an output; none is left that anything reads.
    combinational = ["memory_map", "async2sync", "dffunmap", "expose -dff -evert-dff", "opt_clean"]
    combinational += ["select -assert-none t:$*ff*"]
    try:
        texts = {
            f"{name}.il": _yosys(
                design,
                [*_flat(design), *fault, *combinational, f"rename {design.top} {name}", "write_rtlil one.il"],
                "one.il",
            )
            for name, fault in (("sound", []), ("faulty", [command]))
        }
        script = [*(f"read_rtlil {name}" for name in texts), "miter -equiv -flatten -make_assert sound faulty step"]
        script += ["hierarchy -top step", "opt -full", f"sat -verify -prove-asserts -timeout {_STEP_TIMEOUT} step"]
        _run_yosys(texts, script)
    except tools.ToolFailed:
        return False
    return True


def _prove(design, command):
    """Verdict on a mutant that the bench did not find, and why it is not proved equivalent."""
    if _alike_in_each_step(design, command):
        return "equivalent", ""
    texts = []
    for name, fault in (("sound", []), ("faulty", [command])):
        # What nothing sets at power-on, memories above all, starts at 0 in both: else their contents are free in each,
        # and what is read differs until it has been written, which no engine finds out soon. The reset is free in every
        # cycle and leaves them as they are, so that any other contents come up too.
        start = ["memory_map", "setundef -init -zero"]
        script = [*_flat(design), *fault, *start, f"rename {design.top} {name}", "write_verilog -noattr one.v"]
        texts.append(_yosys(design, script, "one.v"))
    try:
        formal.prove("\n".join([_miter(design), *texts]), f"{design.top}-mutant", timeout=_PROOF_TIMEOUT)
    except (formal.ProofFailed, tools.ToolFailed) as error:
        return "survived", str(error)
    return "equivalent", ""


def _miter(design):
    """Verilog with the modules `sound` and `faulty` side by side, and what must be the same.

    A payload counts while its valid is high. The producer of an input stream keeps its promises.
    """
    names = {port.name for port in design.ports}
    inputs, outputs = ([p for p in design.ports if p.direction == way] for way in ("input", "output"))
    lines = ["module spec(" + ", ".join(f"input [{p.width - 1}:0] {p.name}" for p in inputs) + ");"]
    for copy in ("sound", "faulty"):
        lines += [f"wire [{p.width - 1}:0] {copy}_{p.name};" for p in outputs]
        ports = [f".{p.name}({p.name})" for p in inputs] + [f".{p.name}({copy}_{p.name})" for p in outputs]
        lines.append(f"{copy} {copy}_copy({', '.join(ports)});")
    for port in design.ports:
        stream, _, part = port.name.partition("__")
        if part == "payload" and port.direction == "input":
            lines += [
                f"reg {stream}_stalled = 0; reg [{port.width - 1}:0] {stream}_before;",
                f"always @(posedge {design.clock}) begin",
                f"{stream}_stalled <= {stream}__valid & ~sound_{stream}__ready; {stream}_before <= {port.name};",
                "end",
                f"always @* if ({stream}_stalled) assume ({stream}__valid && {port.name} == {stream}_before);",
            ]
        if port.direction == "output":
            guarded = part == "payload" and f"{stream}__valid" in names
            guard = f"if (sound_{stream}__valid) " if guarded else ""
            lines.append(f"always @* {guard}assert (sound_{port.name} == faulty_{port.name});")
    return "\n".join([*lines, "endmodule"])
