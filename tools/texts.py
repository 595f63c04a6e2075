"""Texts that can be made again, kept by content."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

from .files import atomic_write

__all__ = ["kept"]


def kept(entry: Path, make: Callable[[], str]) -> str:
    """What `make` returns, from an earlier call with the same file where there was one.

    The text is packed, so it carries a checksum, and is renamed into place: half of one is never read.

    Parameters
    ----------
    entry : Path
        The file; its name tells all that decides the text.
    make : callable
    """
    try:
        return gzip.decompress(entry.read_bytes()).decode()
    except (FileNotFoundError, EOFError, zlib.error, gzip.BadGzipFile):
        pass
    text = make()
    atomic_write(entry, gzip.compress(text.encode(), compresslevel=1, mtime=0))
    return text
