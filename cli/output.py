"""What commands print and write: tables, JSON, sentences."""

import click

from ..golden import strict_json
from ..tools import files
from . import terminal

__all__ = ["FAILED", "check_writable", "complain", "counted", "decibels", "print_json", "table", "write_json"]

#: Exit status of a check that failed: a mismatch, timing not met, a tool missing from `doctor`.
FAILED = 1


def complain(message):
    """One line on standard error, whatever the message holds."""
    click.echo("bitloom: " + terminal.printable(" ".join(str(message).split())), err=True)


def table(columns, rows, title=None):
    """A table with rules on a terminal, aligned plain columns when piped."""
    rows = [[_text(cell) for cell in row] for row in rows]
    title = title and "\n".join(map(terminal.printable, title.split("\n")))
    console = terminal.console()
    if console.is_terminal:
        from rich.table import Table

        drawn = Table(title=title, title_justify="left", header_style="bold")
        numeric = [all(_is_number(row[i]) for row in rows) for i in range(len(columns))]
        for name, right in zip(columns, numeric, strict=True):
            drawn.add_column(name, justify="right" if right else "left", overflow="fold")
        for row in rows:
            drawn.add_row(*row)
        console.print(drawn)
        return
    if title:
        click.echo(title)
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _text(cell):
    if cell is None:
        return "-"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:.4g}" if isinstance(cell, float) else terminal.printable(str(cell))


def _is_number(text):
    return text in ("-", "exact") or text.strip("%x").replace(",", "").replace(".", "").lstrip("+-").isdecimal()


def decibels(ratio, form=".2f"):
    """A ratio in a table; to no noise there is none."""
    return "exact" if ratio is None else f"{ratio:{form}}"


def counted(count, noun):
    """A number and its noun, in the plural where it needs one."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def print_json(value):
    """A value as JSON on standard output."""
    click.echo(strict_json.dumps(value, indent=2))


def write_json(path, value):
    """A value as a JSON file, complete or not at all."""
    files.atomic_write(path, strict_json.dumps(value, indent=2) + "\n")


def check_writable(*paths):
    """Refuse outputs that could not be written, before the work is done for them."""
    for path in paths:
        if path:
            files.check_writable(path)
