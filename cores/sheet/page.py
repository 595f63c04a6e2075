"""A core's data sheet as one HTML file that needs nothing else: no network, no style sheet, no script."""

import re
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt

from ... import __version__
from .sheet import PARTS, Sheet

__all__ = ["FOLDER", "html", "prose"]

#: The pages that are written by hand.
FOLDER = Path(__file__).parents[2] / "docs" / "cores"

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-size: 13px; }
th, td { border: 1px solid #8888; padding: 0.2rem 0.5rem; text-align: left; vertical-align: top; }
pre { background: #8881; padding: 0.6rem; overflow-x: auto; }
figure { margin: 1rem 0; overflow-x: auto; }
figcaption { font-size: 13px; }
:root { color-scheme: light dark; }
"""


def prose(core):
    """The hand-written text of a core's page, Markdown."""
    return (FOLDER / f"{core.name}.md").read_text()


def html(core, config, interface="stream"):
    """A data sheet.

    Parameters
    ----------
    core : Core
        Entry of the catalogue.
    config : Config
        Of the type `core.config`; the same one gives the same text.
    interface : str
        `stream` or `axis`.

    Returns
    -------
    str
        HTML that is well-formed XML, too.
    """
    sheet = Sheet(core, config, interface)
    markdown = MarkdownIt("commonmark", {"xhtmlOut": True}).enable("table")

    def fence(self, tokens, index, options, env):
        part = re.fullmatch(r"\{sheet\} (\w+)", tokens[index].info.strip())
        if part:
            return PARTS[part[1]](sheet, tokens[index].content) + "\n"
        return f"<pre><code>{escape(tokens[index].content, quote=False)}</code></pre>\n"

    markdown.add_render_rule("fence", fence)
    told = f"{core.paper}. bitloom {__version__}, configuration: {sheet.parameters}."
    body = markdown.render(prose(core)).replace("</h1>", f"</h1>\n<p><em>{escape(told)}</em></p>", 1)
    title = escape(f"{core.name}: {core.summary}")
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8" />\n<title>{title}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
