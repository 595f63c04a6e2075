"""Results of long work, kept by content."""

import hashlib
import json
from pathlib import Path

from ..golden import strict_json
from ..tools import caches
from ..tools.files import atomic_write

__all__ = ["kept"]


def kept(make, rooms, more, *key):
    """What a function gives, or what an earlier call with the same key and the same code gave.

    Parameters
    ----------
    make : callable
        Gives what JSON can hold.
    rooms : sequence of str
        Folders of the package whose code decides the result.
    more : path or None
        A user's file that does so, too.
    *key : object
        All else that decides it; JSON can hold it.

    Returns
    -------
    object
    """
    digest = hashlib.sha256(strict_json.dumps([_code(rooms, more), *key]).encode()).hexdigest()
    entry = caches.cache_dir("compare") / f"{digest}.json"
    if entry.is_file():
        return json.loads(entry.read_text())
    text = strict_json.dumps(make())
    atomic_write(entry, text)
    return json.loads(text)


def _code(rooms, more):
    """Hash of the code that decides a result: when it changes, what was kept is not used."""
    root = Path(__file__).parents[1]
    sources = sorted(path for room in rooms for path in (root / room).rglob("*.py"))
    sources += [Path(more)] if more else []
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
