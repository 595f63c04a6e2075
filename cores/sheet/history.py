"""The page of the history: the figures of every core over the releases, and what changed in the newest."""

from itertools import groupby

from ..catalogue import CATALOGUE
from . import html
from .panels import draw
from .points import COLUMNS, lines

__all__ = ["page"]

#: Tables that are drawn, and what stands above.
TABLES = {
    "synth": "Alone on a part, out of context",
    "boards": "On a board, behind the host link, the whole bitstream",
}


def page(releases):
    """What the page of the history shows, HTML.

    Parameters
    ----------
    releases : list of dict
        As `measured.releases` gives them.

    Returns
    -------
    str
        The same releases give the same text.
    """
    known = {name: lines(releases, name) for name in TABLES}
    pieces = [f"<h2>{_heading(releases)}</h2>"]
    for name, title in TABLES.items():
        rows = [_row(line) for line in known[name] if line.points[-1].row and line.points[-1].before]
        pieces.append(html.paragraph(f"{title}:" if rows else f"{title}: nothing was measured again."))
        if rows:
            pieces.append(html.table(["core", "configuration", "on", "before", *COLUMNS], rows))
    for core in CATALOGUE:
        pieces.append(f"<h2>{html.code(core)}</h2>")
        for name, title in TABLES.items():
            own = [line for line in known[name] if line.core == core]
            groups = groupby(own, key=lambda line: line.configuration)
            pieces += [_figure(core, title, *group) for group in groups] or [html.paragraph(f"{title}: not measured.")]
    return "\n".join(pieces)


def _heading(releases):
    """What the table is of."""
    return html.code(f"Changes in {releases[-1]['release']}" if releases else "No figures")


def _row(line):
    """The row of the table for a line that was measured in the newest release, and before."""
    last = line.points[-1]
    cells = [_cell(last, column, value) for column, value in enumerate(last.figures())]
    return (f"`{line.core}`", line.configuration, line.place, last.before, *cells)


def _cell(point, column, value):
    """A figure, its change, and in words what is pointed out."""
    if not point.row["uses"]:
        return ("does not fit", point.verdict(column)) if column == 0 else "-"
    words = ["-" if value is None else f"{value:,.10g}", point.share(column), point.words(column)]
    return ", ".join(filter(None, words)), point.verdict(column)


def _figure(core, title, configuration, group):
    return html.figure(draw(f"{core}: {title}", [*group]), f"{title}; configuration: {configuration}")
