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
from ..hdl import tools
from .runner import PERIOD, REQUEST
from .stream import Stream, sink, source, stalls

__all__ = ["Bench", "Failure", "Phase", "run"]

_PATIENCE = 2000  # cycles without any transfer after which a design hangs; above every stall of every profile
_DRAIN = 16  # cycles beyond the latency in which nothing more may come out
_LIMIT = 10_000  # mismatches after which a run ends


@dataclass
class Phase:
    """Items that go through a core from the stream `i` to the stream `o`, and how both sides stall.

    Attributes
    ----------
    name : str
        For the mismatch report.
    inputs, outputs : list of int
        Payloads; one output for each input.
    flags : list of bool
        For each item, whether it sets the bench's sticky flag.
    source, sink : str
        Profiles of `stream.PROFILES`.
    measured : bool
        Whether latency and interval must be those that the catalogue states; both sides must be eager.
    reset : bool
        Whether to reset the core before it, with whatever is inside.
    ports : dict of str to int
        Values of other input ports.
    cut : int or None
        Cycles after which to leave the phase with items inside; a reset must follow.
    capacity : int or None
        Items that the core must take while its consumer is not ready at all, which it is not until then.
    vectors : int
        How many of the items are random ones.
    """

    name: str
    inputs: list
    outputs: list
    flags: list = ()
    source: str = "eager"
    sink: str = "eager"
    measured: bool = False
    reset: bool = False
    ports: dict = field(default_factory=dict)
    cut: int | None = None
    capacity: int | None = None
    vectors: int = 0


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
        self._edge = RisingEdge(dut.clk)
        self._started = time.perf_counter()
        self._phase = None
        self._pending = False
        self._limit = 1 if request["first"] else _LIMIT
        self._mismatches = []
        self._transfers = self._random = 0
        self._latencies, self._intervals = set(), set()
        self._coverage = {}

    async def run(self, phases, *, describe, flag=None):
        """Run phases one after another.

        Parameters
        ----------
        phases : list of Phase
            Each complete one counts for the coverage.
        describe : pair of callable
            From an input and an output payload to what the mismatch report shows of it: a dict of field names to
            values, or to lists of values, that JSON can hold.
        flag : str, optional
            Name of the sticky status output that `Phase.flags` speaks of.
        """
        self._describe_input, self._describe_output = describe
        self.flag_name = flag
        done, total = 0, sum(len(phase.outputs) for phase in phases)
        # Before the clock starts: an input that nobody has written has any value.
        quiet = {"clk": 0, "rst": 0, "i__valid": 0, "o__ready": 0}
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
        """Note how many of the cases that a bench must reach it reached; all of them, or the run is no pass."""
        self._coverage[name] = [int(covered), int(total)]

    def mismatch(self, what, index, expected, got):
        """Note a mismatch; an integer `expected` of the output stream's payload is described for people."""
        phase, differs = self._phase, []
        if what.endswith("payload") and isinstance(expected, int):
            expected, got = self._describe_output(expected), self._describe_output(got)
            differs = list(_differences(expected, got))
        self._mismatches.append(
            {
                "cycle": self.cycle,
                "time_ns": self.cycle * PERIOD,
                "phase": phase.name,
                "item": index,
                "what": what,
                "input": self._describe_input(phase.inputs[index]) if index < len(phase.inputs) else None,
                "expected": expected,
                "got": got,
                "differs": differs,
            }
        )
        if len(self._mismatches) >= self._limit:
            raise _Enough

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

    async def _exchange(self, phase, done, total):
        for name, value in phase.ports.items():
            getattr(self._dut, name).value = value
        accepted, shown, started = [], [], self.cycle
        try:
            complete = await self._transfer(phase, accepted, shown, done, total)
        finally:
            self._transfers += len(shown)
        if complete:
            self._random += phase.vectors
            if phase.measured:
                self._measure(accepted, shown)
            if phase.capacity is not None:
                held = sum(cycle <= started + _blocked(phase) for cycle in accepted)
                if held != phase.capacity:
                    self.mismatch("capacity", held, f"{phase.capacity} items", f"{held} items")

    async def _transfer(self, phase, accepted, shown, done, total):
        """Run both sides until the last item has come, and some cycles on; whether it came to that."""
        dut = self._dut
        # In cycles without valid the payload is that of other items: nothing may depend on it.
        junk = itertools.cycle(phase.inputs[len(phase.inputs) // 2 :] + phase.inputs[: len(phase.inputs) // 2])
        flag = getattr(dut, self.flag_name) if self.flag_name else None
        go = stalls(phase.sink, self.rng)
        if phase.capacity is not None:
            go = itertools.chain(itertools.repeat(0, _blocked(phase)), go)
        consumer = sink(
            self,
            Stream(dut, "o"),
            phase.outputs,
            go,
            phase.sink == "patient",
            accepted,
            shown,
            flag,
            phase.flags,
        )
        producer = source(self, Stream(dut, "i"), phase.inputs, stalls(phase.source, self.rng), junk, accepted)
        # The consumer first: what it sees in a cycle does not come from what is taken in that cycle.
        consume, produce = consumer.__next__, producer.__next__
        self._pending = True
        consume()
        produce()
        edge, left = self._edge, phase.cut
        while self._pending:
            moved = len(accepted), len(shown)
            chunk = _PATIENCE if left is None else min(left, _PATIENCE)
            for _ in range(chunk):
                await edge
                self.cycle += 1
                consume()
                produce()
                if not self._pending:
                    break
            self._progress(done + len(shown), total)
            if left is not None:
                left -= chunk
                if left == 0:
                    return False
            if self._pending and moved == (len(accepted), len(shown)):
                raise Failure(
                    f"no transfer in {_PATIENCE} cycles up to cycle {self.cycle} "
                    f"(phase {phase.name!r}, {len(accepted)} items in, {len(shown)} out of {len(phase.outputs)})"
                )
        for _ in range(self.core.latency(self.config) + _DRAIN):
            await edge
            self.cycle += 1
            consume()
            produce()
        return True

    def _measure(self, accepted, shown):
        """Hold latency and interval of every item against the catalogue's."""
        for what, stated, found, measured in (
            ("latency", self.core.latency, np.subtract(shown, accepted), self._latencies),
            ("interval", self.core.interval, np.diff(accepted), self._intervals),
        ):
            want = stated(self.config)
            measured.update(found.tolist())
            for index in np.nonzero(found != want)[0].tolist():
                self.mismatch(what, index, f"{want} cycles", f"{found[index]} cycles")

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
            "mismatches": self._mismatches,
            "seconds": time.perf_counter() - self._started,
        }


def _blocked(phase):
    """Cycles without ready in which also a sparse producer fills a core, and would overfill it."""
    return 4 * (phase.capacity + 4)


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
    tools.atomic_write(request["result"], json.dumps(bench.report(failure)))
