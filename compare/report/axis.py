"""Axes of pictures: numbers to pixels, and ticks at round numbers."""

import math
from dataclasses import dataclass

__all__ = ["Axis", "axis"]

#: From this ratio of the largest to the smallest number on, an axis is logarithmic.
_LOGARITHMIC = 8
_ROUND = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes
    ----------
    low, high : float
        Numbers at its ends.
    begin, end : float
        Pixels there.
    logarithmic : bool
    """

    low: float
    high: float
    begin: float
    end: float
    logarithmic: bool

    def __call__(self, value):
        """Where a number is, pixels."""
        low, high, value = map(math.log, (self.low, self.high, value)) if self.logarithmic else self._numbers(value)
        return self.begin + (self.end - self.begin) * (value - low) / (high - low)

    def _numbers(self, value):
        return self.low, self.high, value

    def ticks(self):
        """Round numbers on it, and how they are written."""
        values = _powers(self.low, self.high) if self.logarithmic else _steps(self.low, self.high)
        return [(value, f"{value:,.10g}") for value in values]


def axis(values, begin, end):
    """An axis that has all the numbers and some room at its ends."""
    low, high = min(values), max(values)
    if low > 0 and high / low >= _LOGARITHMIC:
        room = (high / low) ** 0.08
        return Axis(low / room, high * room, begin, end, True)
    room = 0.08 * (high - low) or 0.08 * abs(high) or 1
    return Axis(low - room, high + room, begin, end, False)


def _steps(low, high):
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in _ROUND if power * factor >= rough * 0.999)
    return [round(step * number, 10) for number in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _powers(low, high):
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [digit * 10.0**exponent for exponent in exponents for digit in (1, 2, 5)]
    return [value for value in values if low <= value <= high]
