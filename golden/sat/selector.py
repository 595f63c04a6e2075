"""The N:M selector's cycles; what it computes is `nm_sparse.select`."""

from ..checks import integer
from .tile import GROUPS

__all__ = ["GROUPS", "LATENCY", "cycles"]

#: Cycles from a group's last transfer to its first slot's `valid`: two registers on the way in, the kept elements, and
#: the output.
LATENCY = 4


def cycles(config, groups, n):
    """Cycles from the first transfer to the last slot, both included, without stalls: groups of M cycles, then N slots.

    Parameters
    ----------
    config
        `group`.
    groups : int
        Groups in a row, complete ones.
    n : int
        Slots of a group.
    """
    integer("groups", groups, 1, None)
    integer(f"N of M = {config.group}", n, 1, config.group)
    return groups * config.group + LATENCY - 1 + n
