"""Bench of the LayerNorm unit: rows of every short length and of the longest, extremes, stalls, exact cycles."""

import numpy as np

from ..golden import layernorm_unit as golden
from ..golden.integer_ops import layernorm
from .bench import Failure, Phase, shares
from .rows import kinds, lengths, payloads
from .stream import TILE_PROFILES, signed

__all__ = ["unit"]

_SHORT = 12  # up to which every length is tried


async def unit(bench):
    """Rows of all kinds; the cycles of rows of equal and of mixed lengths; rows too long; resets and stalls."""
    if bench.codes is not None:
        raise Failure("the unit takes elements of rows, no packed codes")
    config, rng = bench.config, bench.rng
    longest = config.max_length
    seen = set()

    def phase(name, rows, marked=None, **options):
        if options.pop("exact", False):
            options["cycles"] = golden.cycles(config, [len(row) for row in rows])
        outputs, after, delay, begin = [], [], [], 0
        for row in rows:
            outputs.append(layernorm(row, config.out_shift, epsilon=config.epsilon, table=config.table))
            begin += len(row)
            after += [begin - 1] * len(row)
            delay += range(len(row))
            if options.get("cut") is None:
                seen.add(len(row))
        return Phase(
            name,
            inputs=payloads(rows, marked),
            outputs=payloads(outputs),
            after=after,
            delay=delay,
            **{"flags": [False] * len(after), **options},
        )

    short = range(1, min(_SHORT, longest) + 1)
    phases = [phase(f"rows of {length}", [row for _ in range(2) for row in kinds(rng, length)]) for length in short]
    phases.append(phase(f"rows of {longest}", kinds(rng, longest)))
    for length in sorted({min(length, longest) for length in (1, 2, 3, 7, longest)}):
        for count in (1, 6 if length < 100 else 3):
            rows = [rng.integers(-128, 128, length) for _ in range(count)]
            phases.append(phase(f"{count} rows of {length} back to back", rows, reset=True, exact=True))
    mixed = [*lengths(rng, min(longest, 60), 500), longest, *[1] * 30, *lengths(rng, min(longest, 40), 200)]
    rows = [rng.integers(-128, 128, length) for length in mixed]
    phases.append(phase("rows of any length", rows, reset=True, exact=True))
    rows = [rng.integers(-128, 128, min(longest, 9)) for _ in range(12)]
    phases.append(phase("measured", rows, reset=True, measured=True))

    for count, (source, sink) in zip(shares(bench.vectors, len(TILE_PROFILES)), TILE_PROFILES, strict=True):
        cut = int(rng.integers(1, 6 * min(longest, 100)))
        rows = [rng.integers(-128, 128, length) for length in lengths(rng, longest, 600)]
        phases.append(phase("left by a reset", rows, sink="heavy", cut=cut, reset=True))
        rows = [rng.choice(np.array(kinds(rng, length))) for length in lengths(rng, longest, count)]
        name = f"random rows, stalls {source} in, {sink} out"
        phases.append(phase(name, rows, source=source, sink=sink, reset=True, vectors=count))

    # Two rows of the greatest length without a mark between them, or after the second one.
    rows = [rng.integers(-128, 128, length) for length in (longest, longest, min(3, longest))]
    flags = [True] * sum(map(len, rows))
    options = {"marked": [False, False, True], "offending": {"i": longest - 1}, "flags": flags, "reset": True}
    phases.append(phase("rows that are too long", rows, **options))

    def describe(payload):
        return {"element": signed(payload & 255, 8), "last": payload >> 8}

    await bench.run(phases, describe=(describe, describe), flag="error")
    wanted = {*short, longest}
    bench.cover("lengths", len(wanted & seen), len(wanted))
