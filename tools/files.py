"""Files that a user names to be written: one way to write them all.

What is, or will be, a plain file is written beside its place and renamed, so that nobody ever reads half of it. A link
is followed and stays. What is no plain file (a pipe, a device, an open file of this process such as ``/dev/stdout``)
is written through.
"""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from pathlib import Path

__all__ = ["STANDARD_OUTPUT", "atomic_write", "check_writable", "descriptor", "is_plain", "replacing"]

#: The path that names this process' standard output.
STANDARD_OUTPUT = Path("/dev/stdout")


def check_writable(path: str | os.PathLike) -> None:
    """Refuse an output that could not be written, before the work is done for it.

    Raises
    ------
    OSError
        `path` or its nearest folder that exists must not be written to; `path` is a folder, or a folder on the way to
        it is none; a name is longer than the file system allows.
    """
    number = descriptor(path)
    if number is not None:
        try:
            os.fstat(number)
        except OSError as error:
            raise _refusal(error.errno, path) from None
        return
    place, state = _place(path)
    if state is None:
        folder = next(folder for folder in place.parents if os.path.lexists(folder))
        if not folder.is_dir():
            raise _refusal(errno.ENOTDIR, folder)
        for name in place.relative_to(folder).parts:
            with contextlib.suppress(FileNotFoundError):
                os.lstat(folder / name)  # Raises for a name that is too long.
        if not os.access(folder, os.W_OK):
            raise _refusal(errno.EACCES, folder)
    elif stat.S_ISDIR(state.st_mode):
        raise _refusal(errno.EISDIR, path)
    elif not os.access(place, os.W_OK):
        raise _refusal(errno.EACCES, path)


def is_plain(path: str | os.PathLike) -> bool:
    """Whether `path` is a plain file or nothing yet: what can be read again, and has room for other files beside it."""
    _, state = _place(path)
    return (state is None or stat.S_ISREG(state.st_mode)) and descriptor(path) is None


def descriptor(path: str | os.PathLike) -> int | None:
    """Number of the open file of this process that `path` names, as ``/dev/stdout`` and ``/dev/fd/3`` do, else None."""
    path, opened = Path(path), os.path.realpath("/dev/fd")
    if path == STANDARD_OUTPUT:
        return 1  # Also where there is no /dev.
    for _ in range(40):  # As many links as Linux follows.
        folder = os.path.realpath(path.parent)
        if folder == opened and path.name.isascii() and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            return None
        path = Path(folder) / os.readlink(path)
    return None


@contextlib.contextmanager
def replacing(path: str | os.PathLike):
    """Give the path of a file to make; at the end of the block it takes the place of `path`.

    If the block fails, or makes no file, `path` stays as it was. An existing file's mode is kept, and its owner where
    this process may give files away. A file that may be written to in a folder that may not is written in place.

    Parameters
    ----------
    path : path
        Target; its parent folders are made.
    """
    check_writable(path)
    place, state = _place(path)
    renamed = is_plain(path)
    if renamed:
        place.parent.mkdir(parents=True, exist_ok=True)
        renamed = os.access(place.parent, os.W_OK)
    # A short name: one that grows with the target's would not fit where the target's just does.
    with tempfile.TemporaryDirectory(dir=place.parent if renamed else None, prefix=".bitloom-") as folder:
        beside = Path(folder) / "file"
        yield beside
        if not beside.exists():
            return
        if not renamed:
            _write_through(beside, path)
            return
        if state:
            _keep(beside, state)
        os.replace(beside, place)


def atomic_write(path: str | os.PathLike, data: str | bytes) -> None:
    """Write a file as `replacing` does.

    Parameters
    ----------
    path : path
        Target; its parent folders are made.
    data : str or bytes
        Text is written as UTF-8 with the line ends as they are.
    """
    with replacing(path) as beside:
        beside.write_bytes(data.encode() if isinstance(data, str) else data)


def _place(path):
    """The path with all links followed, and its `os.stat`, or None if nothing is there."""
    place = Path(os.path.realpath(path))
    try:
        # Not of `place`: what stands behind /dev/fd has no path of its own.
        return place, os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return place, None


def _write_through(source, path):
    number = descriptor(path)
    try:
        # An open file is not opened again: that would begin at its start, and empty it.
        with open(source, "rb") as file, open(path if number is None else os.dup(number), "wb") as sink:
            shutil.copyfileobj(file, sink)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _keep(path, state):
    """Give a file the owner, as far as is allowed, and the mode of another one."""
    for owner in (state.st_uid, -1):
        with contextlib.suppress(PermissionError):
            os.chown(path, owner, state.st_gid)
            break
    os.chmod(path, stat.S_IMODE(state.st_mode))


def _refusal(number, path):
    return OSError(number, os.strerror(number), str(path))
