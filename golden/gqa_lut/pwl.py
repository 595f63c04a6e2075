"""Piecewise-linear functions with integer coefficients, as the table unit of GQA-LUT (DAC 2024) computes them.

A table of N entries has N slopes K and N intercepts B with `fraction_bits` fraction bits, and N - 1 thresholds T, which
are input codes. Of the input code q and the scale s, which stand for ``x = q * 2**-s``::

    i   = number of thresholds with q > T[i]
    acc = K[i] * q + (B[i] << s)                      exact; -q instead of q with negate_input
    f(x) is about acc * 2**-(fraction_bits + s)

So slopes and intercepts do not depend on the scale, and thresholds do: a table belongs to one scale. A threshold is the
last code before a breakpoint: a code that equals a breakpoint belongs to the segment on its right, and the largest code
as a threshold is never exceeded.

Of the paper itself we could read the opening only: what is called the paper's is known from two summaries, which agree,
and from its public code. Each table has its own fraction bits, 6 or 5 in those that we ship; the paper's setup has 5,
its code 6. Breakpoints are rounded to the nearest code, as the public code does; one summary prints ceil. How results
are rounded is our choice.

A file is a JSON object with a version, tables by scale, and what the writer has to say about them.
"""

import functools
import itertools
import json
import math
import operator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType

import numpy as np

from .. import strict_json

__all__ = [
    "MULTI_RANGES",
    "SHIPPED",
    "VERSION",
    "PwlTable",
    "accumulate",
    "dumps",
    "errors",
    "evaluate",
    "floor_log2",
    "from_breakpoints",
    "largest_error",
    "load",
    "loads",
    "mse",
    "multi_range",
    "round_shift",
    "shipped",
    "widened",
]

#: Version of the file format.
VERSION = 1
#: Name: (lowest code, bits that one range spans, bits that the result moves by from range to range). The division by 8
#: and by 16 is derived from the tables' intervals, 1/2 to 4 and 1/4 to 4; it is not the paper's table of ranges.
MULTI_RANGES = {"div": (16, 3, 3), "rsqrt": (8, 4, 2)}

_FOLDER = Path(__file__).parent / "tables"
#: Names of the tables that come with bitloom.
SHIPPED = tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))

_WIDTHS = (8, 16, 32)
_MOST_ENTRIES = 256
_MULTI_RANGE_SCALE = 5


@dataclass(frozen=True)
class PwlTable:
    """A piecewise-linear function at one scale.

    Parameters
    ----------
    thresholds : sequence of int
        N - 1, not decreasing, input codes. Equal ones make a segment that is never reached.
    slopes, intercepts : sequence of int
        N each, 1 to 256, signed, of `width` bits.
    fraction_bits : int
        Of slopes and intercepts, 0 to twice the width.
    negate_input : bool
        Multiply by -q: for codes that hold the magnitude of a negative number.
    width : int
        Bits of slopes, intercepts and input codes: 8, or 16 and 32 for the larger units of the paper's comparison.

    Raises
    ------
    ValueError, TypeError
    """

    thresholds: tuple
    slopes: tuple
    intercepts: tuple
    fraction_bits: int
    negate_input: bool = False
    width: int = 8

    def __post_init__(self):
        for name in ("thresholds", "slopes", "intercepts"):
            object.__setattr__(self, name, _integers(name, getattr(self, name)))
        for name in ("fraction_bits", "width"):
            object.__setattr__(self, name, _integer(name, getattr(self, name)))
        if not isinstance(self.negate_input, bool):
            raise TypeError(f"negate_input must be true or false, not {self.negate_input!r}")
        if self.width not in _WIDTHS:
            raise ValueError(f"width must be 8, 16 or 32, not {self.width}")
        if not 0 <= self.fraction_bits <= 2 * self.width:
            raise ValueError(f"fraction_bits must be 0 to {2 * self.width}, not {self.fraction_bits}")
        entries = len(self.slopes)
        if not 1 <= entries <= _MOST_ENTRIES:
            raise ValueError(f"a table must have 1 to {_MOST_ENTRIES} slopes, not {entries}")
        if (len(self.thresholds), len(self.intercepts)) != (entries - 1, entries):
            counts = f"{len(self.thresholds)} thresholds and {len(self.intercepts)} intercepts"
            raise ValueError(
                f"a table of {entries} slopes must have one threshold less and as many intercepts: {counts}"
            )
        smallest, largest = -1 << (self.width - 1), (1 << (self.width - 1)) - 1
        for name in ("slopes", "intercepts"):
            _check_within(name, getattr(self, name), smallest, largest)
        _check_within("thresholds", self.thresholds, smallest, _highest_code(self.width))
        for left, right in itertools.pairwise(self.thresholds):
            if right < left:
                raise ValueError(f"thresholds must not decrease, {right} follows {left}")

    def to_dict(self):
        """A dict that JSON can hold."""
        return {name: [*value] if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, entries):
        """The table of a dict as `to_dict` gives; `negate_input` and `width` may be missing.

        Raises
        ------
        ValueError, TypeError
        """
        known = [field.name for field in fields(cls)]
        if not isinstance(entries, dict) or not entries.keys() <= set(known):
            raise ValueError(f"a table must be an object with {', '.join(known)}, not {_shown(entries)}")
        missing = [name for name in known[:4] if name not in entries]
        if missing:
            raise ValueError(f"a table lacks {', '.join(missing)}")
        return cls(**entries)


def accumulate(q, table, s):
    """The sum before the output shift, exact.

    Parameters
    ----------
    q : array_like of int
        Codes, signed or unsigned: ``-2**(width - 1)`` to ``2**width - 1``; only signed ones of a width of 32, as the
        sum would not fit 64 bits.
    table : PwlTable
    s : int
        Scale ``2**-s``, 0 to width - 1.

    Returns
    -------
    ndarray of int64
        In units of ``2**-(fraction_bits + s)``. 17 bits for a width of 8, 33 for 16.

    Raises
    ------
    ValueError, TypeError
        For codes that are no integers or out of range, and another scale.
    """
    return _by_code(q, table, lambda codes: _sums(codes, table, s))


def _by_code(q, table, function):
    """What a function gives for codes; for more than there are of 8 or 16 bits, that of all is looked up: quicker."""
    q = _codes(q, -1 << (table.width - 1), _highest_code(table.width))
    most = 1 << table.width
    if table.width == 32 or q.size <= most + most // 2:
        return function(q)
    # Those below zero are counted from the end.
    return function(np.concatenate([np.arange(most), np.arange(-most // 2, 0)])).take(q, mode="wrap")


def _sums(q, table, s):
    """`accumulate` of codes that are right."""
    s = _integer("the scale s", s)
    if not 0 <= s < table.width:
        raise ValueError(f"the scale s must be 0 to {table.width - 1}, not {s}")
    entry = np.searchsorted(np.array(table.thresholds, np.int64), q, side="left")
    slopes, intercepts = np.array(table.slopes, np.int64), np.array(table.intercepts, np.int64)
    return slopes[entry] * (-q if table.negate_input else q) + (intercepts[entry] << s)


def evaluate(q, table, s, shift, low, high):
    """The unit's output: the sum, shifted right, rounded half up, saturated once.

    Parameters
    ----------
    q, table, s
        As of `accumulate`.
    shift : int
        Bits, up to 62: ``fraction_bits + s - so`` gives the result in units of ``2**-so``. Negative shifts left, by at
        most 46 for a width of 8, 30 for 16, not at all for 32.
    low, high : int
        Smallest and largest output.

    Returns
    -------
    ndarray of int64

    Raises
    ------
    ValueError, TypeError
        As `accumulate`, for another shift, and when `low` is above `high`.
    """
    shift, low, high = _integer("shift", shift), _integer("low", low), _integer("high", high)
    least = min(0, 2 * table.width - 62)
    if not least <= shift <= 62:
        raise ValueError(f"shift must be {least} to 62, not {shift}")
    if not -(1 << 62) <= low <= high <= 1 << 62:
        raise ValueError(f"low must not be above high, and both within 2**62: {low} and {high}")
    return _by_code(q, table, lambda codes: np.clip(round_shift(_sums(codes, table, s), shift), low, high))


def round_shift(values, bits):
    """``(values + 2**(bits - 1)) >> bits``: rounds ties up; bits of 0 or less shift left. Nothing overflows on the way.

    Parameters
    ----------
    values, bits : array_like of int64
        Of shapes that fit together; bits up to 62.
    """
    values, bits = np.asarray(values, np.int64), np.asarray(bits, np.int64)
    right = np.maximum(bits, 0)
    # The bit below the cut is the carry of adding half.
    half = (values >> np.maximum(right - 1, 0)) & (right > 0)
    rounded = (values >> right) + half
    return rounded << np.maximum(-bits, 0)


def floor_log2(values):
    """Position of the leading one; values of int64, 1 or more."""
    values = np.asarray(values, np.int64)
    # From 2**53 on, float64 may have rounded up to the next power of two.
    exponents = np.minimum(np.frexp(values.astype(np.float64))[1].astype(np.int64) - 1, 62)
    return exponents - ((np.int64(1) << exponents) > values)


def errors(table, s, function):
    """Table minus function at every code that counts, in real units.

    Parameters
    ----------
    table : PwlTable
    s : int
        Scale.
    function : Function

    Returns
    -------
    ndarray of float64
    """
    codes = function.codes(s)
    approximated = accumulate(codes, table, s) * 2.0 ** -(table.fraction_bits + s)
    return approximated - function(function.inputs(codes, s))


def mse(table, s, function):
    """Mean squared error over the codes that count, of the sum before it is rounded; parameters as of `errors`."""
    return float(np.mean(np.square(errors(table, s, function))))


def largest_error(table, s, function):
    """Largest magnitude of `errors`; parameters as there."""
    return float(np.abs(errors(table, s, function)).max())


def from_breakpoints(
    breakpoints, slopes, intercepts, fraction_bits, s, *, first=-128, last=127, negate_input=False, width=8
):
    """The table of real breakpoints at one scale: breakpoints are rounded to codes, ties to even.

    A breakpoint beyond the codes is never reached; one at or before the first code is always passed, so its entry goes,
    and the end is filled up with the last one.

    Parameters
    ----------
    breakpoints : sequence of float, N - 1
        Real inputs, not decreasing.
    slopes, intercepts, fraction_bits, negate_input, width
        As of `PwlTable`, in the order of the real inputs.
    s : int
        Scale.
    first, last : int
        Smallest and largest code.

    Returns
    -------
    PwlTable

    Raises
    ------
    ValueError
        As `PwlTable`, and for breakpoints that decrease or are not finite.
    """
    breakpoints = [float(point) for point in breakpoints]
    for point in breakpoints:
        if not (math.isfinite(point) and abs(point) <= 1 << 32):
            raise ValueError(f"breakpoints must be finite and within 2**32, not {point}")
    for left, right in itertools.pairwise(breakpoints):
        if right < left:
            raise ValueError(f"breakpoints must not decrease, {right} follows {left}")
    rounded = [round(math.ldexp(point, s)) for point in breakpoints]
    entries = [*zip(slopes, intercepts, strict=True)]
    if negate_input:
        # Larger codes are smaller inputs. A code at a breakpoint stays with the inputs right of it, the smaller codes.
        thresholds, entries = [-point for point in reversed(rounded)], entries[::-1]
    else:
        thresholds = [point - 1 for point in rounded]
    passed = sum(threshold < first for threshold in thresholds)
    thresholds = [min(threshold, last) for threshold in thresholds[passed:]] + [last] * passed
    entries = entries[passed:] + entries[-1:] * passed
    return PwlTable(thresholds, *zip(*entries, strict=True), fraction_bits, negate_input, width)


def widened(table, s, to):
    """The same function of 16-bit codes: a table for the scale `to` of one of 8 bits for the scale `s`.

    Segments, slopes and intercepts do not change. Of a segment that no code of 8 bits reaches, the codes begin where
    those of 8 bits end.

    Parameters
    ----------
    table : PwlTable
        Of 8 bits.
    s, to : int
        Scales, 0 to 7 and `s` to ``s + 8``.

    Returns
    -------
    PwlTable

    Raises
    ------
    ValueError
        For a scale or a table that cannot be.
    """
    if table.width != 8:
        raise ValueError(f"the table's width must be 8, not {table.width}")
    if not s <= to <= s + 8:
        raise ValueError(f"the scale must be {s} to {s + 8}, not {to}")
    thresholds = [(threshold + 1 << to - s) - 1 for threshold in table.thresholds]
    return PwlTable(thresholds, table.slopes, table.intercepts, table.fraction_bits, table.negate_input, 16)


def multi_range(z, table, function, fraction_bits=0):
    """1/z or 1/sqrt(z) over a wide range with one table at the scale 2**-5: multi-range input scaling, after the paper.

    The paper's own table of ranges could not be read. That z is divided by a power of 8, or of 16, is derived from the
    interval that a table covers.

    z is divided by the smallest power of 8, or of 16 for the root, that brings it below 4, and cut to a multiple of
    1/32. What is below the table's interval even so, 0 included, saturates to the interval's lower end (our choice).

    Parameters
    ----------
    z : array_like of int
        0 to 2**62 - 1, in units of ``2**-fraction_bits``.
    table : PwlTable
        Of the function ``div`` on 0.5 to 4, or ``rsqrt`` on 0.25 to 4.
    function : str
        ``div`` or ``rsqrt``.
    fraction_bits : int
        0 to 32.

    Returns
    -------
    accumulators, exponents : ndarray of int64
        The result is ``accumulators * 2**-exponents``.

    Raises
    ------
    ValueError, TypeError
    """
    if function not in MULTI_RANGES:
        raise ValueError(f"the function must be div or rsqrt, not {function!r}")
    if not 0 <= fraction_bits <= 32:
        raise ValueError(f"fraction_bits must be 0 to 32, not {fraction_bits}")
    z = _codes(z, 0, (1 << 62) - 1)
    lowest, span, step = MULTI_RANGES[function]
    length = floor_log2(np.maximum(z, 1)) + 1
    ranges = np.maximum(0, -((fraction_bits + 2 - length) // span))
    drop = fraction_bits + span * ranges - _MULTI_RANGE_SCALE
    q = np.maximum(z >> np.maximum(drop, 0) << np.maximum(-drop, 0), lowest)
    accumulators = accumulate(q, table, _MULTI_RANGE_SCALE)
    return accumulators, table.fraction_bits + _MULTI_RANGE_SCALE + step * ranges


def dumps(tables, **about):
    """The text of a table file.

    Parameters
    ----------
    tables : dict of int to PwlTable
        By scale s.
    about : dict
        Anything that JSON can hold.

    Returns
    -------
    str
        The same tables give the same text.
    """
    # One line a table: indented lists of numbers would be a column of 50 lines each.
    rows = [f'    "{s}": {strict_json.dumps(table.to_dict())}' for s, table in sorted(tables.items())]
    about = strict_json.dumps(about, indent=2).replace("\n", "\n  ")
    return f'{{\n  "version": {VERSION},\n  "about": {about},\n  "tables": {{\n' + ",\n".join(rows) + "\n  }\n}\n"


def loads(text):
    """The tables of a file's text, by scale.

    Raises
    ------
    ValueError
        When the text is not a table file of this version.
    """
    try:
        document = json.loads(text)
        if not isinstance(document, dict) or "version" not in document:
            raise ValueError(f"a table file must be an object with a version, not {_shown(document)}")
        if document["version"] != VERSION:
            raise ValueError(f"the version must be {VERSION}, not {document['version']!r}")
        tables = document.get("tables")
        if not isinstance(tables, dict) or not tables:
            raise ValueError(f"tables must be an object with a table for each scale, not {_shown(tables)}")
        return dict(_entry(s, PwlTable.from_dict(table)) for s, table in tables.items())
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError(f"it is not a piecewise-linear table: {error}") from None


def load(path):
    """The tables of a file, by scale; ValueError, one line with the file's name, for another file."""
    try:
        return loads(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


@functools.cache
def shipped(name):
    """Tables that come with bitloom, by scale.

    Parameters
    ----------
    name : str
        One in `SHIPPED`: the function and the number of entries, such as ``gelu-8``.

    Returns
    -------
    mapping of int to PwlTable
    """
    if name not in SHIPPED:
        raise ValueError(f"the table must be one of {', '.join(SHIPPED)}, not {name!r}")
    return MappingProxyType(load(_FOLDER / f"{name}.json"))


def _entry(scale, table):
    if scale not in map(str, range(table.width)):
        raise ValueError(f"the scale s of a table must be 0 to {table.width - 1}, not {scale!r}")
    return int(scale), table


def _highest_code(width):
    return (1 << min(width, 31)) - 1


def _codes(q, low, high):
    q = np.asarray(q)
    if q.dtype.kind not in "iu":
        raise TypeError(f"codes must be integers, not {q.dtype}")
    if q.size and not low <= int(q.min()) <= int(q.max()) <= high:
        raise ValueError(f"codes must be {low} to {high}, they are {q.min()} to {q.max()}")
    return q.astype(np.int64, copy=False)


def _integer(name, value):
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be an integer, not {value}")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {_shown(value)}") from None


def _integers(name, values):
    if isinstance(values, str | bytes | dict):
        raise TypeError(f"{name} must be a list of integers, not {_shown(values)}")
    try:
        return tuple(_integer(f"each of the {name}", value) for value in values)
    except TypeError as error:
        raise TypeError(
            str(error) if "must" in str(error) else f"{name} must be a list, not {_shown(values)}"
        ) from None


def _check_within(name, values, low, high):
    for value in values:
        if not low <= value <= high:
            raise ValueError(f"{name} must be {low} to {high}, not {value}")


def _shown(value):
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
