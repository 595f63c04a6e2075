"""Drive the streams of any generated design at the speed of its Verilated model: no Python in a cycle.

A small C++ program (`drive.cpp`) feeds every input stream from a file and writes down what the output streams give.
The program knows nothing of any core: what the payloads mean, and whether they are right, is the caller's matter.
"""

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..hdl.stream import codec
from ..tools import running
from . import verilator
from .progress_file import watched

__all__ = ["Driven", "build", "drive"]

_MAIN = Path(__file__).with_name("drive.cpp")
_PARTS = ("payload", "valid", "ready")
#: Ports of a memory that lies outside of the design, and their directions.
_MEMORY = {"address": "output", "write": "output", "write_data": "output", "read_data": "input"}


@dataclass(frozen=True)
class Driven:
    """What came out of a design.

    Cycles are counted from 0 at the first one after reset.

    Attributes
    ----------
    outputs : dict of str to ndarray of uint8, shape (N, bytes)
        Payloads of each output stream, as the `inputs` of `drive`; fewer than expected after a failure.
    failure : str or None
        One line, where the design hung, or gave more than was expected.
    cycles : int
        From the first transfer on any stream to the last one, both included; 0 without a transfer.
    transfers, first, last : dict of str to int
        For each stream: number of transfers, and the cycles of the first and last one (None without one).
    status : dict of str to int
        Output ports that belong to no stream, at the end.
    seconds : float
        Of the simulation, without compilation, start and files.
    """

    outputs: dict = field(repr=False)
    failure: str | None
    cycles: int
    transfers: dict
    first: dict
    last: dict
    status: dict
    seconds: float


def build(design):
    """Compile a design with the driver, or take the program of an earlier time.

    Parameters
    ----------
    design : Design
        With the interface `stream`.

    Returns
    -------
    Path
        The program.

    Raises
    ------
    ValueError
        If the design has no stream ports.
    ToolMissing, ToolFailed
        As from `verilator.build`.
    """
    memories = _memories(design)
    inputs, outputs, constants, statuses = _ports(design, memories)

    def listed(kind, ports):
        return "".join(f' {kind}("{name}", {name.replace("__", "___05F")}, {bits})' for name, bits in ports.items())

    header = {
        "CLOCK": design.clock,
        "RESET": design.reset,
        "RESET_ACTIVE": int(not design.reset_active_low),
        "INPUT_STREAMS": listed("STREAM", inputs),
        "OUTPUT_STREAMS": listed("STREAM", outputs),
        "CONSTANTS": listed("PORT", constants),
        "STATUSES": listed("PORT", statuses),
        "MEMORIES": "".join(
            f' MEMORY("{name}", {name.replace("__", "___05F")}, {bits}, {address})'
            for name, (bits, address) in memories.items()
        ),
    }
    return verilator.build_with(design, _MAIN, "".join(f"#define {name} {text}\n" for name, text in header.items()))


def drive(
    design,
    inputs,
    outputs,
    *,
    constants=None,
    memories=None,
    stall_in=0,
    stall_out=0,
    seed=0,
    patience=10_000,
    quiet=64,
    progress=None,
):
    """Send payloads through a design.

    Every stream goes on by itself: an input offers its next payload as soon as the one before it is taken, an output
    takes each payload that is offered, except when it stalls.

    Parameters
    ----------
    design : Design
        With the interface `stream`.
    inputs : dict of str to ndarray of uint8, shape (N, bytes)
        Payloads for every input stream, the lowest byte first; unused upper bits of the last byte are 0.
    outputs : dict of str to int
        How many payloads every output stream gives.
    constants : dict of str to int, optional
        Values of the input ports that belong to no stream; 0 by default.
    memories : dict of str to ndarray of uint8, shape (N, bytes), optional
        First words of each memory that lies outside of the design, packed as payloads; the others are 0. Such a memory
        is what a design has the ports `NAME__address`, `NAME__write`, `NAME__write_data` and `NAME__read_data` for: in
        each cycle it takes one address, and gives in the next one what was there before it was written.
    stall_in, stall_out : int
        Per cent of the cycles, 0 to 99, in which an input has nothing to offer, and an output is not ready; the
        payload of an input that stalls is junk.
    seed : int
        0 to 2**64 - 1: decides stalls, junk, and what registers hold before reset.
    patience : int
        Cycles without any transfer after which the design hangs.
    quiet : int
        Cycles to wait after the last transfer for payloads that must not come.
    progress : callable, optional
        Called with (done, total) output payloads while the simulation runs, from another thread.

    Returns
    -------
    Driven

    Raises
    ------
    ValueError
        For streams that the design has not, or not all of its streams, payloads of another size, and numbers out of
        range.
    ToolMissing, ToolFailed
        If the program could not be built or broke off.
    """
    cells = _memories(design)
    sources, sinks, ports, _ = _ports(design, cells)
    constants = dict.fromkeys(ports, 0) | (constants or {})
    memories = {name: np.zeros((0, _bytes(bits)), np.uint8) for name, (bits, _) in cells.items()} | (memories or {})
    for kind, given, known in (
        ("memories", memories, cells),
        ("input streams", inputs, sources),
        ("output streams", outputs, sinks),
        ("constant inputs", constants, ports),
    ):
        if set(given) != set(known):
            raise ValueError(f"{kind} of {design.top} are {_names(known)}, not {_names(given)}")
    for name, value in (("stall_in", stall_in), ("stall_out", stall_out)):
        if not 0 <= value <= 99:
            raise ValueError(f"{name} must be 0 to 99, not {value}")
    if not 0 <= seed < 1 << 64:
        raise ValueError(f"seed must be 0 to {(1 << 64) - 1}, not {seed}")
    for name, value in (("patience", patience), ("quiet", quiet)):
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, not {value}")
    for name, count in outputs.items():
        if count < 0:
            raise ValueError(f"number of payloads of {name} must be 0 or more, not {count}")
    files = {f"{name}.in": codec.to_rows(np.asarray(inputs[name]), bits, name) for name, bits in sources.items()}
    for name, value in constants.items():
        if not 0 <= value < 1 << ports[name]:
            raise ValueError(f"{name} must be 0 to {(1 << ports[name]) - 1}, not {value}")
        files[f"{name}.value"] = np.frombuffer(value.to_bytes(_bytes(ports[name]), "little"), np.uint8)
    for name, (bits, address) in cells.items():
        if len(memories[name]) > 1 << address:
            raise ValueError(f"{name} must have at most {1 << address} words, not {len(memories[name])}")
        files[f"{name}.memory"] = codec.to_rows(np.asarray(memories[name]), bits, name)
    program = build(design)
    with tempfile.TemporaryDirectory(prefix="bitloom-drive-") as folder:
        work = Path(folder)
        for name, content in files.items():
            content.tofile(work / name)
        request = [seed, stall_in, stall_out, patience, quiet, *(outputs[name] for name in sinks)]
        (work / "request").write_text(" ".join(map(str, request)))
        # Verilator wants a seed above 0, of 31 bits.
        command = [str(program), "+verilator+rand+reset+2", f"+verilator+seed+{seed % ((1 << 31) - 1) + 1}"]
        with watched(work / "progress", progress or (lambda done, total: None)):
            running.run(command, work, name="the simulation")
        report = json.loads((work / "report.json").read_text())
        payloads = {
            name: np.fromfile(work / f"{name}.out", np.uint8).reshape(-1, _bytes(bits)) for name, bits in sinks.items()
        }
    if progress:
        progress(sum(map(len, payloads.values())), sum(outputs.values()))
    transfers, first, last = (
        {name: stream[key] for name, stream in report["streams"].items()} for key in ("transfers", "first", "last")
    )
    totals = {name: len(inputs[name]) for name in sources} | {name: outputs[name] for name in sinks}
    moved = [name for name in totals if transfers[name]]
    return Driven(
        outputs=payloads,
        failure=_failure(report, transfers, totals, patience),
        cycles=max(last[name] for name in moved) - min(first[name] for name in moved) + 1 if moved else 0,
        transfers=transfers,
        first=first,
        last=last,
        status={name: int(digits, 16) for name, digits in report["status"].items()},
        seconds=report["seconds"],
    )


def _memories(design):
    """Memories that lie outside of the design: name to bits of a word and of an address."""
    ports = {port.name: port for port in design.ports}
    names = [name.removesuffix("__address") for name in ports if name.endswith("__address")]
    whole = [
        name
        for name in names
        if all(
            f"{name}__{part}" in ports and ports[f"{name}__{part}"].direction == direction
            for part, direction in _MEMORY.items()
        )
    ]
    return {name: (ports[f"{name}__read_data"].width, ports[f"{name}__address"].width) for name in whole}


def _ports(design, memories=()):
    """Input streams, output streams, other inputs, other outputs: each a dict of name to bits (of the payload).

    Without those of memories.
    """
    groups = {"input": {}, "output": {}}, {"input": {}, "output": {}}
    for port in design.ports:
        stream, _, part = port.name.rpartition("__")
        if port.name in (design.clock, design.reset) or stream in memories or (stream and part in _PARTS[1:]):
            continue
        plain = not (stream and part == _PARTS[0])
        groups[plain][port.direction][port.name if plain else stream] = port.width
    streams, others = groups
    names = {port.name for port in design.ports}
    whole = all(f"{name}__{part}" in names for kind in streams.values() for name in kind for part in _PARTS)
    if not (whole and any(streams.values())):
        raise ValueError(f"{design.top} must have streams of payload, valid and ready; its ports are {_names(names)}")
    return streams["input"], streams["output"], others["input"], others["output"]


def _failure(report, transfers, totals, patience):
    if report["surplus"]:
        return "the design gave a payload after the last one expected"
    if report["complete"]:
        return None
    progress = ", ".join(f"{name} {transfers[name]:,} of {total:,}" for name, total in totals.items())
    return f"the design hung: no transfer in {patience:,} cycles, after {progress}"


def _bytes(bits):
    return -(-bits // 8)


def _names(names):
    return ", ".join(sorted(names)) or "none"
