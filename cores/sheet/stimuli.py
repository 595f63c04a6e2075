"""What goes into each core for its timing diagram: a few transfers of its small configuration.

Values do not matter for the timing, so that they are drawn from a fixed seed; lengths, counts and marks are those of
whole pieces of work. A stream is a list of dicts, a dict a transfer, with the fields that must have certain values.
"""

import math
import random

import numpy as np

from ...hdl.stream import codec
from ..interface import layouts

__all__ = ["STIMULI", "payloads"]

_ONE = 0x3C00  # 1.0 in FP16


def payloads(name, component, config):
    """Payloads of a core's input streams, and values of its other inputs.

    Parameters
    ----------
    name : str
        Of the core.
    component : wiring.Component
        The core in its small configuration, without a wrapper.
    config : Config
        That configuration.

    Returns
    -------
    dict of str to list of int, dict of str to int
    """
    transfers, settings = STIMULI[name](config)
    rng = random.Random(7)
    shapes = {key: shape for key, shape in layouts(component).items() if key in transfers}
    return {key: [_packed(shape, values, rng) for values in transfers[key]] for key, shape in shapes.items()}, settings


def _packed(shape, given, rng):
    """A payload: fields that are given by the last part of their names, the others at random."""
    values, unknown = {}, dict(given)
    for key, field in codec.named(shape).items():
        value = unknown.pop(key.rpartition(".")[2], None)
        values[key] = _drawn(field, rng) if value is None else value
    if unknown:
        raise ValueError(f"the payload has no field {', '.join(unknown)}")
    (payload,) = codec.to_integers(codec.pack(shape, **values))
    return payload


def _drawn(field, rng):
    """A field of one transfer at random, each element of its arrays by itself."""
    counts = [array.count for array in field.arrays]
    bits = np.array([rng.getrandbits(field.width) for _ in range(math.prod(counts))], object)
    # In two's complement what is above the greatest value is below 0.
    numbers = np.where(bits > field.limits[1], bits - (1 << field.width), bits)
    return numbers.reshape(1, *counts)


def _row(length, **fields):
    """Transfers of which the last one is marked."""
    return [fields | {"last": int(index == length - 1)} for index in range(length)]


def _codes(count):
    return lambda config: ({"i": _row(count)}, {})


def _product(config):
    return {"a": 2 * _row(3), "w": 2 * _row(3)}, {}


def _gemm(config):
    # One panel of activations meets two of weights.
    job = {"steps": 2, "a_panels": 0, "w_panels": 1, "load_a": 1, "load_w": 1}
    return {"job": [job], "a": [{}] * 3, "w": [{}] * 6}, {}


def _sets(config):
    return {"i": 2 * _row(config.load)}, {"mantissa": config.max_mantissa}


def _planes(count):
    return [{"first": int(index == 0), "last": int(index == count - 1)} for index in range(count)]


def _anda_buffer(config):
    command = {"word_address": 0, "exponent_address": 0, "sets": 1, "mantissa": config.max_mantissa}
    return {"command": [command | {"read": 0}, command | {"read": 1}], "i": _planes(config.max_mantissa)}, {}


def _anda_tile(config):
    groups, mantissa = 2, config.max_mantissa
    a = _row(groups * (mantissa + 1), exponents=15)
    scale = {"fraction": 0, "exponent": 15, "sign": 0}
    return {"a": a, "w": [{}] * (4 * groups), "scales": [scale]}, {"mantissa": mantissa}


def _groups(config):
    return {"x": 2 * _row(2, codes=3, scale=_ONE), "w": 2 * _row(2, codes=-2, scale=_ONE)}, {}


def _dots(config):
    return {"i": 2 * _row(2, dots=5, x_scales=_ONE, w_scale=_ONE)}, {}


def _selector(config):
    return {"i": _row(2 * config.group)}, {"slots": 2}


def _nm_tile(config):
    return {"a": _row(2), "w": _row(4)}, {"slots": 2}


def _layer(config, channels, outputs, tokens, rank):
    return {
        "tokens": tokens,
        "channels": channels,
        "wide_channels": 0,
        "rank": rank,
        "wide_ranks": 0,
        "outputs": outputs,
        "shift": 4,
        "gain": 0,
        "rank_shifts": 0,
    }


def _low_rank(config):
    """One token: K channels, as many ranks and outputs as come at a time."""
    channels, rank, outputs = 2 * config.lanes, config.columns, config.columns
    weights = channels // config.lanes + 1
    x = [{"payload": _ONE}] * (channels // config.lanes)
    layer = [_layer(config, channels, outputs, 1, rank)]
    return {"layer": layer, "x": x, "w": [{}] * weights, "scales": [{"payload": _ONE}] * outputs}, {}


def _sevedo(config):
    """One block of tokens and one of outputs, with a rank for each column of the low-rank path."""
    channels, rank, tokens, outputs = config.coarse, config.columns, config.rows, config.cols
    words = channels // config.lanes
    ones = [{"payload": _ONE}]
    return {
        "layer": [_layer(config, channels, outputs, tokens, rank)],
        "x": ones * (words * tokens),
        "smooth": ones * (words * tokens),
        "w": [{"codes": 3, "scale": _ONE}] * (channels // config.fine),
        "low_rank": [{}] * ((words + 1) * tokens),
        "scales": ones * (outputs * tokens),
        "bias": ones,
    }, {}


def _rows(config):
    mask = {"mask": 1} if getattr(config, "mask", False) else {}
    return {"i": _row(4, **mask) + _row(3, **mask)}, {}


def _sums(config):
    """A table of one word, and three transfers that use it."""
    sums = [{"word": 0, "release": int(index == 2)} for index in range(3)]
    return {"table": _row(config.lanes), "i": sums, "residual": [{}] * 3}, {}


def _words(config):
    """Two words for the memory, and a question for the state."""
    address, word, ask = 0, 1, 6
    return {"i": [{"item": address, "data": 8}, {"item": word}, {"item": word}, {"item": ask}]}, {}


#: Name of a core to what gives, of its small configuration, the transfers of each stream and the other inputs.
STIMULI = {
    "ovp-decoder": _codes(4),
    "ovp-encoder": _codes(4),
    "systolic-tile": _product,
    "gemm": _gemm,
    "anda-compressor": _sets,
    "anda-decompressor": lambda config: ({"i": 2 * _planes(config.max_mantissa)}, {}),
    "anda-buffer": _anda_buffer,
    "anda-tile": _anda_tile,
    "hgq-quantizer": lambda config: ({"i": _row(2 * config.load)}, {}),
    "hgq-dequantizer": _dots,
    "hgq-tile": _groups,
    "nm-selector": _selector,
    "nm-tile": _nm_tile,
    "lvc": _low_rank,
    "sevedo-core": _sevedo,
    "pwl-unit": lambda config: ({"i": [{}] * 5}, {}),
    "softmax-unit": _rows,
    "layernorm-unit": _rows,
    "mx-quantizer": lambda config: ({"i": _row(2 * config.load)}, {}),
    "mx-tile": lambda config: ({"x": 2 * _row(config.steps), "w": 2 * _row(config.steps)}, {}),
    "requantizer": _sums,
    "machine": _words,
}
