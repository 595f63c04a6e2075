"""Cycles of the shortest pass that gives something: one token, and the sum of what the residual has.

Nothing is read in it from the memory behind the port, so that it takes the same time with any. Our choice.
"""

__all__ = ["interval", "latency"]


def latency(config):
    """Cycles from the token of such a pass to the first sum; `config` decides nothing."""
    return 1


def interval(config):
    """Cycles from one such pass' token to the next one's: with each row of `lanes` channels more."""
    return 1 + config.lanes
