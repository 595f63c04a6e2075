"""Bench of the LayerNorm unit: rows of every short length and of the longest, extremes, stalls, exact cycles."""

import numpy as np

from ...golden.gqa_lut import fine_root, pwl
from ...golden.gqa_lut import layernorm_unit as golden
from ...golden.gqa_lut.integer_ops import layernorm
from ..bench import Failure, Phase
from ..stream import describing
from .rows import payloads, phases_of_rows, tried

__all__ = ["unit"]


async def unit(bench):
    """Rows of all kinds; the cycles of rows of equal and of mixed lengths; rows too long; resets and stalls."""
    if bench.codes is not None:
        raise Failure("the unit takes elements of rows, no packed codes")
    config = bench.config
    longest = config.max_length
    seen = set()
    model = {name: getattr(config, name) for name in ("epsilon", "table", "input_bits", "output_bits", "fine")}

    def phase(name, rows, marked=None, **options):
        if options.pop("exact", False):
            options["cycles"] = golden.cycles(config, [len(row) for row in rows])
        outputs, after, delay, begin = [], [], [], 0
        for row in rows:
            outputs.append(layernorm(row, config.out_shift, **model))
            begin += len(row)
            after += [begin - 1] * len(row)
            delay += range(len(row))
            if options.get("cut") is None:
                seen.add(len(row))
        return Phase(
            name,
            inputs=payloads(config.in_layout, marked, element=rows),
            outputs=payloads(config.out_layout, element=outputs),
            after=after,
            delay=delay,
            **{"flags": [False] * len(after), **options},
        )

    phases = phases_of_rows(bench, longest, phase, ones=30, bits=config.input_bits)
    if config.fine and longest > 1:
        phases.append(phase("both ends of the segments of 1/sqrt(x)", _segments(config), silent=2 * longest))
    await bench.run(phases, describe=(describing(config.in_layout), describing(config.out_layout)), flag="error")
    bench.cover("lengths", len(tried(longest) & seen), len(tried(longest)))


def _segments(config):
    """Rows of two whose spreads are at both ends of each segment of 1/sqrt(x) that such rows can reach."""
    distance = np.arange(1 << config.input_bits)
    spread = distance**2 + config.epsilon
    place = 2 * (pwl.floor_log2(spread) >> 1) - (fine_root.CODE_BITS - 2)
    code = spread >> np.maximum(place, 0) << np.maximum(-place, 0)
    order = np.argsort(code, kind="stable")
    segment = code[order] >> fine_root.SEGMENT_BITS
    begins = np.flatnonzero(np.diff(segment, prepend=-1))
    ends = np.r_[begins[1:] - 1, len(order) - 1]
    least = -1 << (config.input_bits - 1)
    return [np.array([d + least, least]) for d in distance[order[np.r_[begins, ends]]].tolist()]
