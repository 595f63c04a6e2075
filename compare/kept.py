"""Results of long work, kept by content."""

import hashlib
import json
from pathlib import Path

from ..golden import strict_json
from ..tools import caches, sources
from ..tools.files import atomic_write

__all__ = ["kept", "place"]


def place(rooms, more, *key, folder="compare"):
    """The file that keeps a result, whether it is there or not.

    Parameters
    ----------
    rooms : sequence of str
        Folders of the package whose code decides the result: when it changes, what was kept is not used.
    more : path or None
        A user's file that does so, too.
    *key : object
        All else that decides it; JSON can hold it.
    folder : str
        Of the cache.

    Returns
    -------
    Path
    """
    theirs = hashlib.sha256(Path(more).read_bytes()).hexdigest() if more else None
    digest = hashlib.sha256(strict_json.dumps([sources.digest(*rooms), theirs, *key]).encode()).hexdigest()
    return caches.cache_dir(folder) / f"{digest}.json"


def kept(make, path):
    """What a function gives, or what an earlier call left.

    Parameters
    ----------
    make : callable
        Gives what JSON can hold.
    path : Path
        As of `place`.

    Returns
    -------
    object
    """
    if path.is_file():
        return json.loads(path.read_text())
    text = strict_json.dumps(make())
    atomic_write(path, text)
    return json.loads(text)
