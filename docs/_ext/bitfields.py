"""Sphinx: pictures of the bits of a format, where a page has a fence ```` ```{bits} NAME ````.

The fence lists the fields from the lowest bit up, a line each: the words, then the number of bits. The data sheets draw
the payloads of the cores with the same pictures.
"""

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from bitloom.cores.sheet.bits import Cell, Picture, draw


class Bits(SphinxDirective):
    """One picture."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self):
        """The picture as SVG in HTML; a line without a number of bits is an error of the page."""
        cells, low = [], 0
        for line in self.content:
            words, _, width = line.rpartition(" ")
            if not (words and width.isdecimal() and int(width)):
                raise self.error(f"a field must be its words and its number of bits, not {line!r}")
            cells.append(Cell(words.strip(), low, int(width), unused=words.strip() == "unused"))
            low += int(width)
        return [nodes.raw("", draw(Picture(self.arguments[0], low, tuple(cells))), format="html")]


def setup(app):
    """Register the fence."""
    app.add_directive("bits", Bits)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
