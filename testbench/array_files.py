"""Files of one array, .npy: read whole or not at all, also from a pipe; written complete or not at all."""

import io

import numpy as np

from ..tools.files import atomic_write

__all__ = ["load", "save", "to_bytes"]


def load(path):
    """The array in a .npy file.

    Raises
    ------
    ValueError
        If it is not a complete .npy file, or holds Python objects.
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        try:
            # NumPy reads a file at once by its descriptor, which a pipe does not allow.
            source = file if file.seekable() else io.BytesIO(file.read())
            return np.lib.format.read_array(source, allow_pickle=False)
        except (ValueError, EOFError, MemoryError, OverflowError):
            raise ValueError(f"{str(path)!r} must be a whole .npy file of numbers") from None


def save(path, array):
    """Write an array as a .npy file, complete or not at all."""
    atomic_write(path, to_bytes(array))


def to_bytes(array):
    """An array as the content of a .npy file."""
    content = io.BytesIO()
    np.lib.format.write_array(content, np.ascontiguousarray(array), allow_pickle=False)
    return content.getvalue()
