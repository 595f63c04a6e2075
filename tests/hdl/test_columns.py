"""Trees of full adders: against sums of integers."""

import numpy as np
import pytest
from amaranth import Cat, Module, Signal
from amaranth.sim import Simulator

from bitloom.hdl.integer.columns import add_columns
from bitloom.hdl.integer.popcount import popcount

# Bits of each weight: columns of any height, empty ones between, below and above others.
HEIGHTS = [(1,), (0, 3), (2, 2), (3, 0, 0, 5), (7, 1, 4, 9), (16, 0, 2)]


def values(m, words, results):
    """Of each result for all of the words, or for many where they are wider."""
    bits, rng = len(words), np.random.default_rng(len(words))
    if bits < 12:
        given = range(1 << bits)
    else:
        given = [0, (1 << bits) - 1, *map(int, rng.integers(0, 1 << bits, 200, np.uint64))]
    found = []

    async def bench(ctx):
        for word in given:
            ctx.set(words, word)
            found.append([ctx.get(result) for result in results])

    sim = Simulator(m)
    sim.add_testbench(bench)
    sim.run()
    return list(given), found


@pytest.mark.parametrize("count", [*range(1, 12), 63])
def test_popcount(count):
    m, bits, ones = Module(), Signal(count), Signal(range(count + 1))
    m.d.comb += ones.eq(popcount(m, "count", bits))
    given, found = values(m, bits, [ones])
    assert found == [[word.bit_count()] for word in given]


def total(word, heights):
    """Sum of the bits of columns that are in a word one after the other."""
    sum_, at = 0, 0
    for weight, height in enumerate(heights):
        sum_ += (word >> at & (1 << height) - 1).bit_count() << weight
        at += height
    return sum_


@pytest.mark.parametrize("width", [None, 3, 12])
@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("heights", HEIGHTS)
def test_columns(heights, together, width):
    m, bits, result = Module(), Signal(sum(heights)), Signal(16)
    columns, at = [], 0
    for height in heights:
        column = bits[at : at + height]
        # Together, bits may be in words of any size.
        columns.append([column[: height // 2], column[height // 2 :]] if together else list(column))
        at += height
    sums = add_columns(m, "sum", columns, width, together=together)
    m.d.comb += result.eq(Cat(sums))
    given, found = values(m, bits, [result])
    assert found == [[total(word, heights) % (1 << (width or 16))] for word in given]
    highest = total((1 << sum(heights)) - 1, heights)
    assert len(Cat(sums)) == (width or highest.bit_length())


def test_sums_side_by_side():
    """Of words, each bit of them in a sum of its own."""
    m, words = Module(), [Signal(3, name=f"word_{index}") for index in range(3)]
    bits, lanes = Signal(9), [Signal(3, name=f"lane_{lane}") for lane in range(3)]
    sums = add_columns(m, "sum", [words[:2], [words[2]]])
    m.d.comb += [Cat(words).eq(bits), *(lane.eq(Cat(word[at] for word in sums)) for at, lane in enumerate(lanes))]
    given, found = values(m, bits, lanes)
    for word, result in zip(given, found, strict=True):
        low, other, high = (word >> 3 * index for index in range(3))
        assert result == [(low >> at & 1) + (other >> at & 1) + 2 * (high >> at & 1) for at in range(3)]
