"""JSON that every parser reads: Python's own writer lets ``NaN`` and ``Infinity`` through, which are no JSON."""

import json
import math

__all__ = ["dumps"]


def dumps(value, **layout):
    """The text of a value; the one way in which bitloom writes JSON.

    Parameters
    ----------
    value : object
        What `json.dumps` takes. A number that does not exist, such as a ratio to a noise of 0, is None.
    layout : dict
        `json.dumps`'s own options.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        For a number that is not finite; names where it is.
    """
    try:
        return json.dumps(value, allow_nan=False, **layout)
    except ValueError:
        for where, number in _numbers("", value):
            if not math.isfinite(number):
                raise ValueError(
                    f"{where.lstrip('.') or 'a number'} must be finite to be written, not {number}"
                ) from None
        raise


def _numbers(where, value):
    """Every floating-point number within a value, and the way to it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _numbers(f"{where}.{key}", item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _numbers(f"{where}[{index}]", item)
    elif isinstance(value, float):
        yield where, value
