"""The report as one HTML file that needs nothing else: no network, no font, and a script only to sort tables."""

import re
from html import escape
from pathlib import Path

from ... import __version__
from ...cores.sheet import html as pieces
from . import columns, figures, notes, scatter
from .measures import measure
from .section import section
from .table import sortable

__all__ = ["page"]

_HERE = Path(__file__).parent

#: What accuracy is drawn against: what it is called, its value, and how it is written.
_COSTS = (
    ("megabytes a pass", lambda record: record["bytes"] / 1e6, "{:.2f} MB a pass"),
    ("millions of cycles a pass", lambda record: figures.ratio(record["cycles"], 1e6), "{:.2f} M cycles a pass"),
    ("look-up tables (LUT4)", figures.luts, "{:,.0f} LUT4"),
    ("area of cells, thousands of the library's unit", lambda r: figures.ratio(figures.area(r), 1e3), "area {:,.1f} k"),
    ("switching energy of a pass, µJ", figures.pass_energy, "{:.3g} µJ a pass"),
    ("energy of a token, its bytes included, µJ", figures.token_energy, "{:.3g} µJ a token"),
    ("seconds a pass on the part", lambda record: figures.ratio(1, figures.passes(record)), "{:.3g} s a pass"),
)


def page(run):
    """The page.

    Parameters
    ----------
    run : dict
        `model`, `inputs`, `tokens` as the command line has them, and `rows`, the records of `measure`.

    Returns
    -------
    str
        HTML that is well-formed XML, too; the same run gives the same text.
    """
    records, title = run["rows"], f"{notes.model(run)} through every system"
    anchors = _anchors([record["row"] for record in records])
    body = [
        f"<h1>{escape(title)}</h1>",
        _head(run),
        "<h2>Rows</h2>",
        "<p>A click on the head of a column sorts by it; the name of a row leads to its section.</p>",
        sortable(columns.measured(records), records, anchors, "rows"),
        *_compared(records, anchors),
        "<h2>Accuracy against cost</h2>",
        "<p>Filled points are the Pareto front: no other row is at least as good in both and better in one. The line "
        "is the best that a cost allows.</p>",
        *_pictures(records, anchors),
        "<h2>Row by row</h2>",
        pieces.paragraph(_PLACES),
        *map(section, records, anchors),
    ]
    style, script = (_HERE / "page.css").read_text(), (_HERE / "sort.js").read_text()
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8" />\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1" />\n<title>{escape(title)}</title>\n'
        f"<style>\n{style}</style>\n</head>\n<body>\n" + "\n".join(body) + f"\n<script>\n{script}</script>\n"
        "</body>\n</html>\n"
    )


_PLACES = (
    "SQNR is the ratio of signal to quantization noise: the products of a place in the arithmetic of the row against "
    "the float32 products of the same operands before they became codes. What went wrong in earlier layers is not in "
    "it. `exact` means that there is no noise at all."
)


def _anchors(names):
    """A target for each row: letters and digits of its name, and a number where another row has the same ones."""
    anchors = []
    for name in names:
        anchor = "row-" + re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")
        while anchor in anchors:
            anchor += "-"
        anchors.append(anchor)
    return anchors


def _head(run):
    inputs = "all inputs" if run.get("inputs") is None else f"the first {run['inputs']} inputs"
    tokens = "" if run.get("tokens") is None else f", {run['tokens']} tokens each"
    facts = [
        ("model", f"{escape(notes.model(run))}, {inputs}{tokens}"),
        ("made with", escape(", ".join([f"bitloom {__version__}", *notes.tools(run)]))),
        ("again", f"<code>{escape(notes.command(run))}</code>"),
    ]
    if baseline := run["rows"][0].get("baseline"):
        told = ", ".join(f"{name} {value:.4f}" for name, value in baseline["scores"].items())
        facts.append(("baseline", escape(f"{baseline['what']}: {told}")))
    scores = dict.fromkeys(name for record in run["rows"] for name in record["scores"])
    facts += [(escape(name), f"{escape(measure(name).about)}{_direction(name)}") for name in scores]
    listed = "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in facts)
    told = "".join(f"<li>{pieces.code(note)}</li>\n" for note in notes.notes(run))
    return f"<dl>{listed}</dl>\n<h2>How to read the numbers</h2>\n<ul>\n{told}</ul>"


def _direction(name):
    return "; less is better" if measure(name).less else ""


def _compared(records, anchors):
    """The table of what lets rows be compared, if something was measured that does."""
    names = columns.comparing(records)
    first = columns.base(records)["row"]
    yield "<h2>Rows beside each other</h2>"
    yield (
        f"<p>Papers compare in three ways, and each favours others. With as many processing elements as the rows are "
        f"configured with, × tells how many times as fast as {escape(first)} a core is. In the same area, there are as "
        f"many cores, or parts of one, as take the area of the core of {escape(first)}. For the same throughput, there "
        f"are as many as make its passes a second.</p>"
    )
    yield sortable([columns.measured(records)[0], *names], records, anchors, "beside")


def _pictures(records, anchors):
    score = next(iter(records[0]["scores"]))
    drawn = [_picture(records, anchors, score, *cost) for cost in _COSTS]
    yield "<div class='pictures'>"
    yield from filter(None, drawn)
    yield "</div>"


def _picture(records, anchors, score, title, value, form):
    points = [
        scatter.Point(row, anchor, cost, worth, f"{row}: {score} {worth:.4f}, {form.format(cost)}")
        for record, anchor in zip(records, anchors, strict=True)
        for row, cost, worth in [(record["row"], value(record), record["scores"].get(score))]
        if cost is not None and worth is not None
    ]
    if not points:
        return None
    return f"<figure>\n{scatter.draw(points, title, score, measure(score).less)}\n</figure>"
