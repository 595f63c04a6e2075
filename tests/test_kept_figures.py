"""Rows of tables that are kept: what of them, where, and that they are of calls that exist."""

import json
from types import SimpleNamespace
from unittest import mock

import figures.boards
import figures.mutation
import pytest
from figures.command import TABLES, main
from figures.kept import Keeper
from figures.tables import Table, show

from bitloom.cores.catalogue import CATALOGUE
from bitloom.cores.sheet import measured
from bitloom.synth import flow
from bitloom.synth.report import Area, Report, Use


def kept(path, name="t"):
    return measured.read(path)["tables"][name]["rows"]


def run(path, rows, *, narrowed=False, **fields):
    """Print and keep a table of such rows."""
    table = Table("t", "title", ("what", "size", "share", "seconds"), lambda: rows, timed=("seconds",), **fields)
    show(table, [], keep=Keeper(path, narrowed).of(table))


def test_what_is_printed_is_kept_with_numbers_as_numbers(tmp_path, capsys):
    path = tmp_path / "unreleased.json"
    run(path, [("4,4", "1,234", "12.5%", "0.50"), ("8", "-", "50%", "0.65")], units={"share": "%"}, estimates=True)
    assert "1,234" in capsys.readouterr().out
    first, second = kept(path)
    assert {**first, "date": ""} == {
        **{"what": "4,4", "size": 1234, "share": 12.5, "tools": "", "date": ""},
        "over the first row": {"seconds": 1.0},
    }
    assert (second["what"], second["size"], second["share"]) == ("8", "-", 50)
    # Of seconds only the ratio to the same run's first row is kept.
    assert second["over the first row"] == {"seconds": 1.3} and "seconds" not in second
    figures = measured.read(path)
    assert figures["release"] == "unreleased"
    described = {"title": "title", "command": "python tests/figures t", "units": {"share": "%"}, "estimates": True}
    assert figures["tables"]["t"] == described | {"key": ["what"], "rows": [first, second]}


def test_a_narrowed_run_keeps_no_ratio(tmp_path):
    run(tmp_path / "kept.json", [("a", "1", "2", "3"), ("b", "1", "2", "3")], narrowed=True)
    assert all("over the first row" not in row and "seconds" not in row for row in kept(tmp_path / "kept.json"))


def test_the_same_figures_are_the_same_bytes_and_others_take_their_place(tmp_path):
    path = tmp_path / "kept.json"
    run(path, [("b", "1", "2", "3"), ("a", "1", "2", "3")])
    path.write_text(path.read_text().replace(kept(path)[0]["date"], "2001-02-03"))
    before = path.read_bytes()
    assert [row["what"] for row in kept(path)] == ["a", "b"]
    run(path, [("b", "1", "2", "3"), ("a", "1", "2", "3")])
    assert path.read_bytes() == before
    run(path, [("b", "7", "2", "3")])
    old, new = kept(path)
    assert old["date"] == "2001-02-03" and new["size"] == 7 and new["date"] > "2001-02-03"


def test_an_interrupted_run_leaves_whole_rows(tmp_path):
    def rows():
        yield "a", "1", "2", "3"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "kept.json", rows())
    assert len(kept(tmp_path / "kept.json")) == 1 and len(list(tmp_path.iterdir())) == 1


def test_keep_is_an_option(tmp_path, capsys):
    path = tmp_path / "kept.json"
    assert main(["anda-cycles", "mx"]) == 0 and not path.exists()
    assert main(["anda-cycles", "mx", f"--keep={path}"]) == 0
    # What the standard says is no figure.
    assert list(measured.read(path)["tables"]) == ["anda-cycles"]
    assert len(kept(path, "anda-cycles")) == 5
    assert all(isinstance(row["anda cycles"], int) for row in kept(path, "anda-cycles"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "Is a directory"),
        ("{", "is no file of figures"),
        ("[]", "is no file of figures"),
        ('{"release": "unreleased"}', "is no file of figures"),
        ('{"release": "unreleased", "tables": {"t": {"key": ["a"], "rows": [{"b": 1}]}}}', "is no file of figures"),
        ('{"release": "unreleased", "tables": {"t": {"key": ["a"], "rows": [{"a": NaN}]}}}', "NaN is no number"),
        ('{"release": "next", "tables": {}}', "must be of a version or unreleased, not 'next'"),
    ],
)
def test_what_cannot_be_kept_in_is_one_line(text, said, tmp_path, capsys):
    path = tmp_path / "kept.json"
    path.mkdir() if text is None else path.write_text(text)
    assert main(["anda-cycles", f"--keep={path}"]) == 2
    out, error = capsys.readouterr()
    assert not out and said in error and error.startswith("error: ") and error.count("\n") == 1


def test_tables_say_what_their_columns_are():
    for table in TABLES.values():
        assert len(set(table.columns)) == len(table.columns), table.name
        if not table.cells:
            assert {*table.key, *table.units, *table.timed} <= {*table.columns}, table.name


def test_figures_of_the_data_sheets_are_measured_by_calls_that_exist(tmp_path, monkeypatch):
    """What takes minutes is replaced by what has the same parameters."""
    for owner, name in ((flow, "synthesize"), (figures.boards, "build"), (figures.mutation, "mutate")):
        monkeypatch.setattr(owner, name, mock.create_autospec(getattr(owner, name)))
    uses, tools = (Use("LUT4", 31, 7680), Use("FF", 27, 7680)), {"yosys": "1", "nextpnr-ice40": "2", "bitloom": "3"}
    area = Area("cells", 12.34, 5, 27, "nand2", 1.0, 12.3)
    flow.synthesize.return_value = Report("", "", "", uses, 99.96, None, None, area, {}, tools, 1, ())
    built = SimpleNamespace(utilization={"ICESTORM_LC": (40, 99)}, fmax_mhz=31.04, clock_mhz=12.0, tools=tools)
    figures.boards.build.return_value = built
    mutants = SimpleNamespace(mutants=[0] * 60, seed=1, score=2 / 3, of=lambda verdict: [verdict] * 20)
    figures.mutation.mutate.return_value = mutants
    path, liberty = tmp_path / "kept.json", tmp_path / "small.lib"
    liberty.touch()
    assert main(["synth", "boards", "area", "mutation", "ovp-decoder", str(liberty), f"--keep={path}"]) == 0
    row = next(row for row in kept(path, "synth") if (row["parameters"], row["target"]) == ([], "ice40-hx8k"))
    assert row["uses"] == {"LUT4": 31, "FF": 27} and row["fmax_mhz"] == 100.0
    assert {*measured.TARGETS} <= {row["target"] for row in kept(path, "synth")}
    row = next(row for row in kept(path, "boards") if row["board"] == "icebreaker")
    assert row["uses"] == {"LC": 40, "block RAM": 0, "DSP": 0} and row["clock_mhz"] == 12.0
    assert row["tools"] == "Yosys 1, nextpnr-ice40 2"
    assert kept(path, "area")[0] | {"date": ""} == {
        **{"core": "ovp-decoder", "parameters": [], "library": "cells", "area": 12.3, "nand2": 12, "flip_flops": 27},
        **{"tools": "Yosys 1, nextpnr-ice40 2, bitloom 3", "date": ""},
    }
    (row,) = kept(path, "mutation")
    assert (row["mutants"], row["killed"], row["score"]) == (60, 20, 0.667) and "verilator" in row["tools"]
    # The names of the kept tables are those that data sheets read.
    assert {"synth", "boards", "area", "mutation"} == set(json.loads(path.read_text())["tables"])
    assert all(row["core"] in CATALOGUE for name in ("synth", "boards") for row in kept(path, name))
