"""How results that differ are told, and each thing that can be wrong with a matrix product."""

from dataclasses import replace

import numpy as np
import pytest

from bitloom.golden.olive import ovp
from bitloom.golden.systolic import tile
from bitloom.testbench.compare import difference
from bitloom.testbench.systolic.results import Results, flag_difference, illegal

RIGHT = Results(np.arange(6).reshape(2, 3), np.eye(2, 3, dtype=bool), np.array([False, True]))


def test_the_first_of_those_that_differ_is_told():
    wrong = np.zeros((40, 60), bool)
    assert difference(wrong, None, None) is None
    wrong[7:, 5:] = True
    told = difference(wrong, lambda *at: f"e{at}", lambda row, column: row * column)
    assert told == "1,815 of 2,400 results differ, the first at (7, 5): expected e(7, 5), got 35"


def test_what_a_product_must_be_has_no_difference():
    assert RIGHT.difference(replace(RIGHT, product=RIGHT.product.copy())) is None
    assert not RIGHT.wrong(RIGHT).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"product": np.arange(6).reshape(2, 3) // 5 * 5},
            "4 of 6 results differ, the first at (0, 1): expected 1, got 0",
        ),
        (
            {"overflow": np.zeros((2, 3), bool)},
            "2 of 6 results differ, the first at (0, 0): expected 0 with the overflow flag, got 0",
        ),
        ({"last": np.array([False, False])}, "`last` of result row 1 is 0, expected 1"),
    ],
)
def test_every_difference_of_a_product_is_told(change, message):
    assert replace(RIGHT, **change).difference(RIGHT) == message


def test_a_flag_that_is_not_as_it_must_be_is_told():
    assert flag_difference({"illegal": 0, "more": 1}, {"illegal": False, "overrun": False}) is None
    assert flag_difference({"illegal": True}, {"illegal": False}) == "`illegal` is 1, expected 0"
    assert flag_difference({}, {"illegal": True}) == "`illegal` is 0, expected 1"


def test_an_illegal_pair_in_either_operand():
    fmt = tile.FORMATS["ovp-int4"].pairs
    wrong = next(code for code in range(256) if ovp.illegal(np.array([[code]], np.uint8), fmt).any())
    zeros, codes = np.zeros((2, 1), np.uint8), np.array([[0], [wrong]], np.uint8)

    class Pairs:
        operands = (tile.FORMATS["ovp-int4"],) * 2

    class Integers:
        operands = (tile.FORMATS["int8"],) * 2

    assert [illegal(*pair, Pairs) for pair in ((zeros, zeros), (codes, zeros), (zeros, codes))] == [False, True, True]
    assert not illegal(codes, codes, Integers)
