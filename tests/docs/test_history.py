"""The history of figures: its files, what changed between two, and the page that draws them."""

import importlib.util
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from made_up_figures import figures, row, write

from bitloom.cores.catalogue import CATALOGUE
from bitloom.cores.sheet import changes, measured
from bitloom.cores.sheet.history import page

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def history(tmp_path, monkeypatch):
    """`docs/history.py`, whose releases are those of an empty folder."""
    spec = importlib.util.spec_from_file_location("history", DOCS / "history.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(measured, "FOLDER", tmp_path)
    monkeypatch.setattr(module, "UNRELEASED", tmp_path / "unreleased.json")
    return module


def test_files_of_releases_are_as_they_are_written(tmp_path):
    """Nobody wrote them by hand, and nothing in them is of a machine."""
    assert next(each["release"] for each in measured.releases()) == "0.1.0"
    for path in measured.FOLDER.glob("*.json"):
        measured.write(tmp_path / path.name, measured.read(path))
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name
        assert not re.search(r'"(/|\w:)', path.read_text()) and str(DOCS.parent) not in path.read_text(), path.name
        assert all(table["command"].startswith("python tests/figures ") for table in _tables(path)), path.name


def _tables(path):
    return json.loads(path.read_text())["tables"].values()


def test_a_file_has_the_name_of_its_release(history, tmp_path):
    write(tmp_path, "0.2.0").rename(tmp_path / "0.3.0.json")
    with pytest.raises(ValueError, match=r"0\.3\.0\.json has the figures of 0\.2\.0"):
        measured.releases(tmp_path)


def test_the_worst_change_comes_first(history, tmp_path, capsys):
    old = [
        row("lvc", "a", 1000, 100.0),
        row("lvc", "b", 1000, 100.0),
        row("lvc", "c", 10, 9.0),
        row("gemm", "a", 9, 9.0),
    ]
    new = [
        row("lvc", "a", 1100, 101.0),
        row("lvc", "b", 900, 80.0),
        row("lvc", "c", None, None),
        row("gemm", "b", 1, 1.0),
    ]
    new[0]["uses"]["FF"] = 50
    write(tmp_path, "0.1.0", *old)
    write(tmp_path, "0.2.0", *new)
    assert history.main(["compare", "0.1.0", str(tmp_path / "0.2.0.json")]) == 1
    assert [re.sub(" +", " ", line) for line in capsys.readouterr().out.splitlines()] == [
        "WORSE synth: lvc c: LUT4 10 -> none",
        "WORSE synth: lvc c: fmax_mhz 9 -> none",
        "WORSE synth: lvc b: fmax_mhz 100 -> 80 (-20.0 %)",
        "WORSE synth: lvc a: LUT4 1,000 -> 1,100 (+10.0 %)",
        " synth: lvc a: FF 100 -> 50 (-50.0 %)",
        " synth: lvc a: fmax_mhz 100 -> 101 (+1.0 %)",
        "BETTER synth: lvc b: LUT4 1,000 -> 900 (-10.0 %)",
        f"not compared: 1 rows that only 0.1.0 has, 1 that only {tmp_path}/0.2.0.json has",
    ]


@pytest.mark.parametrize(
    ("luts", "mhz", "options", "status"),
    [
        (1000, 100.0, [], 0),
        (1050, 95.0, [], 0),
        (1051, 100.0, [], 1),
        (1000, 94.9, [], 1),
        (1051, 94.9, ["--percent", "5.2"], 0),
        (1001, 100.0, ["--percent", "0"], 1),
        (500, 200.0, ["--percent", "0"], 0),
    ],
)
def test_what_costs_more_than_a_percentage_fails(luts, mhz, options, status, history, tmp_path, capsys):
    write(tmp_path, "0.1.0", row("lvc", "a", 1000, 100.0))
    write(tmp_path, "0.2.0", row("lvc", "a", luts, mhz))
    assert history.main(["compare", "0.1.0", "0.2.0", *options]) == status
    assert (capsys.readouterr().out == "no figure changed\n") == (luts == 1000 and mhz == 100.0)


def test_other_tools_are_named_and_other_configurations_not_compared():
    old, new = row("lvc", "a", 1000, 100.0), row("lvc", "a", 2000, 100.0, tools="Yosys 2")
    table = figures("0.1.0", old)["tables"]["synth"]
    (change,) = changes.between(table, old, new)
    assert change.tools == "Yosys 1 -> Yosys 2" and change.percent == 100
    boards = {"key": ["core", "board"]}
    assert changes.between(boards, old | {"board": "b"}, new | {"board": "b", "parameters": ["rows=2"]}) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required: compare | release"),
        (["compare", "0.1.0"], "the following arguments are required: NEW"),
        (["compare", "0.1.0", "0.9.0"], "there is no file '0.9.0', and no release of this name (there are 0.1.0)"),
        (["compare", "0.1.0", "0.1.0", "--percent", "-1"], "must be a number from 0 on, not '-1'"),
        (["compare", "0.1.0", "{}/broken"], "broken is no file of figures"),
        (["release", "next"], "a version must be like 0.2.0, not 'next'"),
        (["release", "0.2.0"], "nothing was measured since the last release: there is no unreleased.json"),
    ],
)
def test_a_wrong_request_is_one_line(words, said, history, tmp_path, capsys):
    write(tmp_path, "0.1.0")
    (tmp_path / "broken").write_text("{")
    try:
        status = history.main([word.format(tmp_path) for word in words])
    except SystemExit as end:
        status = end.code
    out, error = capsys.readouterr()
    assert status == 2 and not out
    assert error.startswith("error: ") and said in error and error.count("\n") == 1


def test_a_release_takes_what_was_measured(history, tmp_path, capsys):
    unreleased = write(tmp_path, "unreleased", row("lvc", "a", 1, 2.0))
    assert history.main(["release", "0.2.0"]) == 0
    assert not unreleased.exists()
    assert measured.read(tmp_path / "0.2.0.json") == figures("0.2.0", row("lvc", "a", 1, 2.0))
    # The figures of a release stay.
    write(tmp_path, "unreleased")
    assert history.main(["release", "0.2.0"]) == 2 and "0.2.0.json is there" in capsys.readouterr().err
    assert unreleased.exists()


def releases(count):
    """So many releases of a core on a part and on a board, each 10 percent larger and slower, and of one that stays."""
    return [
        figures(
            f"0.{number}.0",
            row("lvc", "ecp5-85k", round(1000 * 1.1**number), round(100 * 0.9**number, 1)),
            row("gemm", "ecp5-85k", 500, 50.0),
            boards=[row("lvc", "", 1000, 30.0, board="ulx3s-85f")],
        )
        for number in range(count)
    ]


def parsed(html):
    return ElementTree.fromstring(f"<div>{html}</div>".replace("xmlns=", "about="))


@pytest.mark.parametrize("count", [1, 5])
def test_the_page_has_a_point_for_each_release(count):
    html = page(releases(count))
    assert html == page(releases(count))
    assert [heading.text for heading in parsed(html).iter("h2")][1:] == list(CATALOGUE)
    pictures = {svg.find("title").text: svg for svg in parsed(html).iter("svg")}
    assert len(pictures) == 3
    for svg in pictures.values():
        # LUTs, flip-flops, multipliers and Fmax.
        assert len([*svg.iter("circle")]) == 4 * count
        width, height = float(svg.get("width")), float(svg.get("height"))
        for shape in svg.iter("circle"):
            assert 0 <= float(shape.get("cx")) <= width and 0 <= float(shape.get("cy")) <= height
    worse = [
        group for group in pictures["lvc: Alone on a part, out of context"].iter("g") if group.get("class") == "worse"
    ]
    # Points of LUTs and Fmax in all but the first release, and the labels of both.
    assert len(worse) == (2 * (count - 1) + 2 if count > 1 else 0)
    assert [*pictures["gemm: Alone on a part, out of context"].iter("g")] == []


def test_the_page_says_in_words_and_colour_what_became_worse():
    assert "<td" not in page(releases(1))
    cells = [[(cell.text, cell.get("class")) for cell in line] for line in parsed(page(releases(2))).iter("tr")]
    (steady,) = [line for line in cells if ("500", None) in line]
    assert steady[2:] == [(cell, None) for cell in ("ecp5-85k", "0.0.0", "500", "100", "0", "50")]
    line = next(line for line in cells if ("1,100, +10.0\u00a0%, more logic", "worse") in line)
    assert line[-1] == ("90, -10.0\u00a0%, slower", "worse")


def test_a_core_that_fits_no_more_is_pointed_out():
    html = page([figures("0.1.0", row("lvc", "a", 10, 9.0)), figures("0.2.0", row("lvc", "a", None, None))])
    assert "<td class='worse'>does not fit</td><td>-</td><td>-</td><td>-</td>" in html


def test_a_release_without_a_row_is_a_gap():
    known = row("lvc", "a", 10, 9.0)
    html = page([figures("0.1.0", known), figures("0.2.0"), figures("0.3.0", known, row("gone", "a", 1, 1.0))])
    assert len([*parsed(html).iter("circle")]) == 4 * 2
    # Only the base lines: nothing joins what was not measured side by side.
    assert len([*parsed(html).iter("polyline")]) == 4
    assert "<td>0.1.0</td>" in html and "gone" not in html
