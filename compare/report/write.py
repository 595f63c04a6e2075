"""The files of a report."""

import csv
import io

from ...golden import strict_json
from ...tools import files
from . import columns, notes
from .page import page

__all__ = ["FILES", "check_writable", "write"]

#: What a report's folder gets.
FILES = ("index.html", "rows.csv", "rows.json")


def check_writable(folder):
    """Refuse a folder that could not be written, before the work is done for it; OSError as `files.check_writable`."""
    for name in FILES:
        files.check_writable(folder / name)


def write(folder, run):
    """Write the report, each file whole or not at all; the same run gives the same bytes.

    Parameters
    ----------
    folder : Path
        Is made.
    run : dict
        As of `page.page`.
    """
    run = run | {"model": notes.model(run)}
    texts = page(run), _csv(run["rows"]), strict_json.dumps(run, indent=1) + "\n"
    for name, text in zip(FILES, texts, strict=True):
        files.atomic_write(folder / name, text)


def _csv(records):
    """A line a row; what was not measured is empty."""
    every = [*columns.measured(records), *columns.comparing(records)]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([column.name for column in every])
    writer.writerows([column.value(record) for column in every] for record in records)
    return file.getvalue()
