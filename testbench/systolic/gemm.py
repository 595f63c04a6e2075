"""Bench of the matrix-product core: jobs of every kind, what they leave in the memories, and their cycles."""

import numpy as np

from ...golden.olive import ovp
from ...golden.systolic import gemm as golden
from ...golden.systolic.gemm import Job
from ..bench import Failure, Phase, shares
from ..stream import STALL_PAIRS, Collected, describing, packed
from .results import result_fields

__all__ = ["core"]

_MOST = 512  # rows of results of a job that fills a memory, where the other one is not the smaller by far
_LOADS = ((True, True), (False, True), (True, False), (False, False))

#: What there must be among the jobs, with the test of it.
_KINDS = {
    "both loaded": lambda job, config: job.load_a and job.load_w,
    "A kept": lambda job, config: not job.load_a and job.load_w,
    "W kept": lambda job, config: job.load_a and not job.load_w,
    "both kept": lambda job, config: not job.load_a and not job.load_w,
    "one transfer": lambda job, config: job.a_transfers == job.w_transfers == 1,
    "several panels of both": lambda job, config: job.a_panels > 1 and job.w_panels > 1,
    "memory of A full": lambda job, config: job.a_transfers == config.a_depth,
    "memory of W full": lambda job, config: job.w_transfers == config.w_depth,
    "overrun of A alone": lambda job, config: job.a_transfers > config.a_depth and job.w_transfers <= config.w_depth,
    "overrun of W alone": lambda job, config: job.a_transfers <= config.a_depth and job.w_transfers > config.w_depth,
    "overrun of both": lambda job, config: job.a_transfers > config.a_depth and job.w_transfers > config.w_depth,
}


async def core(bench):
    """Jobs that load both operands, one or none, full memories and more than they hold, to the cycle; stalls, resets.

    Where nothing stalls, cycles, latency and interval must be those of the model.
    """
    if bench.codes is not None:
        raise Failure("gemm takes jobs and two streams of operands, no packed codes")
    config, rng = bench.config, bench.rng
    script = _Script(config, rng)
    rows, depth = config.rows, min(config.a_depth, config.w_depth)
    # Panels so long that the tile need not wait until its drain is free.
    whole = min(-(-rows // config.operands[0].steps), depth)
    two, three = (min(count, depth // whole) for count in (2, 3))
    phases = []

    def phase(name, jobs, legal=False, exact=True, **options):
        if exact:
            options["cycles"] = golden.cycles(jobs, config)
        # Of operands that are kept, a whole panel goes into the tile before anything moves outside.
        options["silent"] = max(job.steps for job in jobs) * config.operands[0].steps
        phases.append(Phase(name, **script.items(jobs, legal, "cut" in options), **options))

    # Legal operands alone first, for which the flag of illegal pairs must stay low.
    for steps in sorted({1, 2, max(whole - 1, 1), whole, min(2 * whole + 3, depth)}):
        panels = min(2, depth // steps)
        phase(f"panels of {steps}", [Job(steps, panels, panels)], legal=True, reset=True)
        phase(f"panels of {steps}, kept", [Job(steps, panels, panels, False, False)])
    phases.append(script.measured())
    runs = -(-60 * (golden.latency(config) + rows) // (rows * three**2))
    phase("back to back", [Job(whole, three, three, not run, not run) for run in range(runs)], legal=True, reset=True)
    busy = phases[-1]
    for name, loads in (("A", (False, True)), ("W", (True, False))):
        phase(f"{name} is kept", [Job(whole, two, three)] + [Job(whole, two, three, *loads)] * 4, reset=True)
    # A reset leaves the memories as they are.
    lengths = range(min(20, whole * two), 0, -1)
    phase("kept as other panels", [Job(steps, 1, 1, False, False) for steps in lengths], reset=True)
    phase("single transfers", [Job(1, 1, 1, *loads) for loads in _LOADS * 5], reset=True)
    for name in "aw":
        phase(f"the memory of {name} full", _full(name, config))
    for names in ("a", "w", "aw"):
        phase(f"overrun of {names}", _overrun(names, config), reset=True)
    for (source, sink), count in zip(STALL_PAIRS, shares(bench.vectors, len(STALL_PAIRS)), strict=True):
        cut = int(rng.integers(1, 40 * rows))
        phase("left by a reset", script.random(24 * rows), exact=False, sink="heavy", cut=cut, reset=True)
        drawn, name = script.random(max(count, 1)), f"random jobs, stalls {source} in, {sink} out"
        phase(name, drawn, exact=False, source=source, sink=sink, reset=True, vectors=count)

    flag = "illegal" if config.operands[0].pairs else "overrun"
    inputs = {"job": describing(config.job_layout), "a": describing(config.a_transfer)}
    await bench.run(phases, describe=(inputs, describing(config.o_layout)), flag=flag)

    kinds = [any(holds(job, config) for job in script.done) for holds in _KINDS.values()]
    bench.cover("kinds of jobs", sum(kinds), len(kinds))
    if busy.taken:
        steps = runs * three**2 * whole * config.operands[0].steps
        share = steps / (busy.taken - whole * three)
        bench.figure("utilization", f"{share:.2%} of the multipliers' cycles, panels of {whole} transfers back to back")


def _full(name, config):
    """Jobs that fill one memory: one of as many panels as there are rows of results for, and one of the least."""
    own, other = (getattr(config, f"{side}_depth") for side in (name, "w" if name == "a" else "a"))
    side = f"{name}_panels"
    least = -(-own // other)
    most = max(least, min(own, 1 << (max(_MOST // config.rows, 1).bit_length() - 1)))
    return [Job(own // panels, **{"a_panels": 1, "w_panels": 1} | {side: panels}) for panels in (most, least)]


def _overrun(names, config):
    """Jobs whose panels do not fit into the memories of the operands that are named, and one that fits."""
    depths = {name: getattr(config, f"{name}_depth") for name in "aw"}
    jobs = []
    longest, least = max(depths.values()), min(depths.values())
    if len(names) == 2:
        jobs.append(Job(longest, 2, 2))
    else:
        for steps in {least, max(least - 1, 1)}:
            panels = depths[names] // steps + 1
            if panels <= depths[names]:
                jobs.append(Job(steps, **{"a_panels": 1, "w_panels": 1} | {f"{names}_panels": panels}))
        if depths[names] < longest:
            # A single panel that is longer than the memory.
            jobs.append(Job(longest, 1, 1))
    again = jobs[-1]
    return [*jobs, Job(again.steps, again.a_panels, again.w_panels, False, False), Job(1, 1, 1)]


class _Script:
    """What goes in and what must come out of jobs, in the order in which they are asked for.

    Attributes
    ----------
    done : list of Job
        Those that are run to their ends.
    """

    def __init__(self, config, rng):
        self.config, self.rng, self.done = config, rng, []
        self._model = golden.Model(config)
        self._words = {}
        for name, operand in zip("aw", config.operands, strict=True):
            if operand.pairs:
                words = np.arange(1 << operand.lane_bits)
                codes = words.astype(f"<u{operand.lane_bits // 8}").view(np.uint8)
                illegal = ovp.illegal(codes.reshape(len(words), -1), operand.pairs)[:, 0]
            else:
                low, high = operand.limits
                words = np.r_[: high + 1, low:0]
                illegal = np.zeros(len(words), bool)
            self._words[name] = words, words[~illegal]

    def items(self, jobs, legal, cut):
        """Fields of a `Phase`."""
        config, sent, loads = self.config, {"a": [], "w": []}, {"a": 0, "w": 0}
        outputs, after, flags, offending = Collected(config.o_layout), [], [], []
        last = np.arange(config.rows) == config.rows - 1
        for index, job in enumerate(jobs):
            lanes = {name: self._draw(name, job, legal) for name in "aw" if getattr(job, f"load_{name}")}
            for name, drawn in lanes.items():
                sent[name].append(drawn)
                loads[name] += len(drawn)
            result = self._model.run(job, **lanes)
            flagged = result.illegal
            if not config.operands[0].pairs:
                # Found before the last of its panels have gone into the tile.
                flagged = np.zeros_like(result.illegal)
                flagged[-1, -1] = result.overrun
            offending += [index] * bool(flagged.any())
            rows = (lanes.reshape(-1, config.cols) for lanes in (result.product, result.overflow))
            outputs.add(**result_fields(config, *rows, np.tile(last, result.illegal.size)))
            flags += np.repeat(flagged.reshape(-1), config.rows).tolist()
            after += [index] * (len(outputs) - len(after))
        if not cut:
            self.done += jobs
        told = [golden.job_values(job, config) for job in jobs]
        fields = {name: [values[name] for values in told] for name in golden.job_fields(config)}
        inputs = {"job": packed(config.job_layout, **fields)}
        for name, drawn in sent.items():
            if drawn:
                inputs[name] = packed(getattr(config, f"{name}_transfer"), lanes=np.concatenate(drawn))
        result = {"inputs": inputs, "outputs": outputs.payloads(), "after": after, "flags": flags}
        return result | {"offending": {"job": offending[0]} if offending else {}}

    def measured(self):
        """A phase whose latencies are from the last activation on, whose intervals are those of activations."""
        job = Job(1, min(self.config.a_depth, 4), 1)
        items = self.items([job], True, False)
        inputs = items["inputs"]
        times = np.array(golden.first_results([job], self.config)[0])
        # The job is taken in cycle 0, the last activation in the cycle of its count.
        delay = (times - job.a_transfers - golden.latency(self.config))[:, None] + np.arange(self.config.rows)
        items["inputs"] = {name: inputs[name] for name in ("a", "job", "w")}
        items["after"] = [job.a_transfers - 1] * len(items["outputs"])
        return Phase("measured", **items, delay=delay.reshape(-1), measured=True, reset=True)

    def random(self, count):
        """Jobs of `count` rows of results and few more, which read nothing that they did not load themselves."""
        config, rng = self.config, self.rng
        depths = {name: getattr(config, f"{name}_depth") for name in "aw"}
        known, jobs, given = {"a": 0, "w": 0}, [], 0
        longest = min(4 * config.rows, *depths.values())
        while given < count:
            steps = int(rng.choice([1, min(2, longest), rng.integers(1, longest + 1)]))
            fields = {}
            for name, depth in depths.items():
                # One panel more than there is room for, where memories are so small.
                most = min(4, depth // steps + 1, depth)
                panels = int(rng.integers(1, most + 1))
                used = min(steps * panels, depth)
                load = bool(used > known[name] or rng.random() < 1 / 2)
                known[name] = max(known[name], used)
                fields |= {f"{name}_panels": panels, f"load_{name}": load}
            jobs.append(Job(steps, **fields))
            given += config.rows * fields["a_panels"] * fields["w_panels"]
        return jobs

    def _draw(self, name, job, legal):
        """Words for one operand: any, or mostly the extremes, or mostly zeros."""
        words = self._words[name][legal]
        lanes = self.config.rows if name == "a" else self.config.cols
        shape = getattr(job, f"{name}_transfers"), lanes
        drawn = self.rng.choice(words, shape)
        middle = len(words) // 2
        often = [None, 0, words[middle], words[middle - 1]][self.rng.integers(4)]
        return drawn if often is None else np.where(self.rng.random(shape) < 3 / 4, often, drawn)
