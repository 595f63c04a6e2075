"""Sphinx: the table of a standard's clauses, where a page has a fence ```` ```{conformance} ````."""

import json
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from bitloom.cores.sheet import html

CLAUSES = Path(__file__).parents[1] / "systems" / "mx.json"


class Conformance(SphinxDirective):
    """The table of `docs/systems/mx.json`."""

    def run(self):
        """The table as HTML."""
        rows = json.loads(CLAUSES.read_text())
        cells = [(row["clause"], row["says"], row["word"], row["here"], f"`{row['test']}`") for row in rows]
        table = html.table(("clause", "it says", "word", "here", "test"), cells)
        return [nodes.raw("", table, format="html")]


def setup(app):
    """Register the fence."""
    app.add_directive("conformance", Conformance)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
