"""A core's bench without a simulator: its vectors over a link to a board, or to a board's twin.

What a bench compares in every cycle cannot be seen from there. The items of every phase go through the core in its
order, with its settings and its resets, and all outputs and the sticky flag are compared at the end of each; latency,
intervals and capacity are not. Where the bench's consumer stalls, outputs are taken late, so that they fill all that is
between core and host, and the core stalls as well; in which cycles is not known. Of a phase that a reset cuts short
only what comes after the reset is compared.
"""

import importlib
import secrets
import time
from dataclasses import dataclass, field

import numpy as np

from ...hdl.stream import codec
from ...testbench.bench import Failure

__all__ = ["NOT_COVERED", "Recorded", "SelftestResult", "record", "replay"]

NOT_COVERED = "stalls inside the core's streams, latency, cycles, capacity"

_LIMIT = 100  # mismatches that are kept


@dataclass(frozen=True)
class Recorded:
    """What a bench would have run.

    Attributes
    ----------
    phases : list of Phase
    describe : pair of callable
        As for `bench.Bench.run`.
    flag : str or None
        Name of the sticky flag.
    missing : list of str
        Cases that the bench must reach and did not.
    seed : int
        What decided the random vectors.
    """

    phases: list
    describe: tuple
    flag: str | None
    missing: list
    seed: int


@dataclass(frozen=True)
class SelftestResult:
    """What a self-test found.

    Attributes
    ----------
    passed : bool
        Whether all outputs and flags of all phases are those of the golden model.
    failure : str or None
        One line: why not all phases were run.
    phases, cut : int
        Phases compared, and phases that a reset cut short.
    resets : int
        How often the core was reset.
    transfers : int
        Outputs compared.
    sent : int
        Input payloads.
    vectors : int
        Random ones among the outputs compared.
    mismatches : int
        Outputs and flags that differ.
    first : list of dict
        The first of them: `phase`, `item`, `what`, `expected`, `got`.
    seconds : float
    seed : int
        What decided the random vectors.
    """

    passed: bool
    failure: str | None
    phases: int
    cut: int
    resets: int
    transfers: int
    sent: int
    vectors: int
    mismatches: int
    first: list = field(repr=False)
    seconds: float
    seed: int

    def summary(self):
        """A few lines for people."""
        lines = [
            f"{self.transfers:,} outputs of {self.sent:,} inputs compared ({self.vectors:,} random vectors) in "
            f"{self.phases:,} phases, after {self.resets:,} resets, {self.cut:,} of them in the middle of work; "
            f"{self.seconds:.1f} seconds",
            f"not compared: {NOT_COVERED}",
        ]
        if self.failure:
            lines.append(self.failure)
        if self.mismatches:
            first = self.first[0]
            lines.append(
                f"{self.mismatches:,} mismatches, the first in phase {first['phase']!r}, item {first['item']}: "
                f"{first['what']} must be {first['expected']}, is {first['got']}"
            )
        return "\n".join(lines)

    def to_dict(self):
        """What goes into a JSON file."""
        return dict(vars(self))


class _Recorder:
    """What a bench takes for its `Bench`."""

    codes = None
    cycle = 0

    def __init__(self, core, config, vectors, seed):
        self.core, self.config, self.vectors = core, config, vectors
        self.rng = np.random.default_rng(seed)
        self.missing = []
        self.phases = None

    async def run(self, phases, *, describe, flag=None, beside=None):
        self.phases, self.describe, self.flag = phases, describe, flag

    def cover(self, name, covered, total):
        if int(covered) != int(total):
            self.missing.append(f"{name} {int(covered)} of {int(total)}")

    def figure(self, name, value):
        """Figures are of time, which passes in a simulator only."""

    def mismatch(self, subject, index, expected, got):
        """Mismatches that benches find after a run are of time too."""


def record(core, config, vectors, seed=None):
    """Have a core's bench make its phases.

    Parameters
    ----------
    core : Core
        Entry of the catalogue.
    config : Config
        Of the type `core.config`.
    vectors : int
        Random vectors, 1 or more.
    seed : int, optional
        0 or more; decides the vectors. Drawn by default.

    Returns
    -------
    Recorded

    Raises
    ------
    ValueError
        If the bench cannot test this configuration, or a number is out of range.
    """
    seed = secrets.randbits(32) if seed is None else seed
    for name, value, least in (("vectors", vectors, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name} must be {least} or more, not {value}")
    module, name = core.bench.split(":")
    recorder = _Recorder(core, config, vectors, seed)
    bench = getattr(importlib.import_module(f"...testbench.{module}", __package__), name)(recorder)
    try:
        # Nothing in it waits, as there is no simulator to wait for.
        bench.send(None)
    except StopIteration:
        pass
    except Failure as error:
        raise ValueError(str(error)) from None
    return Recorded(recorder.phases, recorder.describe, recorder.flag, recorder.missing, seed)


def replay(link, recorded, identity=None, progress=None):
    """Run recorded phases on a board.

    Parameters
    ----------
    link : object
        As `fpga.session.host.Link`: `hello`, `set`, `feed`, `exchange`, `flags` and `channels` are used.
    recorded : Recorded
    identity : dict, optional
        What the board must say of itself.
    progress : callable, optional
        Called with (done, total) outputs.

    Returns
    -------
    SelftestResult

    Raises
    ------
    OSError
        If the link fails.
    """
    start = time.monotonic()
    total = sum(len(phase.outputs) for phase in recorded.phases if phase.cut is None)
    counts = dict.fromkeys(("phases", "cut", "resets", "transfers", "sent", "vectors", "mismatches"), 0)
    first, failure = [], None
    if recorded.missing:
        failure = f"the bench did not cover all it must: {', '.join(recorded.missing)}"
    settings, set_before, flagged = {}, {}, False
    for phase in recorded.phases:
        if failure:
            break
        if phase.reset or not counts["resets"]:
            link.hello(identity)
            counts["resets"] += 1
            set_before, flagged = None, False
        settings |= phase.ports
        if settings != set_before:
            link.set(**settings)
            set_before = dict(settings)
        inputs = {
            name: codec.from_integers(items, link.channels.inputs[name].bits).tobytes()
            for name, items in phase.inputs.items()
        }
        if phase.cut is not None:
            link.feed(inputs, requests=2)
            counts["cut"] += 1
            continue
        size = link.channels.outputs["o"].bytes
        moved = link.exchange(inputs, {"o": size * len(phase.outputs)}, late=phase.sink != "eager")
        whole = len(moved.outputs["o"]) // size * size
        got = codec.to_integers(np.frombuffer(moved.outputs["o"][:whole], np.uint8).reshape(-1, size))
        failure = moved.failure and f"phase {phase.name!r}: {moved.failure}"
        wrong = [
            {"phase": phase.name, "item": index, "what": "o", "expected": want, "got": value}
            for index, (want, value) in enumerate(zip(phase.outputs, got, strict=False))
            if want != value
        ]
        for mismatch in wrong[:_LIMIT]:
            mismatch.update({key: recorded.describe[1](mismatch[key]) for key in ("expected", "got")})
        flagged = flagged or any(phase.flags) or bool(phase.offending)
        if recorded.flag and not failure and link.flags[recorded.flag] != flagged:
            told = {"expected": flagged, "got": not flagged}
            wrong.append({"phase": phase.name, "item": len(got), "what": recorded.flag, **told})
        counts["mismatches"] += len(wrong)
        first += wrong[: _LIMIT - len(first)]
        counts["phases"] += not failure
        counts["transfers"] += len(got)
        counts["sent"] += sum(map(len, phase.inputs.values()))
        counts["vectors"] += phase.vectors
        if progress:
            progress(counts["transfers"], total)
    passed = failure is None and not counts["mismatches"] and counts["transfers"] > 0
    return SelftestResult(passed, failure, **counts, first=first, seconds=time.monotonic() - start, seed=recorded.seed)
