"""Rows of tables, kept in the history of figures."""

import re
from datetime import date

from bitloom.cores.sheet import measured
from bitloom.tools import finding

__all__ = ["Keeper", "tools", "versions"]


class Keeper:
    """Puts rows into a file, one by one as they come, each in place of the one that it replaces.

    Parameters
    ----------
    path : path
        A file as `measured.write` writes it, or nothing yet.
    narrowed : bool
        Whether the tables are of some cores only. Of these nothing is kept that depends on the machine and the hour: it
        would be a ratio to another first row.

    Raises
    ------
    ValueError
        If there is something else.
    """

    def __init__(self, path, narrowed):
        self.path, self.narrowed = path, narrowed
        self.figures = measured.read(path) if path.exists() else {"release": measured.UNRELEASED, "tables": {}}

    def of(self, table, liberty=None):
        """A function that keeps a row of a table, and of a Liberty file where the table has one."""
        first = {}

        def keep(row):
            entries = self._entries(table, row, first)
            if liberty:
                entries = {"library": liberty.stem} | entries
            self._put(table, {"tools": tools(*table.tools, override=table.estimates or None)} | entries)

        return keep if table.kept else lambda row: None

    def _entries(self, table, row, first):
        """What is kept of a row: what is printed, with numbers as numbers, or all of a dictionary."""
        if table.cells:
            return dict(row)
        cells = dict(zip(table.columns, row, strict=True))
        entries = {name: cell if name in table.identity else _number(cell) for name, cell in cells.items()}
        timed = {name: entries.pop(name) for name in table.timed}
        if timed and not self.narrowed:
            first.update({} if first else timed)
            ratios = {name: round(value / first[name], 2) for name, value in timed.items() if first[name]}
            entries["over the first row"] = ratios
        return entries

    def _put(self, table, row):
        described = {"title": table.title, "command": table.command, "units": table.units}
        described |= {"estimates": table.estimates, "key": list(table.identity)}
        tables = self.figures["tables"]
        kept = {measured.identity(described, each): each for each in tables.get(table.name, {"rows": []})["rows"]}
        before = kept.get(measured.identity(described, row), {})
        # The same figures again are the same bytes: the day is the one on which they were first measured.
        if {**before, "date": None} != {**row, "date": None}:
            kept[measured.identity(described, row)] = row | {"date": date.today().isoformat()}
        tables[table.name] = described | {"rows": list(kept.values())}
        measured.write(self.path, self.figures)


def _number(cell):
    """A printed number as a number; all else as it is."""
    if not (isinstance(cell, str) and re.fullmatch(r"-?[\d,]+(\.\d+)?%?", cell)):
        return cell
    digits = cell.replace(",", "").rstrip("%")
    return float(digits) if "." in digits else int(digits)


def tools(*names, override=None):
    """Tools that are there, and their versions, in words."""
    return versions({name: finding.find(name, override=override).version for name in names})


def versions(tools):
    """Tools and their versions in words, as a report has them."""
    return ", ".join(f"{'Yosys' if name == 'yosys' else name} {version}" for name, version in tools.items())
