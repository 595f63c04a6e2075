"""Bench of the machine: programs that are drawn, their sums, counters and errors; words and tokens that wait."""

from dataclasses import replace

import numpy as np

from ...golden.machine import cycles, host, image, jobs, pass_cycles
from ...golden.machine.executor import Executor
from ..bench import Failure, Phase, shares
from ..stream import STALL_PAIRS, describing, packed
from . import drawn, wrong
from .memories import beside

__all__ = ["core"]

#: Cycles without any transfer: beside those of a pass, of an SDRAM's initialization, and of a pass that stands still.
_SILENT = 100_000
#: Passes of a program that is drawn, at most.
_PASSES = 12
#: Stages of those with stalls, at most.
_STAGES = 4
#: Kinds of jobs that any machine has room for.
_ALWAYS = {jobs.Fetch, jobs.Embed, jobs.Load, jobs.Normalize, jobs.Sum, jobs.Loop, jobs.End}


class Between(int):
    """A number with limits, in place of an expected payload: any payload between them is right.

    Attributes
    ----------
    low, high : int
        Of the payload, both included.
    got : int or None
        What came.
    """

    def __new__(cls, low, high):
        made = super().__new__(cls, low)
        made.low, made.high, made.got = low, high, None
        return made

    __hash__ = int.__hash__

    def __eq__(self, other):
        self.got = int(other)
        return self.low <= self.got <= self.high

    def __ne__(self, other):
        return not self == other


async def core(bench):
    """Embeddings, exact cycles, drawn programs with their counters, each error; then drawn programs, stalls, resets.

    Every sum is that of the executor, which starts from the same ids.
    """
    if bench.codes is not None:
        raise Failure("the machine takes words and tokens, no packed codes")
    script = _Script(bench.config, bench.rng)
    phases = [
        *(script.embeddings(number) for number in range(3)),
        script.checks(),
        *script.measured(),
        *(script.counted(f"drawn program, {stage}", (stage,)) for stage in drawn.STAGES),
        *filter(None, map(script.error, wrong.WRONG)),
    ]
    for (source, sink), count in zip(STALL_PAIRS, shares(bench.vectors, len(STALL_PAIRS)), strict=True):
        stalls = {"source": source, "sink": sink, "reset": True}
        phases.append(script.cut(**stalls))
        name = f"drawn programs, stalls {source} in, {sink} out"
        phases.append(script.random(name, max(count, 1), vectors=count, **stalls))
    layouts = bench.config.i_layout, bench.config.o_layout
    await bench.run(phases, describe=tuple(map(describing, layouts)), flag="error", beside=beside(bench.config))
    bench.cover("kinds of jobs", len(script.kinds | _ALWAYS), len(script.kinds))
    # A row that is too long needs a memory for its table.
    bench.cover("kinds of errors", len(script.errors | {"long"}), len(wrong.ERRORS))


class _Script:
    """Phases, each with programs of its own.

    Attributes
    ----------
    kinds, errors : set
        Of jobs that are run to their ends, and of errors.
    """

    def __init__(self, config, rng):
        self.config, self.rng = config, rng
        self.kinds, self.errors = set(), set()

    # -- items and what they give --------------------------------------------------------------------------------------

    def loading(self, program):
        """Items that put a program into the memory, in pieces of any order, so that addresses count."""
        words = program.words
        cuts = sorted(self.rng.integers(1, len(words), self.rng.integers(0, 4)).tolist())
        pieces = [host.image(words[a:b], a) for a, b in zip([0, *cuts], [*cuts, len(words)], strict=True) if a < b]
        return [pieces[at] for at in self.rng.permutation(len(pieces))]

    def sums(self, values):
        """Payloads of sums, an array (sums, channels)."""
        last = np.zeros(values.shape, int)
        last[:, -1] = 1
        return packed(self.config.o_layout, value=values.ravel(), counter=np.zeros(values.size, int), last=last.ravel())

    def told(self, *values):
        """Payloads of counters, or of the state."""
        ends = [int(at == len(values) - 1) for at in range(len(values))]
        return packed(self.config.o_layout, value=list(values), counter=[1] * len(values), last=ends)

    def phase(self, name, *parts, **options):
        """A phase of parts: items, and the outputs behind the last one of them."""
        items = {key: np.concatenate([part[0][key] for part in parts]) for key in ("data", "item")}
        ends = np.cumsum([len(items["item"]) for items, _ in parts]) - 1
        after = np.repeat(ends, [len(outputs) for _, outputs in parts]).tolist()
        outputs = [payload for _, outputs in parts for payload in outputs]
        inputs = packed(self.config.i_layout, **items)
        return Phase(name, inputs, outputs, after=after, **{"silent": _SILENT} | options)

    def passes(self, executor, count, counted=False):
        """Parts of some passes."""
        parts = []
        for _ in range(count):
            sentences = drawn.draw_sentences(self.rng, executor.program)
            outputs = self.sums(executor(sentences))
            if counted:
                outputs += self.counters(executor.program, sentences, first=not parts)
            parts.append((host.passes([sentences], counted), outputs))
        return parts

    def counters(self, program, sentences, first):
        """Payloads of a pass' counters: exact ones, and limits of those that tell time."""
        sizes = self.config.sizes
        time = cycles.timeline(program, [len(ids) for ids in sentences])
        copied = sizes.jobs * jobs.BITS // sizes.word_bits if first else 0
        words, least = time.words + copied, max(time.operands, time.words + copied)
        most = (1 << 31) - 1
        low = {"cycles": least, "steps": time.operands, "waiting": 0, "rows": 1, "words": words}
        high = low | {"cycles": most, "waiting": most, "rows": most}
        limits = (self.told(*(each[name] for name in jobs.COUNTERS)) for each in (low, high))
        return [Between(*pair) for pair in zip(*limits, strict=True)]

    # -- phases --------------------------------------------------------------------------------------------------------

    def embeddings(self, number):
        """Nothing but embeddings, of a few words: also for simulators that are slow."""
        program = drawn.shortest(self.rng, self.config)
        parts = [(items, []) for items in self.loading(program)]
        return self.phase(f"embeddings {number}", *parts, *self.passes(Executor(program), 2), reset=number == 1)

    def checks(self):
        """The CRC-32 of blocks of the memory, of none of its words up to all, and a pass between them."""
        program = drawn.draw(self.rng, self.config)
        words, parts = program.words, [(items, []) for items in self.loading(program)]
        starts = self.rng.integers(0, len(words), 6).tolist()
        counts = [0, 1, 2, *(int(self.rng.integers(1, len(words) - at + 1)) for at in starts[3:])]
        blocks = [(min(at, len(words) - count), count) for at, count in zip(starts, counts, strict=True)]
        for at, count in [*blocks, (0, len(words))]:
            crc = host.crc(words[at : at + count], self.config.word)
            parts.append((host.checks([(at, count)]), self.told(crc - (crc >> 31 << 32))))
            parts += self.passes(Executor(program), 1) if count == 2 else []
        return self.phase("memory checks", *parts, reset=True)

    def measured(self):
        """The sum of what the residual has, in passes of one token: exact cycles."""
        program = drawn.shortest(self.rng, self.config)
        executor, rows = Executor(program), program.channels

        def alone(**more):
            sentence = self.rng.integers(0, program.vocabulary, 1)
            return host.passes([[sentence]], **more), self.sums(executor([sentence]))

        before = [*((items, []) for items in self.loading(program)), alone(counted=False)]
        # No jobs but these, and no memory that is read.
        executor.program = replace(program, jobs=(jobs.Sum(rows), jobs.Loop(1), jobs.End()))
        words = image.job_words(executor.program.jobs, self.config.sizes)
        before += [(host.image(words), []), alone(counted=False)]
        yield self.phase("before", *before, reset=True)
        parts = [alone(counted=False) for _ in range(8)]
        delay = np.tile(np.arange(rows), len(parts)).tolist()
        yield self.phase("measured", *parts, delay=delay, measured=True)
        items, sums = alone()
        exact = pass_cycles.counters(self.config)
        told = self.told(*(exact[name] for name in jobs.COUNTERS))
        yield self.phase("exact counters", (items, sums + told), timed=True)

    def counted(self, name, first):
        """A program with most kinds of jobs, and its counters."""
        program = drawn.draw(self.rng, self.config, first)
        self.kinds |= {type(job) for job in program.jobs}
        parts = [(items, []) for items in self.loading(program)]
        return self.phase(name, *parts, *self.passes(Executor(program), 2, counted=True), reset=True)

    def error(self, name):
        """What is wrong, and the state then; where the machine does not stand, right passes behind it."""
        try:
            made = wrong.make(name, self.rng, self.config)
        except drawn.NoRoom:
            return None
        self.errors.add(made.error)
        executor = made.right and Executor(made.right)
        parts = [(items, []) for items in self.loading(made.program)]
        *before, last = made.items
        parts += [(items, []) for items in before]
        sums = [payload for sentences in made.given for payload in self.sums(executor(sentences))]
        state = self.told(made.state)
        parts += [(last, sums), (host.ask(), state)]
        if made.error == "stands":
            parts.append((host.ask(), state))
        else:
            program = drawn.shortest(self.rng, self.config)
            parts += [(items, []) for items in self.loading(program)]
            parts += [*self.passes(Executor(program), 1), (host.ask(), state)]
        phase = self.phase(f"error: {name}", *parts, reset=True, offending={"i": 0})
        # Too many tokens are seen before any sum; what else gives sums goes wrong behind them.
        phase.flags = [made.error == "overrun"] * len(sums) + [True] * (len(phase.outputs) - len(sums))
        return phase

    def cut(self, **options):
        """A reset while words come in, or in the middle of a pass."""
        program = drawn.draw(self.rng, self.config, stages=_STAGES)
        parts = [(items, []) for items in self.loading(program)] + self.passes(Executor(program), 2)
        made = self.phase("left by a reset", *parts, **options)
        made.cut = int(self.rng.integers(1, 8 * len(made.inputs["i"])))
        return made

    def random(self, name, least, **options):
        """Programs one after the other, until so many sums have come."""
        parts, count = [], 0
        while count < least:
            # What has most kinds of jobs comes in each.
            program = drawn.draw(self.rng, self.config, ("attention",), stages=_STAGES)
            given = self.passes(Executor(program), int(self.rng.integers(1, _PASSES)))
            parts += [*((items, []) for items in self.loading(program)), *given]
            count += sum(len(outputs) for _, outputs in given)
        return self.phase(name, *parts, **options)
