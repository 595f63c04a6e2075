"""Paragraphs of an encyclopedia: text of many subjects, to train on.

Two hundred pages of the English Wikipedia of 2016 (CC BY-SA) are among the test data of the wheel `gensim`, as its own
export in XML with wiki markup. What is hard to read without a parser of that markup, such as tables and lists, is left
out: it is the text of plain paragraphs that counts.
"""

import bz2
import html
import re

from . import gensim_data

__all__ = ["FILE", "paragraphs", "plain"]

#: Among the wheel's test data.
FILE = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"

_SHORTEST = 100
# Taken out in this order. Templates stand in one another, so the innermost go first, three times.
_TEMPLATE = re.compile(r"\{\{[^{}]*\}\}")
_REMOVED = (
    re.compile(r"<ref[^<>]*/>"),
    re.compile(r"<ref.*?</ref>", re.DOTALL),
    *(_TEMPLATE,) * 3,
    re.compile("'{2,}"),
)
_LINK = re.compile(r"\[\[(?:[^|\[\]]*\|)?([^\[\]]*)\]\]")
_MARKUP = re.compile(r"[{}\[\]<>|=*#]")


def paragraphs():
    """The paragraphs, in the order of the file.

    Returns
    -------
    list of str

    Raises
    ------
    FileNotFoundError
        When the wheel is not installed.
    """
    return plain(bz2.decompress(gensim_data.read(FILE)).decode())


def plain(text):
    """Paragraphs of an export, without footnotes, templates and links.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str
        Lines of 100 characters or more in which no markup is left.
    """
    # Entities of the text stand in entities of the XML.
    text = html.unescape(html.unescape(text))
    for pattern in _REMOVED:
        text = pattern.sub("", text)
    lines = (line.strip() for line in _LINK.sub(r"\1", text).split("\n"))
    return [line for line in lines if len(line) >= _SHORTEST and not _MARKUP.search(line)]
