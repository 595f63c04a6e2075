"""What the HGQ tile's parts see in a matrix product (Hierarchical Group Quantization), cycle by cycle, for many runs.

For estimates of switching energy: stimuli of a dequantization unit and of a processing element without the tile around
them, for a reduction that never stalls.
"""

import numpy as np

from ...golden.sevedo import hgq
from ...golden.sevedo import hgq_tile as golden
from ...hdl.reduction.control import control_layout

__all__ = ["dot_fields", "operands", "unit_fields"]


def operands(config, rows, cols, k, seed=0):
    """Activations with one outlier channel in a hundred, eight times as large, and weights; both normal, quantized."""
    rng = np.random.default_rng(seed)
    outliers = np.where(rng.random(k) < 1 / 100, 8, 1)
    sides = rng.normal(size=(rows, k)) * outliers, rng.normal(size=(cols, k)) / 32
    coarse = config.coarse if config.scheme == "hgq" else config.fine
    return [hgq.quantize(side.astype(np.float16), coarse, config.fine, config.shift_width) for side in sides]


def dot_fields(config, x, w):
    """Ports of a `DotProduct` for each cycle: name to a list of (values of the runs, bits), the lowest field first.

    A run is one row with one column, columns fastest.
    """
    sides = {}
    for name, t, count, other in (("x", x, len(x.codes), len(w.codes)), ("w", w, len(w.codes), len(x.codes))):
        codes = t.codes.reshape(count, -1, config.fine).astype(np.int64)
        codes = np.repeat(codes, other, axis=0) if name == "x" else np.tile(codes, (other, 1, 1))
        sides[name] = np.abs(codes) + 8 * (codes < 0)
    for step in range(sides["x"].shape[1]):
        ports = {name: [(words, 4) for words in side[:, step].T] for name, side in sides.items()}
        yield {"en": [(np.ones(len(sides["x"])), 1)], **ports}


def unit_fields(config, x, w):
    """Ports of a `Unit` for each cycle, as of `dot_fields`, and where its results are.

    A run is one column; with `flat`, whose units have one lane, one row with one column, columns fastest.

    Returns
    -------
    list of dict
        From one cycle before the first dot product on.
    list of (int, int)
        For each row the cycle in which its result is there, and the number of the first run that has it.
    """
    whole = 1 if config.scheme == "flat" else config.groups
    lanes, rows, cols = config.unit_lanes, len(x.codes), len(w.codes)
    steps = x.shifts.shape[1]
    integers = [t.codes.reshape(len(t.codes), steps, config.fine).astype(np.int64) for t in (x, w)]
    dots = np.einsum("rsf,csf->rsc", *integers)
    scales = [t.scales.view(np.uint16).astype(np.int64) for t in (x, w)]
    delay = 0 if config.scheme == "flat" else whole
    late = config.schedule.term + config.schedule.adder
    last = steps + delay + late + 1

    def per_run(rows_cols):
        """Values of the lanes' rows, shape (rows, cols), for each lane of each run."""
        return rows_cols.reshape(1, -1) if config.scheme == "flat" else rows_cols

    def token(turn):
        at = turn - delay
        valid = 0 <= at < steps and (config.scheme == "flat" or at % whole < lanes)
        return {"valid": valid, "first": at // whole == 0, "last": 0, "index": at % whole if valid and lanes > 1 else 0}

    cycles = []
    for now in range(-1, last):
        step, ahead, group = min(max(now, 0), steps - 1), min(now + 1, steps - 1), (now - delay) // whole
        group = min(max(group, 0), scales[0].shape[1] - 1)
        control = {"step": 0 <= now < steps, "fresh": now % whole == 0, "ended": now % whole == whole - 1}
        control |= {"turn": token(now), "add": token(now - config.schedule.term), "write": token(now - late)}
        layout = control_layout(config.schedule)
        word = layout.const(control).as_value().value
        runs = cols if config.scheme == "hgq" else rows * cols
        shared = np.repeat(scales[0][:, group, None], cols, axis=1)
        turn = token(now)["index"]
        one = np.ones(runs, np.int64)
        ports = {}
        if config.shift_width:
            ports = {
                "x_shifts": [(x.shifts[row, ahead] * one, config.shift_width) for row in range(lanes)],
                "w_shift": [(w.shifts[:, ahead], config.shift_width)],
            }
        cycles.append(
            {
                **ports,
                "en": [(one, 1)],
                "control": [(word * one, layout.size)],
                "dots": [(values, golden.dot_bits(config)) for values in per_run(dots[:, step])],
                "x_scale": [(per_run(shared)[turn], 16)],
                "w_scale": [(np.resize(scales[1][:, group], runs), 16)],
            }
        )
    # The first cycle is one before the first dot product.
    turns = [steps - whole + delay + (row if lanes > 1 else 0) for row in range(rows)]
    return cycles, [(1 + turn + late, 0 if lanes > 1 else row * cols) for row, turn in enumerate(turns)]
