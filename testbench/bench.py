"""What runs inside the simulator: one cocotb test that calls a core's bench, and the account of what it found.

A bench is a coroutine that takes a `Bench`, makes `Phase`s from the golden model and has them run. Request and result
are JSON, so that the process that asked needs nothing of cocotb.
"""

import importlib
import itertools
import json
import os
import time
import traceback
from dataclasses import dataclass, field

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.triggers import RisingEdge, Timer

from ..cores.catalogue import lookup
from ..golden import strict_json
from ..tools.files import atomic_write
from .private import Cycles, Wire
from .runner import PERIOD, REQUEST
from .stream import Stream, sink, source, stalls

__all__ = ["Bench", "Failure", "Phase", "cover_corners", "described_input", "run", "shares"]

_PATIENCE = 2000  # cycles without any transfer after which a design hangs; above every stall of every profile
_DRAIN = 16  # cycles beyond the latency in which nothing more may come out
_LIMIT = 10_000  # mismatches after which a run ends


@dataclass
class Phase:
    """Items that go through a core from its input streams to the stream `o`, and how both sides stall.

    Attributes
    ----------
    name : str
        For the mismatch report.
    inputs : list of int, or dict of str to list of int
        Payloads of the stream `i`, or of each input stream; the first of several is the leading one.
    outputs : list of int
        Payloads.
    after : list of int or None
        For each output, which transfer of the leading stream it must follow; None: one output for each of them.
    delay : list of int or None
        For each output, the cycles by which it is later than the catalogue's latency says; None: none is.
    flags : list of bool
        For each output, whether it comes with the bench's sticky flag; none: no output does.
    offending : dict of str to int
        For an input stream, the number of its first transfer that sets the flag: from it on the flag may be high
        before an output shows that it must.
    source, sink : str
        Profiles of `stream.PROFILES`, that of the source for each input stream by itself.
    measured : bool
        Whether latency and interval must be those that the catalogue states; both sides must be eager.
    timed : bool
        Whether outputs tell cycles, so that they hold only where both sides are eager.
    warm_up : int
        Outputs and intervals, from the first one on, that are not measured.
    cycles : int or None
        Cycles from the first input transfer to the last output, both included, that it must take.
    reset : bool
        Whether to reset the core before it, with whatever is inside.
    ports : dict of str to int
        Values of other input ports.
    counting : sequence of bool, optional
        For each item of the leading stream, whether the ports count with it; with the others they are anything. By
        default they hold their values.
    cut : int or None
        Cycles after which to leave the phase with items inside; a reset must follow.
    capacity : int or None
        Items that the core must take while its consumer is not ready at all, which it is not until then.
    vectors : int
        How many of the outputs are random ones.
    silent : int
        Cycles in which the core may work without any transfer.
    taken : int or None
        Cycles from the first input transfer to the last output, both included, once it is complete.
    """

    name: str
    inputs: dict
    outputs: list
    flags: list = ()
    after: list | None = None
    delay: list | None = None
    offending: dict = field(default_factory=dict)
    source: str = "eager"
    sink: str = "eager"
    measured: bool = False
    timed: bool = False
    warm_up: int = 0
    cycles: int | None = None
    reset: bool = False
    ports: dict = field(default_factory=dict)
    counting: list = ()
    cut: int | None = None
    capacity: int | None = None
    vectors: int = 0
    silent: int = 0
    taken: int | None = field(default=None, init=False)

    def __post_init__(self):
        if not isinstance(self.inputs, dict):
            self.inputs = {"i": self.inputs}
        self.leading = next(iter(self.inputs))
        if self.after is None:
            self.after = range(len(self.outputs))


def described_input(describe, phase):
    """What describes the payloads of a phase's leading stream: of several by stream, or the one that there is."""
    return describe[phase.leading] if isinstance(describe, dict) else describe


class Failure(Exception):
    """The design cannot be tested any further; the message is one line."""


class _Enough(Exception):
    """As many mismatches as were asked for."""


class Bench:
    """One run.

    Parameters
    ----------
    dut : cocotb handle
        The design.
    request : dict
        As `runner.simulate` makes it.

    Attributes
    ----------
    config : Config
        Of the core.
    vectors : int
        Random vectors to make.
    codes : ndarray of uint8 or None
        Packed codes to run in place of the bench's own, one row of bytes a transfer.
    rng : numpy.random.Generator
        The only source of chance.
    cycle : int
        Rising edges up to now.
    flagged : bool
        What the sticky flag must show.
    """

    def __init__(self, dut, request):
        self.core = lookup(request["core"])
        self.config = self.core.config(**request["parameters"])
        self.vectors = request["vectors"]
        self.codes = np.load(request["codes"]) if request["codes"] else None
        self.rng = np.random.default_rng(request["seed"])
        self.cycle = 0
        self.flagged = False
        self.flag_name = None
        self._dut = dut
        self._request = request
        self._started = time.perf_counter()
        self._phase = None
        self._pending = False
        self._limit = 1 if request["first"] else _LIMIT
        self._mismatches = []
        self._transfers = self._random = 0
        self._latencies, self._intervals = set(), set()
        self._coverage = {}
        self._figures = {}

    async def run(self, phases, *, describe, flag=None, beside=None):
        """Run phases one after another.

        Parameters
        ----------
        phases : list of Phase
            Each complete one counts for the coverage.
        describe : pair of callable
            From a payload of the leading input and from one of the output to what the mismatch report shows of it: a
            dict of field names to values, or to lists of values, that JSON can hold. The first one may be a dict: one
            for each stream that leads some phase.
        flag : str, optional
            Name of the sticky status output that `Phase.flags` speaks of; of several bits, any of them.
        beside : callable, optional
            Takes the design and the bench, gives what stands at the core's other ports: an object with `step`, called
            once a cycle as the generators of `stream` are resumed, and `reset`, called after a cycle of reset.
        """
        self._beside = beside(self._dut, self) if beside else None
        self._describe_input, self._describe_output = describe
        self._edge = RisingEdge(self._dut.clk)
        self.flag_name = flag
        done, total = 0, sum(len(phase.outputs) for phase in phases)
        # Before the clock starts: an input that nobody has written has any value.
        valids = {f"{name}__valid": 0 for phase in phases for name in phase.inputs}
        quiet = {"clk": 0, "rst": 0, "o__ready": 0, **valids}
        for name, value in {**quiet, **self._request["ports"]}.items():
            getattr(self._dut, name).value = value
        await Timer(PERIOD, "ns")
        # Cycle n begins at n times PERIOD in the waves.
        Clock(self._dut.clk, PERIOD, "ns").start()
        await self._edge
        self.cycle += 1
        await self._reset()
        for phase in phases:
            self._phase = phase
            if phase.reset:
                await self._reset()
            await self._exchange(phase, done, total)
            done += len(phase.outputs)

    def cover(self, name, covered, total):
        """Note how many of the cases that a bench must reach it reached; all of them, or the run has not passed."""
        self._coverage[name] = [int(covered), int(total)]

    def figure(self, name, value):
        """Note a measured figure, a text, for the summary."""
        self._figures[name] = value

    def mismatch(self, subject, index, expected, got):
        """Note a mismatch; an integer `expected` of the output stream's payload is described for people."""
        phase, differs = self._phase, []
        inputs = phase.inputs[phase.leading]
        after = phase.after[index] if index < len(phase.after) else len(inputs)
        if subject.endswith("payload") and isinstance(expected, int):
            expected, got = self._describe_output(expected), self._describe_output(got)
            differs = list(_differences(expected, got))
        self._mismatches.append(
            {
                "cycle": self.cycle,
                "time_ns": self.cycle * PERIOD,
                "phase": phase.name,
                "item": index,
                "what": subject,
                "input": self._told_input(inputs[after]) if after < len(inputs) else None,
                "expected": expected,
                "got": got,
                "differs": differs,
            }
        )
        if len(self._mismatches) >= self._limit:
            raise _Enough

    def _told_input(self, payload):
        """A payload of the phase's leading stream, for people."""
        return described_input(self._describe_input, self._phase)(payload)

    def done(self):
        """Note that the last item of a phase has come."""
        self._pending = False

    async def _reset(self):
        """One cycle of reset; the streams stay as they are, so a transfer may fall into it."""
        self._dut.rst.value = 1
        await self._edge
        self.cycle += 1
        self._dut.rst.value = 0
        self.flagged = False
        if self._beside:
            self._beside.reset()

    async def _exchange(self, phase, done, total):
        for name, value in phase.ports.items():
            getattr(self._dut, name).value = value
        accepted, shown, started = {name: [] for name in phase.inputs}, [], self.cycle
        try:
            complete = await self._transfer(phase, accepted, shown, done, total)
        finally:
            self._transfers += len(shown)
        if complete:
            self._random += phase.vectors
            if phase.measured:
                self._measure(phase, np.array(accepted[phase.leading]), np.array(shown))
            phase.taken = shown[-1] - min(cycles[0] for cycles in accepted.values()) + 1
            if phase.cycles not in (None, phase.taken):
                self.mismatch("cycles", len(shown), f"{phase.cycles} cycles", f"{phase.taken} cycles")
            if phase.capacity is not None:
                held = sum(cycle <= started + _blocked(phase) for cycle in accepted[phase.leading])
                if held != phase.capacity:
                    self.mismatch("capacity", held, f"{phase.capacity} items", f"{held} items")

    async def _transfer(self, phase, accepted, shown, done, total):
        """Run both sides until the last item has come, and some cycles on; whether it came to that."""
        dut = self._dut
        leading = accepted[phase.leading]
        wire = Wire(getattr(dut, self.flag_name)) if self.flag_name else None
        flag = wire and (wire.get if wire.width == 1 else lambda: bool(wire.get()))
        go = stalls(phase.sink, self.rng)
        if phase.capacity is not None:
            go = itertools.chain(itertools.repeat(0, _blocked(phase)), go)

        def excused():
            return any(len(accepted[name]) > first for name, first in phase.offending.items())

        consumer = sink(
            self,
            Stream(dut, "o"),
            phase.outputs,
            go,
            phase.sink == "patient",
            leading,
            phase.after,
            shown,
            flag,
            phase.flags,
            excused,
        )
        producers = [
            source(self, Stream(dut, name), payloads, stalls(phase.source, self.rng), _junk(payloads), accepted[name])
            for name, payloads in phase.inputs.items()
        ]
        # The consumer first: what it sees in a cycle does not come from what is taken in that cycle.
        sides = [side.__next__ for side in (consumer, *producers)]
        if len(phase.counting):
            sides.append(self._changing_ports(phase, leading).__next__)
        self._pending = True
        for side in sides:
            side()
        sides += [self._beside.step] if self._beside else []
        left = phase.cut
        while self._pending:
            moved = sum(map(len, accepted.values())), len(shown)
            patience = _PATIENCE + phase.silent
            chunk = patience if left is None else min(left, patience)
            await self._cycles(sides, chunk, lambda: self._pending)
            self._progress(done + len(shown), total)
            if left is not None:
                left -= chunk
                if left == 0:
                    return False
            if self._pending and moved == (sum(map(len, accepted.values())), len(shown)):
                raise Failure(
                    f"no transfer in {patience} cycles up to cycle {self.cycle} "
                    f"(phase {phase.name!r}, {len(leading)} items in, {len(shown)} out of {len(phase.outputs)})"
                )
        await self._cycles(sides, self.core.latency(self.config) + _DRAIN, lambda: True)
        return True

    def _changing_ports(self, phase, leading):
        """Drive the ports: their values while an item is offered with which they count, else any."""
        wires = [(Wire(getattr(self._dut, name)), value) for name, value in phase.ports.items()]
        while True:
            counts = len(leading) >= len(phase.counting) or phase.counting[len(leading)]
            for wire, value in wires:
                wire.set(value if counts else int(self.rng.integers(1 << wire.width)))
            yield

    async def _cycles(self, sides, count, wanted):
        """Run the sides for `count` cycles, or until no more are `wanted`."""
        end = self.cycle + count

        def step():
            self.cycle += 1
            for side in sides:
                side()
            return wanted() and self.cycle < end

        await Cycles(self._dut.clk, step).run()

    def _measure(self, phase, accepted, shown):
        """Hold latency and interval of every item against the catalogue's."""
        latencies = shown - accepted[phase.after] - (0 if phase.delay is None else phase.delay)
        for subject, stated, counts, measured in (
            ("latency", self.core.latency, latencies, self._latencies),
            ("interval", self.core.interval, np.diff(accepted), self._intervals),
        ):
            want = stated(self.config)
            measured.update(counts[phase.warm_up :].tolist())
            for index in (phase.warm_up + np.nonzero(counts[phase.warm_up :] != want)[0]).tolist():
                self.mismatch(subject, index, f"{want} cycles", f"{counts[index]} cycles")

    def _progress(self, done, total):
        if self._request["progress"]:
            with open(self._request["progress"], "w") as file:
                file.write(f"{done} {total}")

    def report(self, failure):
        """What goes into the result file; `failure` is a message, or None."""
        if failure is None and not self._mismatches:
            missing = [f"{name} {a} of {b}" for name, (a, b) in self._coverage.items() if a != b]
            if missing:
                failure = f"the bench did not cover all it must: {', '.join(missing)}"
            elif self._random < self.vectors:
                failure = f"the bench compared {self._random} of {self.vectors} random vectors"
        return {
            "failure": failure,
            "vectors": self._random,
            "transfers": self._transfers,
            "cycles": self.cycle,
            "latency": max(self._latencies, default=None),
            "interval": max(self._intervals, default=None),
            "coverage": self._coverage,
            "figures": self._figures,
            "mismatches": self._mismatches,
            "seconds": time.perf_counter() - self._started,
        }


def cover_corners(bench, seen, wanted):
    """Count the corner cases, sets of texts, that a bench has seen, and name those that it must see and has not."""
    bench.cover("corner cases", len(seen & wanted), len(wanted))
    for corner in sorted(wanted - seen):
        bench.cover(corner, 0, 1)


def shares(total, parts):
    """`total` in `parts` nearly equal whole numbers.

    With few vectors some shares are 0. The phase of such a share still has one item, because no phase is empty.
    """
    return [(total + part) // parts for part in range(parts)]


def _blocked(phase):
    """Cycles without ready in which also a sparse producer fills a core, and would overfill it."""
    return 4 * (phase.capacity + 4)


def _junk(payloads):
    """Payloads for cycles without valid: those of other items, as nothing may depend on them."""
    return itertools.cycle(payloads[len(payloads) // 2 :] + payloads[: len(payloads) // 2])


def _differences(expected, got):
    """Names of the fields that differ, `name` or `name[index]`."""
    for name, value in expected.items():
        if isinstance(value, list):
            yield from (f"{name}[{i}]" for i, (a, b) in enumerate(zip(value, got[name], strict=True)) if a != b)
        elif value != got[name]:
            yield name


@cocotb.test()
async def run(dut):
    """The cocotb test: call the bench that the request's core names, write the result."""
    request = json.loads(os.environ[REQUEST])
    bench = Bench(dut, request)
    failure = None
    try:
        module, name = bench.core.bench.split(":")
        await getattr(importlib.import_module(f"..{module}", __name__), name)(bench)
    except _Enough:
        pass
    except Failure as error:
        failure = str(error)
    except Exception as error:
        # Whatever goes wrong in a bench must reach the one who asked, and never pass for a pass.
        traceback.print_exc()
        failure = f"the bench stopped with {type(error).__name__}: {error}"
    atomic_write(request["result"], strict_json.dumps(bench.report(failure)))
