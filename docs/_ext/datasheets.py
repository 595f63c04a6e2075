"""Sphinx: the generated parts of the data sheets, where a page of `docs/cores` has a fence ```` ```{sheet} PART ````.

The page's name is the core's. `bitloom info CORE --html` draws the same parts into one file.
"""

from functools import cache

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from bitloom.cores.catalogue import lookup
from bitloom.cores.sheet import measured
from bitloom.cores.sheet.sheet import PARTS, Sheet


class Part(SphinxDirective):
    """One generated part of the core's data sheet; what stands in the fence goes to the part."""

    required_arguments = 1
    has_content = True

    def run(self):
        """The part as HTML; an unknown part or core is an error of the page."""
        for path in (measured.FOLDER, *measured.FOLDER.glob("*.json")):
            self.env.note_dependency(str(path))
        name = self.env.docname.rpartition("/")[2]
        try:
            part = PARTS[self.arguments[0]]
        except KeyError:
            raise self.error(f"a part of a sheet must be one of {', '.join(PARTS)}, not {self.arguments[0]}") from None
        try:
            html = part(_sheet(name), "\n".join(self.content))
        except ValueError as error:
            raise self.error(str(error)) from None
        return [nodes.raw("", html, format="html")]


@cache
def _sheet(name):
    core = lookup(name)
    return Sheet(core, core.config())


def setup(app):
    """Register the fence."""
    app.add_directive("sheet", Part)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
