"""hdl.rounding against exact fractions: every value of every small format."""

import itertools
from fractions import Fraction
from math import ceil, floor

import pytest
from amaranth import Module, Shape, Signal, signed, unsigned
from amaranth.sim import Simulator

from bitloom.hdl.integer.rounding import round_half_away, round_half_even, saturate

WIDEST = 7
HALF = Fraction(1, 2)


def half_away(x):
    return floor(x + HALF) if x >= 0 else ceil(x - HALF)


def half_even(x):
    # Python's own rule for fractions.
    return round(x)


def simulate(m, bench):
    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


def every_input(m):
    """A signal that counts, and for each integer shape up to the widest a signal with its low bits."""
    pattern = Signal(WIDEST)
    values = {}
    for width, kind in itertools.product(range(1, WIDEST + 1), (unsigned, signed)):
        values[kind(width)] = Signal(kind(width), name=f"{kind.__name__}{width}")
        m.d.comb += values[kind(width)].eq(pattern)
    return pattern, values


@pytest.mark.parametrize(("rounding", "oracle"), [(round_half_away, half_away), (round_half_even, half_even)])
def test_rounding(rounding, oracle):
    m = Module()
    pattern, values = every_input(m)
    results = {}
    for shape, value in values.items():
        for fraction in range(shape.width + 1):
            rounded = rounding(value, fraction)
            # Without a fraction nothing is rounded; otherwise one bit for the carry.
            expected = shape if fraction == 0 else Shape(shape.width - fraction + 1, shape.signed)
            assert rounded.shape() == expected, f"{shape!r} with {fraction} fraction bits"
            results[shape, fraction] = Signal(expected, name=f"rounded_{value.name}_{fraction}")
            m.d.comb += results[shape, fraction].eq(rounded)

    async def bench(ctx):
        for number in range(1 << WIDEST):
            ctx.set(pattern, number)
            for (shape, fraction), result in results.items():
                exact = Fraction(ctx.get(values[shape]), 1 << fraction)
                assert ctx.get(result) == oracle(exact), f"{exact} of {shape!r}"

    simulate(m, bench)


@pytest.mark.parametrize(
    ("rounding", "expected"),
    [
        # -3.5  -2.5  -1.5  -0.5  0.5  1.5  2.5  3.5
        (round_half_away, [-4, -3, -2, -1, 1, 2, 3, 4]),
        (round_half_even, [-4, -2, -2, 0, 0, 2, 2, 4]),
    ],
)
def test_ties(rounding, expected):
    m = Module()
    value = Signal(signed(5))
    result = Signal(signed(5))
    m.d.comb += result.eq(rounding(value, 2))

    async def bench(ctx):
        for tie, wanted in zip(range(-14, 16, 4), expected, strict=True):
            ctx.set(value, tie)
            assert ctx.get(result) == wanted

    simulate(m, bench)


@pytest.mark.parametrize("rounding", [round_half_away, round_half_even])
@pytest.mark.parametrize("fraction", [-1, 5])
def test_fraction_out_of_range(rounding, fraction):
    with pytest.raises(ValueError, match=rf"^fraction must be 0 to 4 for signed\(4\), not {fraction}$"):
        rounding(Signal(signed(4)), fraction)


def test_saturation():
    m = Module()
    pattern, values = every_input(m)
    results = {}
    for (source, value), target in itertools.product(values.items(), values):
        clamped = saturate(value, target)
        assert clamped.shape() == target, f"{source!r} to {target!r}"
        results[source, target] = Signal(target, name=f"{value.name}_to_{values[target].name}")
        m.d.comb += results[source, target].eq(clamped)

    async def bench(ctx):
        for number in range(1 << WIDEST):
            ctx.set(pattern, number)
            for (source, target), result in results.items():
                low = -(1 << target.width - 1) if target.signed else 0
                high = (1 << target.width - target.signed) - 1
                value = ctx.get(values[source])
                assert ctx.get(result) == min(max(value, low), high), f"{value} of {source!r} to {target!r}"

    simulate(m, bench)


def test_saturation_takes_a_width():
    assert saturate(Signal(8), 3).shape() == unsigned(3)
