"""Tables of figures: chosen by name, narrowed to cores, printed whole."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from figures.command import TABLES, chosen, main
from figures.plain_array import PlainArray
from figures.rows import configurations
from figures.synthesis import PARTS
from figures.tables import Table, show

from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.cores.generate import generate
from bitloom.synth.parts import lookup as lookup_part
from bitloom.testbench.systolic import product
from bitloom.tools.flows import FLOWS

FOLDER = Path(__file__).with_name("figures")
RARE = {"arrays", "boards", "mutation"}


def test_a_table_runs_by_its_name_from_anywhere(tmp_path):
    command = [sys.executable, str(FOLDER), "anda-cycles"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""})
    assert done.returncode == 0, done.stderr
    title, head, *rows = done.stdout.strip().splitlines()
    assert title == TABLES["anda-cycles"].title and head.split()[-1] == "ratio" and len(rows) == 5
    assert {len(row) for row in rows} == {len(head)}


def test_what_is_shown(tmp_path):
    library = tmp_path / "cells.lib"
    library.touch()
    everything, cores, files = chosen([])
    assert cores == list(CATALOGUE) and not files
    assert [table.name for table in everything] == [
        table.name for table in TABLES.values() if not table.liberty and table.name not in RARE
    ]
    tables, _, files = chosen([str(library)])
    assert {table.name for table in tables} == set(TABLES) - RARE and files == [library]
    tables, cores, _ = chosen(["lvc", "gemm"])
    assert [table.name for table in tables] == ["generation", "simulation", "synth"] and cores == ["lvc", "gemm"]
    tables, cores, _ = chosen(["synth", "hgq-tile", "boards"])
    assert [table.name for table in tables] == ["synth", "boards"] and cores == ["hgq-tile"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["benches"], "'benches' is no table (models, "),
        (["models", "lvc"], "models has no rows for each core: give it without lvc"),
        (["area"], "area needs a Liberty file"),
        (["anda-areas", "no.lib"], "'no.lib' is no table ("),
    ],
)
def test_what_cannot_be_shown_is_one_line(words, said, capsys):
    assert main(words) == 2
    out, error = capsys.readouterr()
    assert not out and error.startswith(f"error: {said}") and error.count("\n") == 1


def test_names_tell_tables_from_cores(capsys):
    assert not set(TABLES) & set(CATALOGUE)
    assert main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(TABLES)


def test_rows_get_what_their_table_says(capsys, tmp_path):
    def rows(names, liberty):
        yield from ((name, liberty.name) for name in names)

    show(Table("t", "title", ("core", "file"), rows, by_core=True, liberty=True), ["lvc"], tmp_path / "a.lib")
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        [],
        ["title,", "in", "a.lib"],
        ["core", "file"],
        ["lvc", "a.lib"],
    ]


@pytest.mark.parametrize(("rows", "cols"), [(1, 1), (2, 3)])
def test_the_plain_array_multiplies(rows, cols):
    core = replace(lookup("systolic-tile"), component=PlainArray)
    config = core.config(rows=rows, cols=cols, accumulator=24, overflow=False)
    rng = np.random.default_rng(rows)
    a, w = (rng.integers(-128, 128, (length, 9)).astype(np.int8) for length in (5, 7))
    result = product.run(a, w, config, design=generate(core, config, name="plain"), stall_in=1, stall_out=1)
    assert result.passed, result.failure


@pytest.mark.parametrize("name", CATALOGUE)
def test_rows_can_be_simulated_and_mapped_to_cells_and_those_of_parts_be_placed_somewhere(name):
    """No simulator and no cell library has a family's primitives; a part has those of one family."""
    rows = [config for _, _, config in configurations([name])]
    assert rows and all(config.family.portable for config in rows)
    more = [config for _, _, config in configurations([name], parts=True)]
    assert more[: len(rows)] == rows
    flows = {lookup_part(part).flow for part in PARTS}
    assert all(config.family.portable or FLOWS[config.family.name] in flows for config in more)
