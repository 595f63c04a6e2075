"""Drivers and monitors of Amaranth streams, for cocotb.

Each is a plain Python generator that is resumed once a cycle, at the rising edge of the clock: what it reads there is
what the design samples at that edge, and what it writes changes after it. One cocotb task resumes all of them, because
each wake-up costs more than all else in a cycle.
"""

import itertools

import numpy as np

from ..hdl.stream import codec
from .private import Wire

__all__ = ["PROFILES", "STALL_PAIRS", "Collected", "Stream", "describing", "packed", "sink", "source", "stalls"]

_PATTERN = 4096  # cycles after which a stall pattern repeats

#: How a side stalls. "eager" never does; "light" in one cycle of eight; "heavy" in three of four; "sparse" goes in
#: every fourth cycle exactly; "bursts" goes and stalls for several cycles each; "patient" (outputs only) is ready only
#: after valid, as a design may not wait for it.
PROFILES = ("eager", "light", "heavy", "sparse", "bursts", "patient")
#: Of the inputs and of the output, what is tried together.
STALL_PAIRS = (
    ("light", "light"),
    ("heavy", "eager"),
    ("eager", "heavy"),
    ("bursts", "bursts"),
    ("sparse", "patient"),
)


class Stream:
    """The three ports of a stream in the Verilog of `name`, each a `Wire`."""

    def __init__(self, dut, name):
        self.name = name
        self.payload, self.valid, self.ready = (
            Wire(getattr(dut, f"{name}__{part}")) for part in ("payload", "valid", "ready")
        )


def stalls(profile, rng):
    """An endless iterator of 0 (stall) and 1 (go), one a cycle.

    Parameters
    ----------
    profile : str
        One of `PROFILES`; "patient" stalls as "light" does, once valid has come.
    rng : numpy.random.Generator
        Decides all of them.
    """
    if profile == "eager":
        return itertools.repeat(1)
    if profile == "sparse":
        return itertools.cycle((0, 0, 0, 1))
    if profile == "bursts":
        lengths = rng.geometric(1 / 6, _PATTERN // 4)
        pattern = np.repeat(np.arange(len(lengths)) & 1, lengths)
    else:
        pattern = rng.random(_PATTERN) >= {"light": 1 / 8, "heavy": 3 / 4, "patient": 1 / 8}[profile]
    # Bytes are the fastest to walk through.
    return itertools.cycle(pattern.astype(np.uint8).tobytes())


def source(bench, stream, payloads, go, junk, accepted):
    """Drive a stream's producer side.

    It keeps the producer's promises: the payload holds still while valid is high and ready is low, and valid does not
    wait for ready.

    Parameters
    ----------
    bench : Bench
        Knows the cycle.
    stream : Stream
        Input stream of the design.
    payloads : sequence of int
        Payloads, in order.
    go : iterator
        As `stalls` gives.
    junk : iterator of int
        Payloads for the cycles in which valid is low; they must have no effect.
    accepted : list of int
        Gets the cycle of each transfer.

    Yields
    ------
    None
        Once a cycle, without end: after the last transfer valid stays low.
    """
    put, offer, taken = stream.payload.set, stream.valid.set, stream.ready.get
    if any(item >> stream.payload.width for item in payloads):
        raise ValueError(f"payloads must have {stream.payload.width} bits on {stream.name}")
    offering = None
    for item in payloads:
        while not next(go):
            if offering != 0:
                offering = 0
                offer(0)
            put(next(junk))
            yield
        put(item)
        if offering != 1:
            offering = 1
            offer(1)
        yield
        while not taken():
            yield
        accepted.append(bench.cycle)
    offer(0)
    while True:
        put(next(junk))
        yield


def sink(bench, stream, expected, go, patient, accepted, after, shown, flag, flags, excused):
    """Drive a stream's consumer side, and compare what comes with what must come.

    Checked in every cycle: payload; valid and payload hold until ready; as many outputs as must come, and none before
    its input; the flag.

    Parameters
    ----------
    bench : Bench
        Knows the cycle and takes the mismatches.
    stream : Stream
        Output stream of the design.
    expected : sequence of int
        Payloads, in order.
    go : iterator
        As `stalls` gives.
    patient : bool
        Whether to be ready only after valid has come.
    accepted : list of int
        Cycles of the input transfers up to now.
    after : sequence of int
        For each of `expected`, the number of the input transfer that it must follow.
    shown : list of int
        Gets the cycle in which each output was first valid.
    flag : callable or None
        Reads a sticky status output: it must be high from the first item on for which `flags` says so, in the cycle in
        which that item is first valid.
    flags : sequence of bool
        One for each of `expected`, or none: it is set by none of them.
    excused : callable
        Whether the flag may be high already, because of an input that has no output yet.

    Yields
    ------
    None
        Once a cycle, without end: after the last item, which ends the pending of `bench`, nothing more may come.
    """
    look, offered, take = stream.payload.get, stream.valid.get, stream.ready.set
    name = stream.name
    taking = 0 if patient else next(go)
    take(taking)
    yield
    for index, want in enumerate(expected):
        held = None
        while True:
            if offered():
                got = look()
                if held is None:
                    shown.append(bench.cycle)
                    held = got
                    if len(accepted) <= after[index]:
                        bench.mismatch(f"{name}__valid", index, "low: its input has not been taken", "high")
                    if got != want:
                        bench.mismatch(f"{name}__payload", index, want, got)
                    if flag is not None and flags:
                        bench.flagged = bench.flagged or flags[index]
                elif got != held:
                    bench.mismatch(f"{name}__payload", index, f"{held:#x}, held until ready", f"{got:#x}")
                    held = got
            elif held is not None:
                bench.mismatch(f"{name}__valid", index, "high until ready", "low")
            if flag is not None and flag() != bench.flagged:
                if bench.flagged or not excused():
                    bench.mismatch(bench.flag_name, index, int(bench.flagged), int(not bench.flagged))
                else:
                    bench.flagged = True
            taken = taking and held is not None
            # A patient consumer becomes ready only while it looks at a valid item that it has not taken.
            wanted = 0 if patient and (taken or held is None) else next(go)
            if wanted != taking:
                taking = wanted
                take(taking)
            if taken:
                break
            yield
        yield
    bench.done()
    while True:
        if offered():
            bench.mismatch(f"{name}__valid", len(expected), "low: every input has had its output", "high")
        if flag is not None and flag() != bench.flagged:
            bench.mismatch(bench.flag_name, len(expected), int(bench.flagged), int(not bench.flagged))
        yield


def packed(layout, /, **fields):
    """Payloads of fields as the integers that a simulator takes; parameters and errors of `codec.pack`."""
    return codec.to_integers(codec.pack(layout, **fields))


class Collected:
    """Transfers of a stream, collected by their fields and packed together, which is far faster than one by one.

    Parameters
    ----------
    layout : ShapeLike
        Of the payload.
    """

    def __init__(self, layout):
        self._layout, self._parts, self._count = layout, [], 0

    def __len__(self):
        return self._count

    def add(self, **fields):
        """More transfers: an array of each field, by its name."""
        self._parts.append(fields)
        self._count += len(next(iter(fields.values())))

    def payloads(self):
        """Payloads of all of them: list of int."""
        if not self._parts:
            return []
        names = self._parts[0]
        return packed(self._layout, **{name: np.concatenate([part[name] for part in self._parts]) for name in names})


def describing(layout, *codes):
    """What a report shows of a payload: a function from it to its fields by their names.

    Parameters
    ----------
    layout : ShapeLike
        Of the payload.
    *codes : str
        Fields that are shown in hexadecimal.
    """
    known = codec.named(layout)

    def shown(name, value):
        if isinstance(value, list):
            return [shown(name, each) for each in value]
        width = known[name].width
        return f"{value % (1 << width):#0{-(-width // 4) + 2}x}" if name in codes else value

    def describe(payload):
        return {name: shown(name, values.tolist()[0]) for name, values in codec.unpack(layout, [payload]).items()}

    return describe
