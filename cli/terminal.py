"""What a terminal or a pipe gets: text as it is, never as markup, in whatever characters the stream has."""

import codecs
import io
import sys

__all__ = ["adapt", "console", "printable"]

_ERRORS, _ASCII = "bitloom_spelled", "bitloom_ascii"
# Ours and rich's; of rich's, those in U+2800 to U+28FF are the frames of its spinners.
_SPELLED = {"…": "...", "×": "x", "µ": "u", "–": "-", "—": "-", "−": "-", "→": "->", "≤": "<=", "≥": ">=", "•": "*"}
_SPELLED |= dict.fromkeys(map(chr, range(0x2800, 0x2900)), "*")


def adapt():
    """Make standard output and error take every character: what they lack is spelled in characters that they have."""
    codecs.register_error(_ERRORS, _spelled)
    codecs.register(lambda name: _ascii() if name == _ASCII else None)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Click takes a stream that calls itself ASCII for one that was set up wrongly, and writes UTF-8 into it.
            plain = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding=_ASCII if plain else None, errors=_ERRORS)


def console(stderr=False):
    """A console of rich that takes no text for markup: names of tensors and files have brackets and colons, too."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def printable(text):
    """A text that is not ours, in one line: characters that are no sign on paper as in a Python string."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _spelled(error):
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    return _SPELLED.get(character) or character.encode("unicode_escape").decode(), error.start + 1


def _ascii():
    ascii = codecs.lookup("ascii")
    return codecs.CodecInfo(
        ascii.encode,
        ascii.decode,
        streamreader=ascii.streamreader,
        streamwriter=ascii.streamwriter,
        incrementalencoder=ascii.incrementalencoder,
        incrementaldecoder=ascii.incrementaldecoder,
        name=_ASCII,
    )
