"""What the benches of the reduction tiles share: reductions of every length and kind, and their phases."""

import numpy as np

from .bench import Failure, Phase, shares
from .stream import STALL_PAIRS, Collected, describing

__all__ = ["Draw", "items", "run", "run_tile"]

_SHORT = 512  # transfers of results of reductions of one transfer

_BUSY = 0.99  # of the cycles back to back, in which a transfer must be taken


class Draw:
    """Random reductions. A core's own class makes one of some transfers and a kind: `make`.

    Parameters
    ----------
    kinds : sequence of str
        Kinds of operands.
    whole : int
        Transfers of a block.
    rng : numpy.random.Generator

    Attributes
    ----------
    often : dict of str to int
        Kinds of which more than one long reduction is drawn for their phase, and how many.
    """

    def __init__(self, kinds, whole, rng):
        self.kinds, self.whole, self.rng, self.often = kinds, whole, rng, {}

    def steps(self):
        """Some number of transfers: around a block, so many that sums can cancel, or anything up to six blocks."""
        whole, rng = self.whole, self.rng
        return max(1, int(rng.choice([1, whole - 1, whole, whole + 1, 2 * whole, 3 * whole, rng.integers(6 * whole)])))

    def __call__(self, steps, kind=None):
        """A reduction of that many transfers; of any kind by default."""
        return self.make(steps, kind or str(self.rng.choice(self.kinds)))


def _lengths(whole):
    """Transfers of reductions whose cycles are worth a look."""
    return sorted({1, 2, max(whole - 1, 1), whole, whole + 1, 3 * whole})


def items(reductions, layouts, make, results):
    """What goes in and what must come out of reductions, as fields of a `Phase`.

    Parameters
    ----------
    reductions : list of Reduction
    layouts : dict of str to ShapeLike
        Of the payloads of each input stream, the leading one first, and of the stream `o`.
    make : callable
        From a reduction to the fields of its transfers: dict of stream to dict.
    results : callable
        From a reduction to the fields of its results.
    """
    streams, after, delay = {name: Collected(layout) for name, layout in layouts.items()}, [], []
    outputs, leading = streams.pop("o"), next(iter(layouts))
    for reduction in reductions:
        for name, fields in make(reduction).items():
            streams[name].add(**fields)
        before = len(outputs)
        outputs.add(**results(reduction))
        count = len(outputs) - before
        after += [len(streams[leading]) - 1] * count
        delay += range(count)
    inputs = {name: sent.payloads() for name, sent in streams.items()}
    return {"inputs": inputs, "outputs": outputs.payloads(), "after": after, "delay": delay}


async def run(bench, draw, fields, steady, describe):
    """Reductions of every length and kind: alone, back to back, after resets and under stalls.

    Where nothing stalls, cycles, latency and interval must be those of the core's `schedule`.

    Parameters
    ----------
    bench : Bench
    draw : Draw
    fields : callable
        From reductions to fields of a `Phase`.
    steady : int
        Transfers of a reduction that never waits for the one before it.
    describe : pair of callable
        As of `Bench.run`.

    Returns
    -------
    list of Reduction
        All that were sent.
    """
    if bench.codes is not None:
        raise Failure("the core takes streams of dot products or groups, no packed codes")
    schedule, rng, whole = bench.config.schedule, bench.rng, draw.whole
    sent, phases = [], []

    def phase(name, reductions, **options):
        if options.get("cut") is None:
            sent.extend(reductions)
        return Phase(name, **fields(reductions), **options)

    for kind in draw.kinds:
        lengths = (1, 2 * whole, *[5 * whole + 1] * draw.often.get(kind, 1))
        phases.append(phase(kind, [draw(steps, kind) for steps in lengths]))
    for steps in _lengths(whole):
        drawn = [draw(steps) for _ in range(3)]
        name = f"reductions of {steps} transfers"
        phases.append(phase(name, drawn, reset=True, cycles=schedule.cycles([steps] * len(drawn))))
    mixed = [draw.steps() for _ in range(12)]
    phases.append(phase("mixed lengths", [draw(steps) for steps in mixed], reset=True, cycles=schedule.cycles(mixed)))
    # More results than there is room for between the core and a host that takes them late
    # (`fpga.link.core.FIFO_BYTES`), and few operands for each. Drawing takes longer than all else.
    short = [draw(1) for _ in range(32)]
    times = -(-_SHORT // len(fields(short)["outputs"]))
    phases.append(phase("short reductions", short * times, sink="heavy"))
    # So long that the way in and out is less than a hundredth of it.
    count = -(-100 * (schedule.latency + 2 * steady) // steady)
    smooth = schedule.block is None or schedule.immediate or schedule.spacing <= schedule.block
    busy = phase("back to back", [draw(steady) for _ in range(count)], reset=True, measured=smooth)
    phases.append(busy)
    if not smooth:
        # Blocks wait for each other, the first one does not.
        phases.append(phase("measured", [draw(whole)], reset=True, measured=True))
    for (source, sink), count in zip(STALL_PAIRS, shares(bench.vectors, len(STALL_PAIRS)), strict=True):
        left = [draw(draw.steps()) for _ in range(8)]
        cut = int(rng.integers(1, 8 * whole + 20))
        phases.append(phase("left by a reset", left, sink="heavy", cut=cut, reset=True))
        # A profile without a share of the vectors has a reduction, too.
        drawn = [draw(draw.steps()) for _ in range(max(1, -(-count // len(fields([left[0]])["outputs"]))))]
        name = f"random reductions, stalls {source} in, {sink} out"
        phases.append(phase(name, drawn, source=source, sink=sink, reset=True, vectors=count))

    await bench.run(phases, describe=describe)

    bench.cover("kinds of operands", len({reduction.kind for reduction in sent}), len(draw.kinds))
    if busy.taken:
        share = len(busy.inputs[busy.leading]) / busy.taken
        if smooth and share < _BUSY:
            bench.mismatch("utilization", 0, f"{_BUSY:.0%} or more", f"{share:.2%}")
        bench.figure("utilization", f"{share:.2%} of the cycles take operands, reductions of {steady} back to back")
    return sent


async def run_tile(bench, draw, parts, steady):
    """`run` for a tile of `hdl.reduction.tile`.

    Parameters
    ----------
    bench : Bench
    draw : Draw
    parts : callable
        From a reduction to the fields of its groups, for each side: dict of "x" and "w" to dict of name to array, a
        row a transfer.
    steady : int
        As of `run`.

    Returns
    -------
    list of Reduction
        All that were sent.
    """
    config, rng = bench.config, bench.rng
    layouts = {"x": config.x_layout, "w": config.w_layout, "o": config.o_layout}

    def transfers(reduction):
        inputs = {}
        # Either stream may end the reduction.
        either = int(rng.integers(3))
        for number, (name, groups) in enumerate(parts(reduction).items()):
            ends = (np.arange(reduction.steps) == reduction.steps - 1) & (either != number)
            inputs[name] = {**{f"groups.{field}": values for field, values in groups.items()}, "last": ends}
        return inputs

    def results(reduction):
        rows = reduction.results.view(np.uint32).reshape(config.schedule.results, config.o_rows, config.cols)
        return {"values": rows, "last": np.arange(len(rows)) == len(rows) - 1}

    return await run(
        bench,
        draw,
        lambda reductions: items(reductions, layouts, transfers, results),
        steady,
        (describing(config.x_layout, "groups.scale"), describing(config.o_layout, "values")),
    )
