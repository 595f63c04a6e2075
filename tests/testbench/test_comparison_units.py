"""The integer units of the comparison in RTL: bits and cycles of the golden units, and what is told of others."""

from dataclasses import replace

import numpy as np
import pytest

from bitloom.cores.generate import generate
from bitloom.golden.gqa_lut import layernorm_unit, softmax_unit
from bitloom.golden.machine import parts
from bitloom.testbench import comparison_units
from bitloom.testbench.comparison_units import UnitEngine

RNG = np.random.default_rng(8)
#: By unit: its setting, and codes of one row, of rows of one, and of several heads.
DRAWN = {
    "softmax": (3, [RNG.integers(-128, 128, shape) for shape in ((1, 9), (5, 1), (2, 4, 17))]),
    "gelu": (9, [RNG.integers(-32768, 32768, shape) >> 2 for shape in ((1, 9), (4, 33))]),
    "layernorm": (5, [RNG.integers(-32768, 32768, shape) for shape in ((1, 40), (7, 40))]),
}


@pytest.fixture(scope="module")
def engine():
    return UnitEngine()


@pytest.mark.parametrize("kind", comparison_units.UNITS)
def test_results_and_cycles_are_those_of_the_golden_unit(engine, kind):
    setting, drawn = DRAWN[kind]
    for q in drawn:
        assert (engine("place", kind, q, setting, 16) == parts.UNITS[kind](q, setting, 16)).all()
        run = engine.runs[-1]
        assert (run.place, run.core, run.failure) == ("place", comparison_units.UNITS[kind].core, None)
        assert run.operations == q.size and run.cycles > q.size


def test_wrong_cycles_are_told(engine, monkeypatch):
    unit = replace(comparison_units.UNITS["gelu"], cycles=lambda config, shape: 7)
    monkeypatch.setitem(comparison_units.UNITS, "gelu", unit)
    engine("place", "gelu", DRAWN["gelu"][1][0], 9, 16)
    assert engine.runs[-1].failure == f"it took {engine.runs[-1].cycles} cycles, expected 7"


def test_a_wrong_table_is_told(engine, monkeypatch):
    """The model has another table than the unit: the results are the unit's, and the first difference is named."""
    monkeypatch.setitem(
        parts.UNITS, "gelu", lambda q, setting, entries: parts.gelu(q, setting, entries) + (q == q[0, 3])
    )
    q = np.arange(8).reshape(1, 8) * 500
    result = engine("place", "gelu", q, 9, 16)
    assert (result == parts.gelu(q, 9, 16)).all()
    wanted = parts.gelu(q, 9, 16)[0, 3]
    expected = f"1 of 8 results differ, the first at (0, 3): expected {wanted + 1}, got {wanted}"
    assert engine.runs[-1].failure == expected


def test_a_wrong_unit_is_found():
    def multipliers_add(core, config):
        design = generate(core, config)
        wrong = design.verilog.replace(" * ", " + ")
        assert wrong != design.verilog
        return replace(design, verilog=wrong)

    engine = UnitEngine(multipliers_add)
    engine("place", "gelu", DRAWN["gelu"][1][1], 9, 16)
    assert "results differ, the first at" in engine.runs[0].failure


class Sizes:
    max_length, fine = 40, False


@pytest.mark.parametrize("unit", [softmax_unit, layernorm_unit], ids=lambda unit: unit.__name__.rpartition(".")[2])
def test_equal_rows_take_what_they_take_one_by_one(unit):
    for rows in (1, 2, 3, 9):
        for length in (1, 2, 3, 16, 17, 40):
            assert unit.equal_cycles(Sizes, (rows, length)) == unit.cycles(Sizes, [length] * rows)
