"""Pieces of a page as HTML, which is well-formed XML, too. In all text, words between backquotes are code."""

from html import escape

__all__ = ["code", "figure", "paragraph", "table"]


def paragraph(text):
    """A paragraph."""
    return f"<p>{code(text)}</p>"


def code(text):
    """Text with `words` in it as HTML."""
    parts = escape(text, quote=False).split("`")
    return "".join(f"<code>{part}</code>" if number % 2 else part for number, part in enumerate(parts))


def table(columns, rows):
    """A table; cells are text with `words` as code, or pairs of such a text and the class of its cell."""
    head = "".join(f"<th>{code(str(column))}</th>" for column in columns)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>\n" for row in rows)
    return f"<table class='sheet'>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>"


def _cell(cell):
    words, name = cell if isinstance(cell, tuple) else (cell, "")
    return f"<td class='{name}'>{code(words)}</td>" if name else f"<td>{code(str(words))}</td>"


def figure(picture, caption):
    """A picture with its caption."""
    return f"<figure>\n{picture}\n<figcaption>{code(caption)}</figcaption>\n</figure>"
