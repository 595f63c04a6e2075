"""The command line of the figures: which tables, of which cores, with which cell libraries."""

import re
import sys
from pathlib import Path

from bitloom.cores.catalogue import CATALOGUE
from bitloom.cores.sheet.measured import FOLDER, UNRELEASED
from bitloom.tools.files import check_writable

from . import anda, arrays, boards, generation, hgq, machine, models, mutation, mx, pwl, sat, simulation, synthesis
from .kept import Keeper
from .tables import show

__all__ = ["TABLES", "main"]

#: By name, in the order in which they are printed.
TABLES = {
    table.name: table
    for table in (
        models.RATES,
        generation.GENERATION,
        generation.SIZES,
        simulation.SIMULATION,
        simulation.PRODUCT,
        synthesis.ELEMENTS,
        arrays.ARRAYS,
        anda.CYCLES,
        sat.TILES,
        machine.PASSES,
        synthesis.SYNTHESIS,
        boards.BOARDS,
        synthesis.AREA,
        anda.AREAS,
        hgq.AREAS,
        hgq.ENERGIES,
        pwl.AREAS,
        mx.CONFORMANCE,
        mx.SIZES,
        mx.AREAS,
        mutation.MUTATION,
    )
}

HELP = """usage: python tests/figures [--list] [--keep[=FILE]] [TABLE | CORE | LIBERTY ...]

Prints tables of figures: those named, or all but the ones that take an hour. --list says which there are.
CORE narrows the tables that have rows for each core. LIBERTY, a file, adds the tables of areas and energies.
--keep puts the rows into docs/history/unreleased.json too, or into FILE, each as it comes, in place of the same row.
Times are of this machine, for comparison within one run; the figures of the tools are their estimates.
"""


def chosen(words):
    """What the words of a command line name: tables, cores, Liberty files.

    Raises
    ------
    ValueError
        For a word that names nothing, or tables that the others do not go with.
    """
    names, cores, files = [], [], []
    for word in words:
        if word in TABLES:
            names.append(word)
        elif word in CATALOGUE:
            cores.append(word)
        elif Path(word).is_file():
            files.append(Path(word))
        else:
            raise ValueError(f"{word!r} is no table ({', '.join(TABLES)}), no core and no file")
    tables = [TABLES[name] for name in dict.fromkeys(names)]
    if not tables:
        tables = [table for table in TABLES.values() if table.shown(bool(cores), bool(files))]
    for table in tables:
        if cores and not table.by_core:
            raise ValueError(f"{table.name} has no rows for each core: give it without {', '.join(cores)}")
        if table.liberty and not files:
            raise ValueError(f"{table.name} needs a Liberty file")
    return tables, cores or list(CATALOGUE), files


def main(words=None):
    """Print what the words ask for; the exit status."""
    words = sys.argv[1:] if words is None else words
    if {"-h", "--help"}.intersection(words):
        print(HELP, end="")
        return 0
    if words == ["--list"]:
        for table in TABLES.values():
            print(f"{table.name:18}{table.title}{' (LIBERTY)' if table.liberty else ''}")
        return 0
    try:
        path, words = _kept(words)
        tables, cores, files = chosen(words)
        keeper = path and Keeper(path, narrowed=len(cores) < len(CATALOGUE))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for table in tables:
        for file in files if table.liberty else [None]:
            show(table, cores, file, *([keeper.of(table, file)] if keeper else []))
    return 0


def _kept(words):
    """The file to keep rows in, or None, and the other words."""
    path = None
    for word in words:
        if re.match(r"--keep(=|$)", word):
            path = Path(word.partition("=")[2] or FOLDER / f"{UNRELEASED}.json")
            check_writable(path)
    return path, [word for word in words if not word.startswith("--keep")]
