"""The code of this package, as a number: where it is another one, what was made with it may be another, too."""

import hashlib
from pathlib import Path

__all__ = ["digest"]

_ROOT = Path(__file__).parents[1]

#: What decides a result: code, what is compiled of it, tables.
_SUFFIXES = {".py", ".cpp", ".json"}


def digest(*rooms):
    """SHA-256 of the files of some rooms, and of their places.

    Parameters
    ----------
    *rooms : str
        Folders below the package's own; without any, all that are packages. Beside them a checkout has others.

    Returns
    -------
    str
        Hexadecimal digits.
    """
    folders = [_ROOT / room for room in rooms] or [init.parent for init in _ROOT.glob("*/__init__.py")]
    paths = (path for folder in folders for path in folder.rglob("*") if path.suffix in _SUFFIXES)
    digests = hashlib.sha256()
    for path in sorted(paths):
        digests.update(path.relative_to(_ROOT).as_posix().encode() + b"\0")
        digests.update(hashlib.sha256(path.read_bytes()).digest())
    return digests.hexdigest()
