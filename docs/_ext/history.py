"""Sphinx: the figures over the releases, where a page has a fence ```` ```{history} ````."""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from bitloom.cores.sheet import history, measured


class History(SphinxDirective):
    """The pictures and tables of the files in `docs/history`."""

    def run(self):
        """The parts as HTML; a file that is none is an error of the page."""
        for path in (measured.FOLDER, *measured.FOLDER.glob("*.json")):
            self.env.note_dependency(str(path))
        try:
            return [nodes.raw("", history.page(measured.releases()), format="html")]
        except ValueError as error:
            raise self.error(str(error)) from None


def setup(app):
    """Register the fence."""
    app.add_directive("history", History)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
