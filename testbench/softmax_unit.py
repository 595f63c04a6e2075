"""Bench of the softmax unit: rows of every short length and of the longest, extremes, masks, stalls, exact cycles."""

import numpy as np

from ..golden import softmax_unit as golden
from ..golden.integer_ops import softmax
from .bench import Failure, Phase, shares
from .rows import kinds, lengths, payloads
from .stream import TILE_PROFILES, signed

__all__ = ["unit"]

_SHORT = 12  # up to which every length is tried


async def unit(bench):
    """Rows of all kinds; the cycles of rows of equal and of mixed lengths; rows too long; resets and stalls."""
    if bench.codes is not None:
        raise Failure("the unit takes logits, no packed codes")
    config, rng = bench.config, bench.rng
    longest, bits = config.max_length, config.out_bits
    exponential, reciprocal = config.tables
    seen = set()

    def phase(name, rows, masks=None, **options):
        if options.pop("exact", False):
            options["cycles"] = golden.cycles(config, [len(row) for row in rows])
        if masks is None:
            masks = [rng.random(len(row)) < rng.choice([0, 0, 0.3, 0.9]) for row in rows]
        if not config.mask:
            masks = [np.zeros(len(row), bool) for row in rows]
        outputs, after, delay, begin = [], [], [], 0
        for row, masked in zip(rows, masks, strict=True):
            tables = {"table": exponential, "reciprocals": reciprocal}
            found = softmax(row, config.scale, bits, mask=~masked, **tables).tolist()
            found[-1] |= 1 << bits
            outputs += found
            begin += len(row)
            after += [begin - 1] * len(row)
            delay += range(len(row) - 1, 2 * len(row) - 1)
            if options.get("cut") is None:
                seen.add(len(row))
        fields = [(masks, 1)] if config.mask else []
        # A row that is as long as any can be is marked all the same, or counts as an error.
        marked = options.pop("marked", None)
        return Phase(
            name,
            inputs=payloads(rows, marked, fields),
            outputs=outputs,
            after=after,
            delay=delay,
            offending=options.pop("offending", {}),
            flags=options.pop("flags", [False] * len(outputs)),
            **options,
        )

    short = range(1, min(_SHORT, longest) + 1)
    phases = [phase(f"rows of {length}", [row for _ in range(2) for row in kinds(rng, length)]) for length in short]
    phases.append(phase(f"rows of {longest}", kinds(rng, longest)))
    if config.mask:
        rows = kinds(rng, min(5, longest))
        phases.append(phase("nothing but masked logits", rows, [np.ones(len(row), bool) for row in rows]))
        # The largest logit is masked, also as the first and the last one.
        rows = [rng.integers(-128, 100, min(5, longest)) for _ in range(20)]
        for index, row in enumerate(rows):
            row[index % len(row)] = 127
        phases.append(phase("the largest logit is masked", rows, [row == 127 for row in rows]))
    for length in sorted({min(length, longest) for length in (1, 2, 3, 7, longest)}):
        for count in (1, 6 if length < 100 else 3):
            rows = [rng.integers(-128, 128, length) for _ in range(count)]
            phases.append(phase(f"{count} rows of {length} back to back", rows, reset=True, exact=True))
    mixed = [*lengths(rng, min(longest, 60), 500), longest, *[1] * 14, *lengths(rng, min(longest, 40), 200)]
    rows = [rng.integers(-128, 128, length) for length in mixed]
    phases.append(phase("rows of any length", rows, reset=True, exact=True))
    length = min(longest, 9)
    rows = [rng.integers(-128, 128, length) for _ in range(12)]
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

    def describe_input(payload):
        return {"logit": signed(payload & 255, 8), "flags": payload >> 8}

    def describe_output(payload):
        return {"probability": payload & ((1 << bits) - 1), "last": payload >> bits}

    await bench.run(phases, describe=(describe_input, describe_output), flag="error")
    wanted = {*short, longest}
    bench.cover("lengths", len(wanted & seen), len(wanted))
