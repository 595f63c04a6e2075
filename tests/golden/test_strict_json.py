"""JSON that every parser reads, in every file that bitloom writes."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from bitloom.golden import strict_json

ROOT = Path(__file__).parents[2]


def test_what_json_has_is_written_as_python_does():
    value = {"a": [1, 2.5, None, True, "é"], "b": {"1": (3, 4)}}
    for layout in ({}, {"indent": 2}, {"ensure_ascii": False, "separators": (",", ":")}):
        assert strict_json.dumps(value, **layout) == json.dumps(value, **layout)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"layers": [{"sqnr_db": 1.0}, {"sqnr_db": float("inf")}]},
            "layers[1].sqnr_db must be finite to be written, not inf",
        ),
        ([0.5, (1, np.float64("nan"))], "[1][1] must be finite to be written, not nan"),
        (-float("inf"), "a number must be finite to be written, not -inf"),
    ],
)
def test_a_number_that_is_not_finite_is_refused_by_name(value, message):
    with pytest.raises(ValueError) as caught:
        strict_json.dumps(value)
    assert str(caught.value) == message


def test_there_is_no_other_writer_of_json():
    for package in ("", "compare", "cores", "fpga", "golden", "hdl", "synth", "testbench"):
        for path in (ROOT / package).glob("*.py"):
            if path.name != "strict_json.py":
                assert not re.search(r"\bjson\.dumps?\b", path.read_text(encoding="utf-8")), path
