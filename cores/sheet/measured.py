"""Figures that take minutes to measure, kept in `docs/history`, a file for each release; `make bench` makes them anew.

A row is in the file of the release that it was measured for, and nowhere else. What was measured since the last release
is in `unreleased.json`. Data sheets show the newest row of each kind. A row has the tools, their versions and the day.
Figures of Yosys and nextpnr are estimates, and their tables are called so.
"""

import json
import re
from functools import cache
from pathlib import Path

from ...golden import strict_json
from ...tools.files import atomic_write

__all__ = ["FOLDER", "TARGETS", "UNRELEASED", "identity", "proofs", "read", "releases", "rows", "write"]

FOLDER = Path(__file__).parents[2] / "docs" / "history"
#: The name of what was measured since the last release.
UNRELEASED = "unreleased"
#: Parts that a default configuration is measured on.
TARGETS = ("ice40-hx8k", "ecp5-85k", "gowin-gw1n-9")
_PROOFS = Path(__file__).parents[2] / "docs" / "cores" / "proofs.json"


def releases(folder=None):
    """The files of all releases, the oldest first, and what was measured since then at the end.

    Parameters
    ----------
    folder : path, optional
        Where they are: `FOLDER`, or another one.

    Returns
    -------
    list of dict
        As `read` gives them.
    """
    return sorted(
        (read(path) for path in Path(folder or FOLDER).glob("*.json")), key=lambda each: _age(each["release"])
    )


def _age(release):
    return [1] if release == UNRELEASED else [0, *map(int, release.split("."))]


def read(path):
    """A file of figures.

    Returns
    -------
    dict
        `release`, its name, and `tables` by name. A table has a `title`, the `command` that measures it, whether its
        figures are `estimates` of tools, `units` of columns, the `key`, columns that tell rows apart, and the `rows`,
        dictionaries.

    Raises
    ------
    ValueError
        If it is no such file, or has another release's name.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    try:
        figures = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
        release, tables = figures["release"], figures["tables"]
        _ = [identity(table, row) for table in tables.values() for row in table["rows"]]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no file of figures: {type(error).__name__}, {error}") from None
    if not (release == UNRELEASED or re.fullmatch(r"\d+(\.\d+)*", str(release))):
        raise ValueError(f"{path} must be of a version or {UNRELEASED}, not {release!r}")
    if path.parent == FOLDER and path.stem != release:
        raise ValueError(f"{path} has the figures of {release}")
    return figures


def _refuse(word):
    raise ValueError(f"{word} is no number")


def write(path, figures):
    """Write a file of figures: sorted, a line for each row; the same figures are the same bytes.

    Parameters
    ----------
    path : path
    figures : dict
        As `read` gives them.
    """
    tables = []
    for name, table in sorted(figures["tables"].items()):
        lines = [f"    {json.dumps(each)}: {_text(value)}," for each, value in sorted(table.items()) if each != "rows"]
        rows = sorted(table["rows"], key=lambda row, table=table: identity(table, row))
        kept = ",\n".join(f"      {_text(row)}" for row in rows)
        tables.append("\n".join([f"   {json.dumps(name)}: {{", *lines, f'    "rows": [\n{kept}\n    ]\n   }}']))
    body = ",\n".join(tables)
    atomic_write(path, f'{{\n "release": {json.dumps(figures["release"])},\n "tables": {{\n{body}\n }}\n}}\n')


def _text(value):
    return strict_json.dumps(value, sort_keys=True, ensure_ascii=False)


def identity(table, row):
    """What tells a row of a table from its others; rows stand in its order, the default configuration first."""
    return tuple(tuple(row[name]) if isinstance(row[name], list) else row[name] for name in table["key"])


def rows(name, core):
    """What is known of a core: of each row the newest.

    Parameters
    ----------
    name : str
        The table: `synth`, `boards`, `area` or `mutation`.
    core : str
        Its name.

    Returns
    -------
    list of dict
    """
    newest = {}
    for figures in _releases():
        table = figures["tables"].get(name, {"rows": []})
        newest |= {identity(table, row): row for row in table["rows"] if row["core"] == core}
    return [newest[key] for key in sorted(newest)]


@cache
def _releases():
    return releases()


def proofs(core):
    """What is proved of a core, and by which test: a list of dict."""
    return [row for row in _proofs() if row["core"] == core]


@cache
def _proofs():
    return json.loads(_PROOFS.read_text())
