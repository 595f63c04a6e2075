"""Cycles of the shortest pass that gives something: one token, and the sum of what the residual has.

Nothing is read in it from the memory behind the port, so that it takes the same time with any. Our choice.
"""

from .jobs import COUNTERS

__all__ = ["counters", "interval", "latency"]

#: Cycles of such a pass beside the sums themselves, before the first one and behind the last one.
_BEFORE, _BEHIND = 19, 2


def latency(config):
    """Cycles from the token of such a pass to the first sum; `config` decides nothing."""
    return _BEFORE


def interval(config):
    """Cycles from one such pass' token to the next one's, of a program of `lanes` channels."""
    return _BEFORE + config.lanes + _BEHIND


def counters(config):
    """What the counters tell of such a pass."""
    told = dict.fromkeys(COUNTERS, 0)
    return told | {"cycles": interval(config) - 2, "rows": config.lanes + 10}
