"""Named arrays and a JSON object in the bytes of one ``.npz`` file; the same content gives the same bytes."""

import io
import json
import zipfile
import zlib

import numpy as np

from . import strict_json

__all__ = ["BROKEN", "pack", "unpack"]

#: What NumPy, its zip files and JSON raise for bytes that are no such file: RuntimeError for a member that is encrypted
#: or compressed in a way that is not known, zlib.error, EOFError and OSError for one that is cut or damaged, and
#: MemoryError for a shape that nothing can hold.
BROKEN = (
    AttributeError,
    EOFError,
    KeyError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


def pack(version, about, arrays):
    """Bytes of a file.

    Parameters
    ----------
    version : int
        Of what the file means.
    about : dict
        What JSON can hold.
    arrays : dict of str to ndarray
        None of them named ``about``.

    Returns
    -------
    bytes
    """
    file = io.BytesIO()
    np.savez_compressed(file, about=np.array(strict_json.dumps({"version": version, **about})), **arrays)
    return file.getvalue()


def unpack(version, data, kind):
    """The content of `pack`.

    Parameters
    ----------
    version : int
        The one that is wanted.
    data : bytes
    kind : str
        What the file should be, for the message.

    Returns
    -------
    about : dict
        With ``version``.
    arrays : dict of str to ndarray

    Raises
    ------
    ValueError
        For other data, and for another version.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = dict(json.loads(str(arrays.pop("about"))))
    except BROKEN as error:
        raise ValueError(f"it is no {kind}: {error}") from None
    if about.get("version") != version:
        raise ValueError(f"the version of the {kind} must be {version}, not {about.get('version')}")
    return about, arrays
