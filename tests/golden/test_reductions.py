"""golden.reductions: the sum over blocks against the blocks listed one by one."""

import itertools

import numpy as np
import pytest

from bitloom.golden.reductions import Schedule

RNG = np.random.default_rng(3)
SCHEDULES = [
    Schedule(lanes, block, 2, adder, immediate, drain, 1)
    for lanes, block, adder, immediate, drain in itertools.product((1, 3, 8), (None, 1, 4, 7), (0, 5), (0, 1), (1, 6))
]


def listed(schedule, lengths):
    """`Schedule.cycles`, with every block in a list."""
    if schedule.block is not None and not schedule.immediate:
        size = schedule.block
        lengths = [min(size, length - at) for length in lengths for at in range(0, length, size)]
    last = lengths[0] - 1 + sum(max(length, schedule.spacing) for length in lengths[1:])
    return last + schedule.latency + schedule.results


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_cycles_are_those_of_the_blocks_one_by_one(schedule):
    for count in (1, 2, 5):
        lengths = RNG.integers(1, 20, count).tolist()
        assert schedule.cycles(lengths) == listed(schedule, lengths)


class Tile:
    rows, cols = 3, 2


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_a_product_is_its_tiles_back_to_back(schedule):
    for m, k, n in ((1, 1, 1), (4, 30, 5), (9, 29, 2)):
        tiles = -(-m // 3) * -(-n // 2)
        assert schedule.product_cycles(Tile, 4, m, k, n) == listed(schedule, [-(-k // 4)] * tiles)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="k must be 1 or more, not 0"):
        SCHEDULES[0].product_cycles(Tile, 4, 1, 0, 1)
