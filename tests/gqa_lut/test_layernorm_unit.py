"""The layernorm unit against its golden model, its cycles, and its streams."""

import itertools

import numpy as np
import pytest
from benches import passes

from bitloom.cores.catalogue import lookup
from bitloom.cores.gqa_lut.layernorm_unit import LayernormUnit, LayernormUnitConfig
from bitloom.golden.gqa_lut import layernorm_unit as golden
from bitloom.testbench.formal import prove_no_path

CORE = lookup("layernorm-unit")
#: Of 16 bits with all that these need.
WIDE = ["max_length=20", "input_bits=16", "output_bits=16", "out_shift=11", "entries=192"]


def test_the_sum_of_squared_differences():
    """What an element adds, and that the sum is C s2 - s1**2, as the unit has it."""
    rng = np.random.default_rng(0)
    for length in (1, 2, 3, 10, 50):
        row = rng.integers(-128, 128, length).tolist()
        spread = s1 = s2 = 0
        for n, q in enumerate(row):
            increment = s2 + q * (n * q - 2 * s1)
            assert increment == sum((q - before) ** 2 for before in row[:n])
            spread, s1, s2 = spread + increment, s1 + q, s2 + q * q
        assert spread == length * s2 - s1**2 == sum((a - b) ** 2 for a, b in itertools.combinations(row, 2))


@pytest.mark.parametrize("bits", [8, 11, 16])
def test_widths_hold_the_extremes_and_no_more(bits):
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    for length in (1, 2, 3, 16, 1008, 1 << 16):
        for epsilon in (1, 1 << 32):
            config = LayernormUnitConfig(max_length=length, epsilon=epsilon, input_bits=bits)
            half = length // 2
            s1 = high * half + low * (length - half)
            s2 = high**2 * half + low**2 * (length - half)
            needed = (length * s2 - s1**2 + epsilon).bit_length()
            assert needed == config.spread_bits or (length % 2 and needed < config.spread_bits)
            assert config.sum_shape.width == (-low * length - 1).bit_length() + 1


def test_cycles():
    config = LayernormUnitConfig()
    assert golden.latency(config) == golden.latency(LayernormUnitConfig(entries=192)) == 24
    for length in (1, 2, 7, 100, 1008):
        for count in (1, 2, 5):
            assert golden.cycles(config, [length] * count) == 24 + (count + 1) * length - 1
    assert golden.cycles(config, [100, 1, 1, 1, 50]) == 24 + 153 + 99
    # Some rows behind a longer one wait without a gap; of more, all that follow wait until it has left.
    assert golden.cycles(config, [100, *[1] * 11, 100]) == 24 + 211 + 99
    assert golden.cycles(config, [100, *[1] * 12, 100]) == 24 + 212 + 99 + 99


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match=r"^out_shift must be 0 to 7, not 8$"):
        LayernormUnitConfig(out_shift=8)
    with pytest.raises(ValueError, match=r"^out_shift must be 0 to 11, not 12$"):
        LayernormUnitConfig(out_shift=12, output_bits=12)
    with pytest.raises(ValueError, match=r"^input_bits must be 8 to 16, not 17$"):
        LayernormUnitConfig(input_bits=17)
    with pytest.raises(ValueError, match=r"^epsilon must be 1 to 4294967296, not 0$"):
        LayernormUnitConfig(epsilon=0)


def test_no_path_from_ready_to_ready():
    core = LayernormUnit(LayernormUnitConfig(max_length=2))
    prove_no_path(core, "o__ready", ["i__ready", "o__valid", "o__payload", "error"], "layernorm_unit")


def check(parameters, vectors, seed=1):
    config, result = passes(CORE.name, parameters, vectors, seed)
    assert (result.latency, result.interval) == (golden.latency(config), 1)


@pytest.mark.parametrize("parameters", (["max_length=40"], ["max_length=1", "out_shift=7"], WIDE), ids=" ".join)
def test_unit_matches_its_golden_model(parameters):
    check(parameters, 1500)


@pytest.mark.long
@pytest.mark.parametrize(
    "parameters",
    (
        ["out_shift=5"],
        ["out_shift=7", "entries=16", "max_length=384"],
        ["out_shift=0", "max_length=3"],
        ["max_length=2", "epsilon=4294967296"],
        ["max_length=4096", "epsilon=1000000"],
        ["input_bits=16", "output_bits=16", "out_shift=12", "entries=192"],
        ["input_bits=12", "out_shift=7", "max_length=65"],
        ["input_bits=16", "output_bits=16", "out_shift=15", "max_length=8"],
    ),
    ids=" ".join,
)
def test_unit_matches_its_golden_model_long(parameters):
    check(parameters, 20_000, seed=2)
