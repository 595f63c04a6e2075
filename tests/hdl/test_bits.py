"""hdl.bits against Python's integers: every value of small widths, random values of large ones."""

import itertools
import random

import pytest
from amaranth import Const, Module, Shape, Signal
from amaranth.sim import Simulator

from bitloom.hdl.integer.bits import leading_zeros, resize, shift_left, shift_right, shift_right_sticky

WIDTHS = (1, 2, 3, 4, 6)
AMOUNTS = (1, 2, 4)  # the widest goes far beyond every width


def simulate(m, bench):
    simulator = Simulator(m)
    simulator.add_testbench(bench)
    simulator.run()


def drive(m, value, shape):
    """A signal of its own for an expression, with exactly the expression's shape."""
    assert value.shape() == shape
    signal = Signal(shape)
    m.d.comb += signal.eq(value)
    return signal


@pytest.mark.parametrize(
    "widths",
    [range(1, 11), (11, 12, 15, 16, 17, 24, 31, 32, 33, 47, 48, 63, 64)],
    ids=["every value", "random values"],
)
def test_leading_zeros(widths):
    m = Module()
    value = Signal(widths[-1])
    counts = {width: drive(m, leading_zeros(value[:width]), Shape(width.bit_length())) for width in widths}
    generator = random.Random(1)
    if widths[0] == 1:
        values = range(1 << widths[-1])
    else:
        values = [0, *(1 << bit for bit in range(64)), *(generator.getrandbits(64) >> bit for bit in range(64))] * 2
        values[len(values) // 2 :] = [(1 << 64) - 1 - v for v in values[len(values) // 2 :]]

    async def bench(ctx):
        for number in values:
            ctx.set(value, number)
            for width, count in counts.items():
                expected = width - (number & ((1 << width) - 1)).bit_length()
                assert ctx.get(count) == expected, f"{number:#b} of {width} bits"

    simulate(m, bench)


def test_leading_zeros_of_no_bits():
    count = leading_zeros(Signal(0))
    assert isinstance(count, Const) and count.value == 0


def test_leading_zeros_is_of_unsigned_values():
    with pytest.raises(TypeError, match=r"^leading_zeros takes an unsigned value, not signed\(4\)$"):
        leading_zeros(Signal(Shape(4, signed=True)))


@pytest.mark.parametrize("signed", [False, True])
def test_shifts(signed):
    m = Module()
    pattern, amount = Signal(max(WIDTHS)), Signal(max(AMOUNTS))
    left, right = {}, {}
    for width, bits in itertools.product(WIDTHS, AMOUNTS):
        shape = Shape(width, signed)
        value = Signal(shape)
        m.d.comb += value.eq(pattern)
        left[width, bits, width] = drive(m, shift_left(value, amount[:bits]), shape)
        for wanted in (1, 4, 9):
            shifted = shift_left(value, amount[:bits], wanted)
            left[width, bits, wanted] = drive(m, shifted, Shape(wanted, signed))
        shifted, sticky = shift_right_sticky(value, amount[:bits])
        right[width, bits] = (
            drive(m, shift_right(value, amount[:bits]), shape),
            drive(m, shifted, shape),
            drive(m, sticky, Shape(1)),
        )

    def read(number, width):
        number &= (1 << width) - 1
        return number - (1 << width) if signed and number >> (width - 1) else number

    async def bench(ctx):
        for number, by in itertools.product(range(1 << max(WIDTHS)), range(1 << max(AMOUNTS))):
            ctx.set(pattern, number)
            ctx.set(amount, by)
            for (width, bits, wanted), result in left.items():
                value, distance = read(number, width), by & ((1 << bits) - 1)
                assert ctx.get(result) == read(value << distance, wanted), f"{value} of {width} bits << {distance}"
            for (width, bits), results in right.items():
                value, distance = read(number, width), by & ((1 << bits) - 1)
                expected = (value >> distance, value >> distance, value & ((1 << distance) - 1) != 0)
                assert tuple(map(ctx.get, results)) == expected, f"{value} of {width} bits >> {distance}"

    simulate(m, bench)


def test_right_shift_by_the_width_and_more():
    m = Module()
    value, amount = Signal(Shape(5, signed=True)), Signal(6)
    arithmetic = drive(m, shift_right(value, amount), value.shape())
    logical, sticky = (drive(m, part, part.shape()) for part in shift_right_sticky(value.as_unsigned(), amount))

    async def bench(ctx):
        for number, by, expected in [
            (-16, 4, (-1, 1, 0)),
            (-16, 5, (-1, 0, 1)),
            (-16, 63, (-1, 0, 1)),
            (15, 5, (0, 0, 1)),
            (0, 63, (0, 0, 0)),
        ]:
            ctx.set(value, number)
            ctx.set(amount, by)
            assert (ctx.get(arithmetic), ctx.get(logical), ctx.get(sticky)) == expected

    simulate(m, bench)


@pytest.mark.parametrize(
    ("signed", "width", "expected"), [(False, 2, 0b01), (False, 6, 0b1001), (True, 2, 0b01), (True, 6, -7)]
)
def test_resize(signed, width, expected):
    m = Module()
    value = Signal(Shape(4, signed), init=0b1001 - (signed << 4))
    result = drive(m, resize(value, width), Shape(width, signed))

    async def bench(ctx):
        assert ctx.get(result) == expected

    simulate(m, bench)


def test_resize_of_no_bits():
    assert resize(Const(0, 0), 3).shape() == Shape(3)
