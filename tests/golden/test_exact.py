"""golden.exact: products at the borders of floating point, and accumulators, against Python's integers."""

import numpy as np
import pytest

from bitloom.golden import exact

RNG = np.random.default_rng(4)


def plain(a, w):
    return [[sum(int(x) * int(y) for x, y in zip(row, column, strict=True)) for column in w] for row in a]


@pytest.mark.parametrize("top", [7, 127, 2047, 4096, 4097, 1 << 24, (1 << 24) + 1, 1 << 26, (1 << 26) + 1, 1 << 28])
def test_products_are_exact(top):
    for k in (1, 2, 64):
        a, w = RNG.integers(-top, top, (3, k), endpoint=True), RNG.integers(-top, top, (4, k), endpoint=True)
        # The largest sums, and odd ones that a shorter significand would round.
        a[0], w[0], w[1] = top, top, -top
        w[2] = np.where(np.arange(k) % 2, 1, top)
        assert exact.product(a, w).tolist() == plain(a, w)


@pytest.mark.parametrize("width", [8, 16, 24, 32])
def test_running_sums_that_leave_the_accumulator(width):
    limit = 1 << (width - 1)
    top = 1 << (width // 2 - 1)
    for k in (1, 2, 3, 9):
        a, w = RNG.integers(-top, top, (5, k), endpoint=True), RNG.integers(-top, top, (6, k), endpoint=True)
        a[0], w[0], w[1] = top, top, -top
        running = np.cumsum(a[:, None].astype(object) * w[None], axis=2)
        assert (exact.overflows(a, w, width) == ((running < -limit) | (running >= limit)).any(axis=2)).all()
    # What just fits, and one more.
    one = np.ones((1, 2), np.int64)
    assert not exact.overflows(one * [[limit - 2, 1]], one, width).any()
    assert exact.overflows(one * [[limit - 1, 1]], one, width).all()
    assert not exact.overflows(one * [[-limit + 1, -1]], one, width).any()


@pytest.mark.parametrize("wrapped", [False, True])
def test_sums_that_leave_between_two_looks_and_come_back(wrapped):
    # Rows and columns beyond those of one block, and steps beyond those of one look.
    a, w = RNG.integers(-90, 90, (40, 150)), RNG.integers(-90, 90, (140, 150))
    a[:20] //= 30
    a[3, 64:] = 0
    terms = a[:, None] * w[None]
    for width in (8, 12, 16, 18):
        limit = 1 << (width - 1)
        running = np.cumsum((terms + limit) % (2 * limit) - limit if wrapped else terms, axis=2)
        expected = ((running < -limit) | (running >= limit)).any(axis=2)
        assert (exact.overflows(a, w, width, wrapped) == expected).all()
        assert width == 8 or 0 < expected.mean() < 1
