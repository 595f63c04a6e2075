"""Costs of the rows' cores, and a user's own rows."""

from dataclasses import replace
from types import SimpleNamespace

import liberty_files
import pytest
import toy_encoder
from command_line import bitloom, complaint

from bitloom.compare import cost
from bitloom.compare.measure import measure
from bitloom.golden.workloads.comparison.integers import IntegerScheme
from bitloom.golden.workloads.comparison.rows import ROWS, Row, table
from bitloom.synth.report import Use
from bitloom.synth.room import TooSmall

OWN = """
from bitloom.golden.workloads.comparison.integers import IntegerScheme
from bitloom.golden.workloads.comparison.rows import Row

ROWS = [Row("tiny", "integers on a tiny tile", lambda: IntegerScheme("int4"), {"rows": 1, "cols": 2})]
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


def test_every_row_has_a_legal_configuration_of_its_scheme():
    for row in ROWS.values():
        config, scheme = cost.configuration(row), row.scheme()
        if scheme.core is None:
            assert config is None and cost.fpga(row.name, "ecp5-85k") is None and cost.area(row.name, "x.lib") is None
            continue
        values = config.to_dict()
        assert {name: values[name] for name in scheme.parameters} == scheme.parameters, row.name


def test_the_part_decides_the_blocks_and_what_is_too_large_says_so(monkeypatch):
    seen = []

    def synthesize(design, part):
        seen.append((design.manifest["parameters"].get("target"), part))
        if part == "ice40-up5k":
            raise TooSmall(design.name, part, (Use("LUT4", 9, 5),), (Use("LUT4", 9, 5),))
        return SimpleNamespace(uses=(Use("LUT4", 7, 9),), fmax_mhz=50.0, tools={"yosys": "1"})

    monkeypatch.setattr(cost.flow, "synthesize", synthesize)
    monkeypatch.setitem(ROWS, "int8", replace(ROWS["int8"], size={"rows": 1, "cols": 1}))
    monkeypatch.setitem(ROWS, "mxfp4", replace(ROWS["mxfp4"], size={"rows": 1, "cols": 1}))
    found = {"part": "ecp5-85k", "uses": {"LUT4": 7}, "fmax_mhz": 50.0, "tools": {"yosys": "1"}}
    assert cost.fpga("int8", "ecp5-85k") == cost.fpga("mxfp4", "ecp5-85k") == found
    small = cost.fpga("int8", "ice40-up5k")
    assert small["part"] == "ice40-up5k" and "too small" in small["why"]
    assert seen == [("ecp5", "ecp5-85k"), (None, "ecp5-85k"), ("ice40", "ice40-up5k")]


def test_large_memories_are_left_out_of_the_area(own, monkeypatch, tmp_path):
    asked = []

    def map_to_library(design, library, keep=False):
        asked.append(keep)
        return {"cells": {"DFF": 2, "ND2": 3}, "area": 18.0}

    monkeypatch.setattr(cost.asic, "map_to_library", map_to_library)
    measured = cost.area("tiny", liberty_files.write(tmp_path), own)
    assert (measured["library"], measured["area"], measured["nand2"], asked) == ("small", 18.0, 9.0, [True])


def test_rows_of_ones_own(own, tmp_path):
    rows = table(own)
    assert [*rows] == [*ROWS, "tiny"] and isinstance(rows["tiny"].scheme(), IntegerScheme)
    folder = tmp_path / "toy"
    toy_encoder.write(folder)
    record = measure(str(folder), "tiny", 1, more=own)
    assert {"rows=1", "cols=2", "a_format=int4"} <= {*record["parameters"]}
    told, _ = bitloom("compare", folder, "--rows", "tiny,int8", "--inputs", "1", "--more", own)
    assert [line.split()[0] for line in told.splitlines()[2:4]] == ["tiny", "int8"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ROWS =", "own.py: SyntaxError: "),
        ("rows = []", "own.py has no list ROWS of rows"),
        ("ROWS = [1]", "own.py: AttributeError: "),
        ("import nothing_such", "own.py: ModuleNotFoundError: "),
    ],
)
def test_a_file_of_rows_that_is_none(text, message, own, tmp_path):
    own.write_text(text)
    assert message in complaint("compare", "minilm", "--more", own, cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["own.py"]


def test_a_row_stands_for_the_one_of_its_name(own):
    own.write_text(OWN.replace('"tiny"', '"int8"'))
    assert table(own)["int8"].size == {"rows": 1, "cols": 2}
    assert table()["int8"] is ROWS["int8"] and Row("a", "b", IntegerScheme, {}) != ROWS["int8"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--part", "vax"], "unknown target 'vax'"),
        (["--liberty", "no.lib"], "'no.lib' does not exist"),
        (["--tokens", "8"], "tokens are for language models"),
    ],
    ids=str,
)
def test_a_wrong_request_is_one_line(words, message, tmp_path):
    assert message in complaint("compare", "minilm", *words, cwd=tmp_path)
