"""Tables whose rows a reader may sort."""

from html import escape
from itertools import groupby

__all__ = ["cell", "sortable"]


def sortable(columns, records, anchors, ident):
    """A table, a line a record.

    Parameters
    ----------
    columns : sequence of Column
    records : sequence of dict
    anchors : sequence of str
        Of the records' sections.
    ident : str
        Of the table.

    Returns
    -------
    str
        HTML that is well-formed XML. Each cell has the whole number as `data-value`, for the script that sorts.
    """
    columns = [column for column in columns if column.page]
    heads = "".join(_head(column) for column in columns)
    groups = "".join(
        f"<th colspan='{len(list(group))}' scope='colgroup'>{escape(name)}</th>"
        for name, group in groupby(column.group for column in columns)
    )
    lines = []
    for record, anchor in zip(records, anchors, strict=True):
        first, *others = columns
        link = f"<th scope='row'><a href='#{anchor}'>{escape(first.value(record))}</a></th>"
        lines.append(f"<tr>{link}{''.join(_cell(column, record) for column in others)}</tr>")
    return (
        f"<div class='wide'>\n<table class='sortable' id='{ident}'>\n<thead>\n<tr class='groups'>{groups}</tr>\n"
        f"<tr>{heads}</tr>\n</thead>\n<tbody>\n" + "\n".join(lines) + "\n</tbody>\n</table>\n</div>"
    )


def _head(column):
    kind = " class='number'" if column.number else ""
    return f"<th scope='col'{kind} title='{escape(column.about)}'>{escape(column.title)}</th>"


def _cell(column, record):
    value = column.value(record)
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    return f"<td class='number' data-value='{'' if value is None else repr(value)}'>{cell(value, column.form)}</td>"


def cell(value, form=str):
    """A number's text, or a dash."""
    return "-" if value is None else escape(form(value))
