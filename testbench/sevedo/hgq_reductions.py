"""What the benches of the HGQ dequantizer and of the HGQ tile share: reductions of every kind, and their phases."""

import numpy as np

from ...golden.sevedo import hgq
from ...golden.sevedo.hgq_tile import spacing
from ..bench import Failure, Phase, shares
from ..stream import STALL_PAIRS, Collected

__all__ = ["KINDS", "Draw", "Reduction", "items", "run"]

#: Stalls of the producers and of the consumer in the random phases.

_SHORT = 512  # transfers of results of reductions of one fine group

_BUSY = 0.99  # of the cycles back to back, in which a transfer must be taken

#: Kinds of operands: any legal codes; all of one sign and the largest; few that are not zero; coarse groups that take
#: back an earlier one; that take back the one before but for some of its bits, few or many; integers with as many bits
#: that count as there can be; products that lie halfway between two FP32 numbers; quantized numbers with outliers.
KINDS = ("any", "extreme", "zeros", "cancelling", "near", "wide", "ties", "numbers")

_NORMAL = range(0x0400, 0x7C00)  # codes of positive normal FP16 numbers
_ENDS = (0x0400, 0x7BFF)


class Reduction:
    """Operands of one reduction, and its results.

    Attributes
    ----------
    kind : str
    x, w : HgqTensor, shapes (rows, K), (cols, K)
    steps : int
        Fine groups along K.
    results : ndarray of float32, shape (rows, cols)
    """

    def __init__(self, config, kind, x, w):
        self.config, self.kind, self.x, self.w = config, kind, x, w
        self.steps = -(-x.k // config.fine)
        self.results = hgq.matmul(x, w)

    def groups(self, t, rng):
        """Codes, shape (count, steps, fine), shifts and scales' codes, shapes (count, steps), of a tensor.

        Scales that do not count are any.
        """
        count, fine, steps = len(t.codes), self.config.fine, self.steps
        padding = max(steps * fine - t.codes.shape[1], 0)
        codes = np.pad(t.codes, ((0, 0), (0, padding)))[:, : steps * fine].reshape(count, steps, fine)
        shifts = np.zeros((count, steps), np.int64)
        if self.config.shift_width:
            shifts[:] = t.shifts[:, :steps]
        whole = {"hgq": self.config.groups, "flat": 1, "channel": steps}[self.config.scheme]
        group = np.arange(steps) // whole
        ends = np.append(group[1:] != group[:-1], True)
        scales = np.where(ends, t.scales.view(np.uint16)[:, group], rng.integers(0, 1 << 16, (count, steps)))
        return codes, shifts, scales

    def ties(self):
        """Roundings of scaled integers that are halfway, down and up: two numbers."""
        x, w = (_integers(t) for t in (self.x, self.w))
        integers = np.abs(np.einsum("mck,nck->mnc", x, w))
        scales = [(t.scales.view(np.uint16).astype(np.int64) & 1023) + 1024 for t in (self.x, self.w)]
        products = integers * scales[0][:, None] * scales[1][None, :]
        below = np.maximum(np.frexp(products.astype(np.float64))[1] - 24, 0)
        halfway = (below > 0) & (products & ((1 << below) - 1) == (1 << below) >> 1)
        odd = (products >> below) & 1 == 1
        return np.array([(halfway & ~odd).sum(), (halfway & odd).sum()])


def _integers(t):
    """Codes with their shifts, int64, shape (count, coarse groups, coarse)."""
    shifts = np.repeat(t.shifts.astype(np.int64), t.fine, axis=-1)
    return (t.codes.astype(np.int64) << shifts).reshape(len(t.codes), -1, t.coarse)


class Draw:
    """Random reductions.

    Parameters
    ----------
    config : DequantizerConfig
    rows, cols : int
    rng : numpy.random.Generator
    """

    def __init__(self, config, rows, cols, rng):
        self.config, self.rows, self.cols, self.rng = config, rows, cols, rng

    def steps(self):
        """Some number of fine groups: around the coarse group, so many that sums can cancel, or anything up to six."""
        whole, rng = self.config.groups, self.rng
        return max(1, int(rng.choice([1, whole - 1, whole, whole + 1, 2 * whole, 3 * whole, rng.integers(6 * whole)])))

    def __call__(self, steps, kind=None):
        """A reduction of that many fine groups, the last one not always whole; of any kind by default."""
        config, rng = self.config, self.rng
        kind = kind or str(rng.choice(KINDS))
        k = steps * config.fine - int(rng.integers(config.fine))
        if kind == "numbers":
            return Reduction(config, kind, *(self._quantized(count, k) for count in (self.rows, self.cols)))
        x, w = (self._codes(kind, count, k) for count in (self.rows, self.cols))
        if kind == "cancelling" and config.scheme != "channel":
            self._cancel(x, w)
        if kind == "near" and config.scheme != "channel":
            self._near(x, w)
        return Reduction(config, kind, x, w)

    def _sizes(self, k):
        """Coarse and fine group of the golden model's tensors."""
        if self.config.scheme == "channel":
            return k, k
        return (self.config.coarse if self.config.scheme == "hgq" else self.config.fine), self.config.fine

    def _quantized(self, count, k):
        x = self.rng.normal(size=(count, k)) * 2.0 ** self.rng.integers(-4, 6, (1, k))
        return hgq.quantize(x.astype(np.float16), *self._sizes(k), shift_bits=self.config.shift_width)

    def _codes(self, kind, count, k):
        rng, (coarse, fine) = self.rng, self._sizes(k)
        groups, top = -(-k // coarse), (1 << self.config.shift_width) - 1
        codes = rng.integers(-7, 8, (count, groups * coarse)).astype(np.int8)
        shifts = rng.integers(0, top + 1, (count, groups * (coarse // fine))).astype(np.uint8)
        scales = rng.integers(_NORMAL[0], _NORMAL[-1] + 1, (count, groups))
        if kind == "extreme":
            codes[:] = 7 * rng.choice([-1, 1], (count, 1))
            shifts[:] = top
            scales = rng.choice(_ENDS, (count, groups))
        elif kind == "zeros":
            codes[rng.random(codes.shape) < 31 / 32] = 0
        elif kind == "cancelling":
            # Large ones, and in every third group much smaller ones.
            scales[:] = 0x6000 | (scales[:, :1] & 0x1BFF)
            scales[:, 1::3] -= rng.integers(4, 13) << 10
        elif kind == "wide":
            # The first fine group is the largest one, and shifted as far as can be; the others not at all.
            codes.reshape(count, groups, -1, fine)[:, :, 0] = 7 * rng.choice([-1, 1], (count, 1, 1))
            shifts[:] = np.where(np.arange(shifts.shape[1]) % (coarse // fine), 0, top)
        elif kind == "ties":
            # Few bits, so that a product often has one more than FP32 holds.
            scales = (scales & 0x7C00) | (rng.integers(0, 32, scales.shape) << rng.integers(0, 6, scales.shape))
        codes[:, k:] = 0
        scales = scales.astype(np.uint16).view(np.float16)
        return hgq.HgqTensor(codes, shifts, scales, k, self.config.shift_width)

    def _cancel(self, x, w):
        """Every third coarse group takes back what was before a small one, of which a few bits are left then."""
        for group in range(2, x.scales.shape[1], 3):
            _take_back(x, w, group, group - 2)

    def _near(self, x, w):
        """Every second coarse group takes back the one before it, but for a code and some of the scales' bits."""
        rng = self.rng
        for group in range(1, x.scales.shape[1], 2):
            _take_back(x, w, group, group - 1)
            code = x.codes[:, group * x.coarse]
            code[:] = np.clip(code + rng.integers(-1, 2, code.shape), -7, 7)
            for t in (x, w):
                scales = t.scales.view(np.uint16)
                change = rng.integers(-1, 2, len(scales)) << rng.integers(0, 10, len(scales))
                scales[:, group] = np.clip(scales[:, group - 1] + change, *_ENDS)


def _take_back(x, w, group, earlier):
    """Make a coarse group's products those of an earlier one with the other sign."""
    whole, parts = x.coarse, x.coarse // x.fine
    here, first = (slice(g * whole, (g + 1) * whole) for g in (group, earlier))
    fine, above = (slice(g * parts, (g + 1) * parts) for g in (group, earlier))
    legal = min(whole, x.k - group * whole)
    x.codes[:, here][:, :legal] = -x.codes[:, first][:, :legal]
    w.codes[:, here][:, :legal] = w.codes[:, first][:, :legal]
    x.shifts[:, fine], w.shifts[:, fine] = x.shifts[:, above], w.shifts[:, above]


def _lengths(config):
    """Fine groups of reductions whose cycles are worth a look."""
    whole = config.groups
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


async def run(bench, draw, fields, cycles, steady, describe):
    """Reductions of every length and kind: alone, back to back, after resets and under stalls.

    Where nothing stalls, cycles, latency and interval must be those of the model.

    Parameters
    ----------
    bench : Bench
    draw : Draw
    fields : callable
        From reductions to fields of a `Phase`.
    cycles : callable
        From the fine groups of each of some reductions to the cycles they take.
    steady : int
        Fine groups of a reduction that never waits for the one before it.
    describe : pair of callable
        As of `Bench.run`.
    """
    if bench.codes is not None:
        raise Failure("the core takes streams of dot products or groups, no packed codes")
    config, rng = bench.config, bench.rng
    sent, phases = [], []

    def phase(name, reductions, **options):
        if options.get("cut") is None:
            sent.extend(reductions)
        return Phase(name, **fields(reductions), **options)

    for kind in KINDS:
        phases.append(phase(kind, [draw(steps, kind) for steps in (1, 2 * config.groups, 5 * config.groups + 1)]))
    for steps in _lengths(config):
        drawn = [draw(steps) for _ in range(3)]
        name = f"reductions of {steps} fine groups"
        phases.append(phase(name, drawn, reset=True, cycles=cycles([steps] * len(drawn))))
    mixed = [draw.steps() for _ in range(12)]
    phases.append(phase("mixed lengths", [draw(steps) for steps in mixed], reset=True, cycles=cycles(mixed)))
    # More results than there is room for between the core and a host that takes them late
    # (`fpga.link.core.FIFO_BYTES`), and few operands for each. Drawing takes longer than all else.
    short = [draw(1) for _ in range(32)]
    times = -(-_SHORT // len(fields(short)["outputs"]))
    phases.append(phase("short reductions", short * times, sink="heavy"))
    # So long that the way in and out is less than a hundredth of it.
    count = -(-100 * (bench.core.latency(config) + 2 * steady) // steady)
    smooth = spacing(config) <= config.groups or config.scheme != "hgq"
    busy = phase("back to back", [draw(steady) for _ in range(count)], reset=True, measured=smooth)
    phases.append(busy)
    if not smooth:
        # Coarse groups wait for each other, the first one does not.
        phases.append(phase("measured", [draw(config.groups)], reset=True, measured=True))
    for (source, sink), count in zip(STALL_PAIRS, shares(bench.vectors, len(STALL_PAIRS)), strict=True):
        left = [draw(draw.steps()) for _ in range(8)]
        cut = int(rng.integers(1, 8 * config.groups + 20))
        phases.append(phase("left by a reset", left, sink="heavy", cut=cut, reset=True))
        # A profile without a share of the vectors has a reduction, too.
        drawn = [draw(draw.steps()) for _ in range(max(1, -(-count // len(fields([left[0]])["outputs"]))))]
        name = f"random reductions, stalls {source} in, {sink} out"
        phases.append(phase(name, drawn, source=source, sink=sink, reset=True, vectors=count))

    await bench.run(phases, describe=describe)

    bench.cover("kinds of operands", len({reduction.kind for reduction in sent}), len(KINDS))
    ties = sum(reduction.ties() for reduction in sent)
    bench.cover("halfway products, to the even one below and above", (ties > 0).sum(), len(ties))
    if busy.taken:
        share = len(busy.inputs[busy.leading]) / busy.taken
        if smooth and share < _BUSY:
            bench.mismatch("utilization", 0, f"{_BUSY:.0%} or more", f"{share:.2%}")
        bench.figure("utilization", f"{share:.2%} of the cycles take operands, reductions of {steady} back to back")
