"""What the benches of the quantizers share: rows of FP16 codes that go through in groups with one scale each."""

from dataclasses import dataclass

import numpy as np

from .bench import shares
from .stream import STALL_PAIRS

__all__ = ["NONFINITE", "Filled", "alone", "by_magnitude", "full", "lengths", "stalled"]

#: Magnitude of Inf; those of NaN are above it.
NONFINITE = 0x7C00


@dataclass(frozen=True)
class Filled:
    """Rows that are filled up with zeros to whole groups, which are all that there is of them then.

    Attributes
    ----------
    x : ndarray of uint16, shape (groups, group)
    beats : ndarray of uint16, shape (transfers, lanes)
        What is sent: not the transfers that only fill up.
    ends : ndarray of bool, shape (transfers,)
        Which of them end a row.
    after : ndarray of int, shape (groups,)
        The last transfer that each group has something of.
    groups : ndarray of int
        Groups of each row.
    """

    x: np.ndarray
    beats: np.ndarray
    ends: np.ndarray
    after: np.ndarray
    groups: np.ndarray

    @classmethod
    def of(cls, rows, group, lanes):
        """Of 1-axis arrays of FP16 codes, in groups of `group` values that come in transfers of `lanes`."""
        load, sizes = group // lanes, np.array([len(row) for row in rows])
        transfers, groups = -(-sizes // lanes), -(-sizes // group)
        x = np.zeros(groups.sum() * group, np.uint16)
        starts = np.repeat((np.cumsum(groups) - groups) * group - (np.cumsum(sizes) - sizes), sizes)
        x[np.arange(sizes.sum()) + starts] = np.concatenate(rows)
        # For each transfer of rows that are filled up: whether it is sent.
        index = np.arange(groups.sum() * load) - np.repeat((np.cumsum(groups) - groups) * load, groups * load)
        row_transfers = np.repeat(transfers, groups * load)
        sent = index < row_transfers
        after = np.cumsum(sent)[load - 1 :: load] - 1
        return cls(x.reshape(-1, group), x.reshape(-1, lanes)[sent], (index == row_transfers - 1)[sent], after, groups)

    def final(self, count):
        """Which of `count` outputs a group is the last one of its row: bool, shape (groups * count,)."""
        final = np.zeros(len(self.x) * count, bool)
        final[np.cumsum(self.groups) * count - 1] = True
        return final

    @property
    def offending(self):
        """The number of the first transfer with NaN or Inf, as of `Phase.offending`."""
        wrong = ((self.beats & 0x7FFF) >= NONFINITE).any(axis=1)
        return {"i": int(wrong.argmax())} if wrong.any() else {}


def lengths(phase, draw, group, lanes, name):
    """Phases of rows of every length, to the cycle; `phase` and `draw` as of the bench, `name` that of a group."""
    whole = [group]
    return [
        phase(f"one {name}", draw(1, whole), reset=True, exact=True),
        phase(f"{name}s back to back", draw(6, whole), reset=True, exact=True),
        phase("long rows back to back", draw(3, [2 * group, 3 * group]), reset=True, exact=True),
        phase("measured", draw(20, whole), reset=True, measured=True),
        phase("rows of every length", [row[:size] for size, row in enumerate(draw(2 * group, [2 * group]), 1)]),
        phase("short rows", draw(8, range(1, group + 1)), reset=True, exact=True),
        phase("rows of one transfer", draw(8, [lanes]), reset=True, exact=True),
    ]


def alone(phase, draw, rng, group, lanes):
    """Phases with one Inf or one NaN, in each lane."""
    phases = []
    for lane in range(lanes):
        for code in (0x7C00, 0xFE00):
            rows = draw(4, [group])
            rows[2][lane + lanes * rng.integers(group // lanes)] = code
            phases.append(phase(f"{code:#x} alone in lane {lane}", rows, reset=True))
    return phases


def stalled(bench, phase, draw, group, outputs, nonfinite):
    """Phases under every pair of stalls, some of them left by a reset.

    Parameters
    ----------
    bench, phase, draw
        The bench, and its own.
    group, outputs : int
        Values, and outputs, of a group.
    nonfinite : pair of float
        How many values are NaN or Inf: in what a reset leaves, and in the second half of the others.
    """
    config, rng, phases = bench.config, bench.rng, []
    whole, (left, compared) = [group], nonfinite
    for index, count in enumerate(shares(bench.vectors, 3 * len(STALL_PAIRS))):
        source, sink = STALL_PAIRS[index % len(STALL_PAIRS)]
        if index < 2 * len(STALL_PAIRS):
            cut = int(rng.integers(1, 6 * config.load + config.latency))
            phases.append(phase("left by a reset", draw(8, whole, left), sink="heavy", cut=cut, reset=True))
        groups = count // outputs + 2
        # Finite for the first half, so that the flag is seen low under stalls too.
        rows = draw(groups // 2, whole) + draw(groups - groups // 2, range(1, 3 * group), compared)
        options = {"source": source, "sink": sink, "reset": True, "vectors": count}
        phases.append(phase(f"random values, stalls {source} in, {sink} out", rows, **options))
    return phases


def full(phase, draw, group, load, held, behind):
    """Phases in which the output is blocked until nothing more goes in.

    Parameters
    ----------
    phase, draw
        The bench's own.
    group, load : int
        Values, and transfers, of a group.
    held : int
        Transfers that the core takes then.
    behind : int
        Transfers of a group that fills all stages behind the memory by itself.
    """
    # A slow source leaves no gaps behind the memory only if a group is as long as what is there.
    sources = ("eager", "sparse") if load >= behind else ("eager",)
    return [
        phase(f"full, stalls {source} in", draw(held // load + 3, [group]), source=source, capacity=held, reset=True)
        for source in sources
    ]


def by_magnitude(rng):
    """Every finite code, near ones together."""
    codes = np.arange(1 << 16).astype(np.uint16)
    codes = rng.permutation(codes[(codes & 0x7FFF) < NONFINITE])
    return codes[np.argsort((codes & 0x7FFF) + rng.integers(0, 1 << 9, len(codes)))]
