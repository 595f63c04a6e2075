"""Bench of the piecewise-linear unit: every code with every shipped table at every scale, reloads, stalls."""

import dataclasses

import numpy as np

from ...golden.gqa_lut import pwl
from ...golden.gqa_lut import pwl_unit as golden
from ...golden.gqa_lut.pwl_functions import FUNCTIONS
from ..bench import Failure, Phase, shares
from ..stream import STALL_PAIRS, describing, packed

__all__ = ["unit"]

_MANY = 256  # codes of a phase that is not exhaustive


async def unit(bench):
    """Run the phases of the configuration's kind."""
    if bench.codes is not None:
        raise Failure("the unit takes codes and words of tables, no packed codes")
    config = bench.config
    if config.wide:
        phases, covered = _wide(bench), None
    elif not config.loaded:
        phases, covered = _fixed(bench), None
    elif config.kind == "fp32":
        phases, covered = _float(bench), None
    else:
        phases, covered = _integer(bench)
    describe = describing(config.in_layout, "data"), describing(config.out_layout, "data")
    flag = "error" if config.loaded or config.wide else None
    await bench.run(phases, describe=describe, flag=flag)
    if covered is not None:
        bench.cover("codes, shipped tables and scales", *covered)


class _Traffic:
    """Words and codes in their order, and what comes out.

    Attributes
    ----------
    inputs, outputs : dict of str to list of int
        Fields of the payloads.
    after, flags : list
        Fields of a `Phase`.
    offending : dict
        The same.
    """

    def __init__(self, config):
        self._config = config
        self.inputs = {name: [] for name in config.in_layout.members}
        self.outputs = {name: [] for name in config.out_layout.members}
        self.after, self.flags, self.offending = [], [], {}

    def load(self, words, last=True):
        """Words of a table; `last` ends it."""
        shape = self._config.in_shape
        unsigned = np.array(words, f"<u{shape.width // 8}")
        self.inputs["data"] += (unsigned.view(f"<i{shape.width // 8}") if shape.signed else unsigned).tolist()
        self.inputs["load"] += [1] * len(words)
        self.inputs["last"] += [0] * (len(words) - 1) + [last] * bool(words)

    def feed(self, codes, outputs, bad=False, noise=0, ranges=0):
        """Codes; `bad` for those that set the flag, `noise` for what `last` of a code is, without effect.

        Parameters
        ----------
        codes, outputs : sequence of int
        bad : bool or sequence of bool
        noise : int
        ranges : sequence of int
            Of the outputs, where these have one.
        """
        taken, count = len(self.inputs["data"]), len(codes)
        bad = np.broadcast_to(bad, count).tolist()
        if any(bad):
            self.offending.setdefault("i", taken + bad.index(True))
        self.after += range(taken, taken + count)
        self.flags += bad
        for fields, drawn in (
            (self.inputs, {"data": codes, "load": 0, "last": noise}),
            (self.outputs, {"data": outputs, "range": ranges}),
        ):
            for name, values in fields.items():
                values += np.broadcast_to(np.asarray(drawn[name], np.int64), count).tolist()

    def phase(self, name, **options):
        """All of it."""
        return Phase(
            name,
            inputs=packed(self._config.in_layout, **self.inputs),
            outputs=packed(self._config.out_layout, **self.outputs),
            after=self.after,
            flags=self.flags,
            offending=self.offending,
            **options,
        )


def _codes(config, rng, table=None):
    """All codes of 8 bits; of more bits the extremes, those about the thresholds, and random ones."""
    if config.width == 8:
        codes = np.arange(256)
        return rng.permutation(codes if config.unsigned_codes else (codes ^ 128) - 128)
    low, high = -(1 << (config.width - 1)), (1 << (config.width - 1)) - 1
    near = [t + d for t in (table.thresholds if table else ()) for d in (-1, 0, 1)]
    random = rng.integers(low, high, 60, endpoint=True) >> rng.integers(0, config.width - 1, 60)
    return rng.permutation(np.concatenate([np.clip(near, low, high), [low, high, -1, 0, 1], random]).astype(np.int64))


def _table(config, rng):
    """A random table; extremes now and then, equal thresholds too."""
    low, high = -1 << (config.width - 1), (1 << (config.width - 1)) - 1
    first, last = (0, 255) if config.unsigned_codes else (low, high)
    thresholds = np.sort(rng.integers(first, last, config.entries - 1, endpoint=True))
    if rng.random() < 1 / 4:
        thresholds[2:] = np.sort(np.r_[thresholds[2:4], np.full(config.entries - 5, last)])
    parts = []
    for _ in range(2):
        values = rng.integers(low, high, config.entries, endpoint=True)
        if config.width > 8:
            values >>= rng.integers(0, config.width - 1, config.entries)
        extreme = rng.random(config.entries) < 1 / 8
        parts.append(np.where(extreme, rng.choice([low, high], config.entries), values).tolist())
    return pwl.PwlTable(thresholds.tolist(), *parts, 6, config.negate_input, config.width)


def _drawn(config, rng):
    """A random table, scale and output shift; shifts that leave something more often than others."""
    table, s = _table(config, rng), int(rng.integers(config.width))
    most = 2 * config.width - 1
    shift = int(rng.integers(most + 1)) if rng.random() < 1 / 2 else int(min(most, config.width + rng.integers(-3, 4)))
    return table, s, shift - config.left


def _stalled(bench, phase):
    """Phases under every pair of stalls, some of them left by a reset; `phase(name, count, **options)` makes one."""
    phases = []
    for (source, sink), count in zip(STALL_PAIRS, shares(bench.vectors, len(STALL_PAIRS)), strict=True):
        cut = int(bench.rng.integers(1, 200))
        phases.append(phase("left by a reset", _MANY, sink="heavy", cut=cut, reset=True))
        name = f"random, stalls {source} in, {sink} out"
        phases.append(phase(name, max(count, 1), source=source, sink=sink, reset=True, vectors=count))
    return phases


class _Tables(_Traffic):
    """Traffic of a loaded integer unit, which takes a table with its scale and its output shift."""

    def __init__(self, bench):
        super().__init__(bench.config)
        self._config, self._rng = bench.config, bench.rng

    def load_table(self, table, s, shift):
        """All words of a table."""
        self.load(golden.words(self._config, table, s, shift))

    def feed_codes(self, table, s, shift, count=None):
        """All codes, or some of them, with what a table makes of them."""
        config, rng = self._config, self._rng
        codes = _codes(config, rng, table)
        codes = codes if count is None else rng.choice(codes, count)
        self.feed(codes, golden.outputs(codes, config, table, s, shift), noise=int(rng.integers(2)))


def _integer(bench):
    """Phases of a loaded integer unit, and the (covered, all) of codes with shipped tables."""
    config = bench.config
    traffic, codes = _Tables(bench), _codes(config, bench.rng)[:40]
    traffic.feed(codes, np.zeros(len(codes)), bad=True)
    phases, covered, total = [traffic.phase("no table")], 0, 0
    if config.width == 8:
        shipped, covered, total = _shipped(bench)
        phases += shipped
    phases += [_every_scale(bench), _random_tables(bench), *_no_tables(bench)]
    phases += [_measured(bench, "measured", _MANY, measured=True), _measured(bench, "one code", 1)]

    def stalled(name, count, **options):
        traffic, left = _Tables(bench), count
        while left > 0:
            drawn, taken = _drawn(config, bench.rng), min(left, int(bench.rng.integers(1, 80)))
            traffic.load_table(*drawn)
            traffic.feed_codes(*drawn, taken)
            left -= taken
        return traffic.phase(name, **options)

    phases += [*_stalled(bench, stalled), *_full(bench)]
    return phases, (covered, total) if total else None


def _shipped(bench):
    """Phases with every shipped table of as many entries, at every scale; codes that they cover, and all codes."""
    config, phases = bench.config, []
    covered = total = 0
    for name in (name for name in pwl.SHIPPED if name.endswith(f"-{config.entries}")):
        function, traffic = FUNCTIONS[name.rpartition("-")[0]], _Tables(bench)
        for s, table in pwl.shipped(name).items():
            total += 256
            # A unit for signed codes computes something with the tables for unsigned ones, and the other way round.
            last = 255 if config.unsigned_input else 127
            clipped = [min(max(t, 0 if config.unsigned_input else -128), last) for t in table.thresholds]
            table = dataclasses.replace(table, thresholds=clipped, negate_input=config.negate_input)
            so = min(8, s + function.fraction_bits + config.left) if function.negate_input else s
            shift = table.fraction_bits + s - so
            traffic.load_table(table, s, shift)
            traffic.feed_codes(table, s, shift)
            covered += 256
        phases.append(traffic.phase(f"{name}, every scale, every code", reset=True))
    return phases, covered, total


def _every_scale(bench):
    """A phase with every scale and every shift of a table."""
    config, rng = bench.config, bench.rng
    traffic, table = _Tables(bench), _table(config, rng)
    scales = [(s, shift) for s in range(config.width) for shift in range(2 * config.width)]
    if config.width > 8:
        scales = [scales[index] for index in rng.permutation(len(scales))[:150]]
    traffic.load_table(table, 0, 0)
    for s, shift in scales:
        # The last word alone changes the scales.
        traffic.load(golden.words(config, table, s, shift - config.left)[-1:])
        traffic.feed_codes(table, s, shift - config.left, 24)
    return traffic.phase("scales and shifts", reset=True)


def _random_tables(bench):
    """A phase with tables that follow each other."""
    traffic = _Tables(bench)
    for _ in range(30):
        drawn = _drawn(bench.config, bench.rng)
        traffic.load_table(*drawn)
        traffic.feed_codes(*drawn, 100 if bench.config.width == 8 else None)
    return traffic.phase("random tables", reset=True)


def _no_tables(bench):
    """Phases with words that make no table: scales and shifts out of range, an end that is missing."""
    config = bench.config
    half = config.width // 2
    table, s, shift = _drawn(config, bench.rng)
    words = golden.words(config, table, s, shift)
    bad = [[words[-1] >> half << half | wrong] for wrong in {config.width, (1 << half) - 1, 1 << (half - 1)}]
    phases = [_spoiled(bench, "scales out of range", [(part,) for part in bad])]
    if config.width > 8:
        bad = [[s | wrong << half] for wrong in (2 * config.width, (1 << half) - 1, 1 << (half - 1))]
        phases.append(_spoiled(bench, "shifts out of range", [(part,) for part in bad]))
    return [*phases, _spoiled(bench, "a table without an end", [(words[:1], False), (words[1:-1], False)])]


def _spoiled(bench, name, words):
    """A phase of codes after words that make no table, then a good one."""
    config, rng = bench.config, bench.rng
    traffic, drawn = _Tables(bench), _drawn(config, rng)
    traffic.load_table(*drawn)
    traffic.feed_codes(*drawn, count=9)
    for part in words:
        traffic.load(*part)
        codes = _codes(config, rng)[:9]
        traffic.feed(codes, np.zeros(len(codes)), bad=True)
    traffic.load_table(*drawn)
    traffic.feed_codes(*drawn)
    return traffic.phase(name, reset=True)


def _measured(bench, name, count, **options):
    """A phase whose cycles are known: a table, and so many codes."""
    traffic, drawn = _Tables(bench), _drawn(bench.config, bench.rng)
    traffic.load_table(*drawn)
    traffic.feed_codes(*drawn, count)
    cycles = 3 * bench.config.entries + count + bench.core.latency(bench.config)
    return traffic.phase(name, reset=True, cycles=cycles, **options)


def _full(bench):
    """Phases in which the output is blocked until nothing more goes in."""
    phases = []
    for source in ("eager", "sparse"):
        drawn, traffic = _drawn(bench.config, bench.rng), _Tables(bench)
        traffic.load_table(*drawn)
        traffic.feed_codes(*drawn, 30)
        phases.append(traffic.phase("before it is filled", reset=True))
        traffic = _Tables(bench)
        traffic.feed_codes(*drawn, 30)
        phases.append(traffic.phase(f"full, stalls {source} in", source=source, capacity=_capacity(bench)))
    return phases


def _capacity(bench):
    """Codes that a unit holds: one in each register, and one in the input's spare one."""
    return bench.core.latency(bench.config) + 1


def _fixed(bench):
    """Phases of a unit with a fixed table, and of a ROM."""
    config, rng = bench.config, bench.rng
    table, s = config.fixed
    if config.kind == "rom":
        contents = golden.exact(config)

        def outputs(codes):
            return contents[codes & 255]
    else:
        shift = table.fraction_bits + s - config.out_scale

        def outputs(codes):
            return golden.outputs(codes, config, table, s, shift)

    def phase(name, count=None, **options):
        traffic, codes = _Traffic(config), _codes(config, rng)
        codes = codes if count is None else rng.choice(codes, count)
        traffic.feed(codes, outputs(codes))
        return traffic.phase(name, **options)

    phases = [phase("every code"), phase("measured", reset=True, measured=True), *_stalled(bench, phase)]
    return phases + [
        phase(f"full, stalls {source} in", source=source, capacity=_capacity(bench), reset=True)
        for source in ("eager", "sparse")
    ]


def _wide(bench):
    """Phases of a unit with a wide input."""
    config, rng = bench.config, bench.rng
    table, _ = config.fixed
    step = pwl.MULTI_RANGES[config.function][2]

    def phase(name, numbers, **options):
        traffic = _Traffic(config)
        numbers = np.asarray(numbers, np.int64)
        sums, exponents = pwl.multi_range(numbers, table, config.function, config.fraction)
        ranges = (exponents - table.fraction_bits - 5) // step
        traffic.feed(numbers, sums, bad=numbers == 0, ranges=ranges)
        return traffic.phase(name, **options)

    def draw(count):
        return rng.integers(1, 1 << config.wide, count) >> rng.integers(0, config.wide, count)

    edges = [(1 << place) + d for place in range(config.wide) for d in (-1, 0, 1)]
    edges = [number for number in edges if 0 < number < 1 << config.wide]
    small = np.arange(1, 1 << min(config.wide, 11))

    def random(name, count, **options):
        numbers = draw(count)
        numbers[count // 2 :] *= rng.random(count - count // 2) > 1 / 40
        return phase(name, numbers, **options)

    phases = [
        phase("about the powers of two", edges),
        phase("small numbers", small),
        phase("large numbers", (1 << config.wide) - small),
        phase("measured", np.maximum(draw(_MANY), 1), reset=True, measured=True),
        phase("zero", [5, 0, 7, 0], reset=True),
        *_stalled(bench, random),
    ]
    return phases + [
        phase(
            f"full, stalls {source} in", np.maximum(draw(20), 1), source=source, capacity=_capacity(bench), reset=True
        )
        for source in ("eager", "sparse")
    ]


def _float(bench):
    """Phases of an FP32 unit."""
    config, rng = bench.config, bench.rng
    n = config.entries

    def numbers(count, widest):
        """Random numbers, zeros among them."""
        values = rng.normal(size=count) * np.exp2(rng.integers(-widest, widest, count))
        return np.where(rng.random(count) < 1 / 16, rng.choice([0.0, -0.0], count), values).astype(np.float32)

    def any_codes(count):
        """Any codes, special ones and subnormals more often."""
        codes = rng.integers(0, 1 << 32, count).astype(np.uint32)
        kinds = [0, 1 << 31, 0x7F800000, 0xFF800000, 0x7FC00001, 1, 0x807FFFFF, 0x00800000, 0x7F7FFFFF, 0x3F800000]
        chosen = rng.choice(np.array(kinds, np.uint32), count)
        # Subnormal numbers with their leading one anywhere.
        small = (rng.integers(0, 1 << 23, count) >> rng.integers(0, 23, count)) | (codes & (1 << 31))
        kind = rng.integers(4, size=count)
        return np.select([kind == 0, kind == 1], [chosen, small], codes).astype(np.uint32).view(np.float32)

    def draw(special):
        points = numbers(n - 1, 20)
        if special:
            points = any_codes(n - 1)
            points = np.where(np.isnan(points), np.float32(1), points)
        slopes, intercepts = (any_codes(n) if special else numbers(n, 20) for _ in range(2))
        return np.sort(points), slopes, intercepts

    def inputs(table, count, special):
        points, slopes, intercepts = table
        with np.errstate(all="ignore"):
            near = np.nextafter(points, rng.choice(np.array([-1e30, 1e30], np.float32), n - 1)).astype(np.float32)
            # Where the sum is about zero.
            roots = (-intercepts.astype(np.float64) / slopes).astype(np.float32)
        pool = np.concatenate([points, near, roots, any_codes(40) if special else numbers(40, 20)])
        x = rng.choice(pool, count)
        if special:
            return x
        normal = np.isfinite(x) & ((np.abs(x) > 2.0**-40) & (np.abs(x) < 2.0**40) | (x == 0))
        return np.where(normal, x, np.float32(1.5))

    def load(traffic, table):
        traffic.load(golden.float_words(*table))

    def feed(traffic, table, count, special=False):
        x = inputs(table, count, special)
        traffic.feed(x.view(np.uint32), golden.floats(x, *table), noise=int(rng.integers(2)))

    def phase(name, count, special=False, most=80, **options):
        traffic, left = _Traffic(config), count
        while left > 0:
            table, taken = draw(special), min(left, int(rng.integers(1, most)))
            load(traffic, table)
            feed(traffic, table, taken, special)
            left -= taken
        return traffic.phase(name, **options)

    traffic, codes = _Traffic(config), numbers(40, 20).view(np.uint32)
    traffic.feed(codes, np.zeros(len(codes)), bad=True)
    phases = [traffic.phase("no table")]
    traffic, table = _Traffic(config), draw(False)
    load(traffic, table)
    feed(traffic, table, _MANY)
    cycles = 3 * n - 1 + _MANY + bench.core.latency(config)
    phases.append(traffic.phase("measured", reset=True, measured=True, cycles=cycles))
    traffic = _Traffic(config)
    feed(traffic, table, 40)
    phases.append(traffic.phase("full", capacity=_capacity(bench)))
    phases.append(phase("random tables", 2000))
    if config.specials:
        phases.append(phase("any codes", 4000, special=True, reset=True))

    def stalled(name, count, **options):
        return phase(name, count, config.specials, **options)

    return phases + _stalled(bench, stalled)
