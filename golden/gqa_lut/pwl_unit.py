"""What the piecewise-linear unit gives: words of a table, outputs of codes, contents of the ROM, cycles."""

import numpy as np

from . import pwl
from .pwl_functions import FUNCTIONS

__all__ = ["exact", "float_words", "floats", "latency", "outputs", "words"]

#: Cycles of the FP32 datapath, without and with subnormals, infinities and NaNs.
_FLOAT = {False: 9, True: 11}
#: Compare, select, multiply, add. On the output's scale: round, or by a shift that is loaded: shift twice, round.
_SUM, _ROUND = 4, {False: 1, True: 3}
_NAN = np.uint32(0x7FC00000)


def latency(config):
    """Cycles from a code to its output; `config` is a `PwlUnitConfig`."""
    if config.kind == "fp32":
        return _FLOAT[config.specials]
    if config.kind == "rom":
        return 1
    return _SUM if config.wide else _SUM + _ROUND[config.loaded]


def words(config, table, s, shift):
    """Words that load a table into an integer unit, in order.

    Parameters
    ----------
    config : PwlUnitConfig
        Or anything with `width`, `entries`, `unsigned_input`, `negate_input` and `left`.
    table : PwlTable
    s, shift : int
        Scale and output shift, as of `pwl.evaluate`; the unit shifts left by at most `config.left`.

    Returns
    -------
    list of int
        ``3 * entries`` words of `width` bits: thresholds, slopes, intercepts, scales; two's complement.

    Raises
    ------
    ValueError
        For a table that does not fit the unit.
    """
    properties = {"width": table.width, "entries": len(table.slopes), "negate_input": table.negate_input}
    for name, value in properties.items():
        if value != getattr(config, name):
            raise ValueError(f"the table's {name} must be {getattr(config, name)}, not {value}")
    last = (1 << config.width) - 1 if config.unsigned_input else (1 << (config.width - 1)) - 1
    first = 0 if config.unsigned_input else -last - 1
    if table.thresholds and table.thresholds[0] < first:
        raise ValueError(f"thresholds must be {first} or more for the unit's codes, not {table.thresholds[0]}")
    if not 0 <= s < config.width:
        raise ValueError(f"the scale s must be 0 to {config.width - 1}, not {s}")
    if not 0 <= shift + config.left < 2 * config.width:
        raise ValueError(f"shift must be {-config.left} to {2 * config.width - config.left - 1}, not {shift}")
    # What the largest code exceeds, no code does.
    thresholds = [min(threshold, last) for threshold in table.thresholds]
    settings = s | (shift + config.left) << (config.width // 2)
    mask = (1 << config.width) - 1
    return [word & mask for word in (*thresholds, *table.slopes, *table.intercepts, settings)]


def outputs(codes, config, table, s, shift):
    """Outputs of an integer unit with a table; parameters as of `words`.

    Parameters
    ----------
    codes : array_like of int
        Of the unit's input shape.

    Returns
    -------
    ndarray of int64
    """
    bits = config.width - (not config.unsigned_output)
    low, high = 0 if config.unsigned_output else -1 << bits, (1 << bits) - 1
    return np.clip(pwl.round_shift(pwl.accumulate(codes, table, s), shift), low, high)


def exact(config):
    """Outputs of a ROM: the function itself, rounded half up, of the codes as unsigned integers 0 to 255.

    Where the function has no value, it is that of the nearest code that counts.
    """
    function = FUNCTIONS[config.function]
    codes = np.arange(256)
    codes = codes if config.unsigned_codes else (codes ^ 128) - 128
    counted = function.codes(config.scale)
    y = function(function.inputs(np.clip(codes, counted[0], counted[-1]), config.scale))
    low, high = (0, 255) if config.unsigned_output else (-128, 127)
    return np.clip(np.floor(np.ldexp(y, config.out_scale) + 0.5), low, high).astype(np.int64)


def float_words(breakpoints, slopes, intercepts):
    """Words that load a table into an FP32 unit: breakpoints in the order of integers, slopes, intercepts.

    Parameters
    ----------
    breakpoints, slopes, intercepts : array_like of float32
        N - 1, not decreasing and no NaN; N; N.

    Returns
    -------
    list of int
        3 N - 1 words of 32 bits. A breakpoint is its code with the sign inverted if that is clear, and with all bits
        inverted if it is set.

    Raises
    ------
    ValueError
    """
    points = np.asarray(breakpoints, np.float32)
    if np.isnan(points).any() or (points[1:] < points[:-1]).any():
        raise ValueError("breakpoints must not decrease, nor be NaN")
    # -0 is 0.
    codes = (points + np.float32(0)).view(np.uint32)
    codes = np.where(codes >> 31, ~codes, codes ^ np.uint32(1 << 31))
    return [int(code) for part in (codes, *map(_codes, (slopes, intercepts))) for code in part]


def floats(x, breakpoints, slopes, intercepts):
    """Outputs of an FP32 unit: product and sum rounded to nearest even, as NumPy does; NaN is 0x7fc00000.

    Parameters
    ----------
    x : array_like of float32
    breakpoints, slopes, intercepts
        As of `float_words`.

    Returns
    -------
    ndarray of uint32
        Codes of the results.
    """
    x, slopes, intercepts = (np.asarray(values, np.float32) for values in (x, slopes, intercepts))
    entry = (x[..., None] >= np.asarray(breakpoints, np.float32)).sum(axis=-1)
    with np.errstate(all="ignore"):
        outputs = slopes[entry] * x + intercepts[entry]
    return np.where(np.isnan(outputs), _NAN, outputs.view(np.uint32))


def _codes(values):
    return np.asarray(values, np.float32).view(np.uint32)
