"""Arrays as payloads of a stream, payloads as arrays, and what a person says of both."""

from pathlib import Path

import numpy as np

from ..hdl.stream import codec
from ..tools import numerals

__all__ = ["from_bytes", "output_files", "parse_files", "parse_settings", "rows", "streams", "to_rows"]

_MOST_BITS = 64  # of a payload that an array can hold as a number


def rows(layouts, sent):
    """Payloads of what a golden model sends, each block packed once.

    Parameters
    ----------
    layouts : mapping of str to ShapeLike
        Of the payloads of each stream: `cores.interface.layouts`.
    sent : dict of str to golden.transfers.Transfers

    Returns
    -------
    dict of str to ndarray of uint8, shape (transfers, bytes)
    """
    return {name: _rows(layouts[name], *transfers) for name, transfers in sent.items()}


def _rows(layout, fields, order):
    blocks, count = next(iter(fields.values())).shape[:2]
    flat = {name: values.reshape(blocks * count, *values.shape[2:]) for name, values in fields.items()}
    packed = codec.pack(layout, **flat)
    size = packed.shape[1]
    return packed.reshape(blocks, count, size).take(order, axis=0).reshape(len(order) * count, size)


def to_rows(name, array, bits):
    """Payloads of a stream out of an array.

    Parameters
    ----------
    name : str
        Of the stream, for messages.
    array : ndarray
        One payload a transfer: uint8 of shape (N, bytes), the lowest byte first and unused upper bits 0, or, for a
        payload of at most 64 bits, integers of shape (N,), which may be negative.
    bits : int
        Of a payload.

    Returns
    -------
    ndarray of uint8, shape (N, bytes)

    Raises
    ------
    ValueError
        For another type or shape, no payload at all, and payloads of more bits.
    """
    size = -(-bits // 8)
    rows = array.dtype == np.uint8 and array.ndim == 2 and array.shape[1] == size
    numbers = np.issubdtype(array.dtype, np.integer) and array.ndim == 1 and bits <= _MOST_BITS
    if not ((rows or numbers) and len(array)):
        wanted = f"rows of {size} bytes, uint8" + (", or integers of shape (N,)" if bits <= _MOST_BITS else "")
        raise ValueError(
            f"stream {name} has payloads of {bits} bits: its array must hold one or more as {wanted}, not "
            f"{array.dtype} of shape {array.shape}"
        )
    if numbers:
        # A negative one in two's complement.
        array = [value + (-(1 << bits >> 1) <= value < 0) * (1 << bits) for value in array.tolist()]
    return codec.to_rows(array, bits, f"stream {name}")


def from_bytes(data, bits, numbers):
    """An array of payloads.

    Parameters
    ----------
    data : bytes
        Whole payloads.
    bits : int
        Of a payload.
    numbers : bool
        Whether to give numbers where a payload has at most 64 bits.

    Returns
    -------
    ndarray
        uint64 of shape (N,), or uint8 of shape (N, bytes).
    """
    size = -(-bits // 8)
    rows = np.frombuffer(data, np.uint8).reshape(-1, size)
    return np.array(codec.to_integers(rows), np.uint64) if numbers and bits <= _MOST_BITS else rows


def parse_files(texts, streams):
    """Files of input streams, from `NAME=FILE` texts; a file alone is for the stream of name None.

    What stands before the first ``=`` is a stream only if the core has one of that name; else all of it is a file.

    Parameters
    ----------
    texts : sequence of str
    streams : collection of str
        Names of the core's input streams.

    Returns
    -------
    dict of (str or None) to Path

    Raises
    ------
    ValueError
        If a stream is named twice, if one file is without a name and it is not the only one, and if there is neither a
        stream nor a file of that name.
    """
    files = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if name not in streams and equals and not Path(text).exists():
            known = f"the core has no input stream {name!r}, only {', '.join(streams)}"
            raise ValueError(f"--in {text!r}: {known}, and there is no such file")
        name, path = (name, path) if equals and name in streams else (None, text)
        if name in files:
            raise ValueError(
                f"--in gives stream {name!r} twice" if name else "--in must be NAME=FILE for each of several"
            )
        files[name] = Path(path)
    if None in files and len(files) > 1:
        raise ValueError("--in must be NAME=FILE for each of several streams")
    return files


def parse_settings(texts):
    """Values of inputs that belong to no stream, from `NAME=VALUE` texts.

    Raises
    ------
    ValueError
        For a text that is not of this form, and a name that is given twice.
    """
    settings = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not (value.isascii() and value.isdecimal()) or name in settings:
            raise ValueError(f"--set must be NAME=N, once for each name, with N 0 or more, not {text!r}")
        settings[name] = numerals.whole(value)
    return settings


def streams(known, arrays, settings, constants, layouts):
    """Payloads of every input stream of a core.

    Parameters
    ----------
    known : mapping of str to LinkStream
        The input streams.
    arrays : dict of (str or None) to ndarray or payload_files.Fields
        As `parse_files` names them.
    settings : mapping of str to int
        The other inputs, and their widths.
    constants : dict of str to int
        Their values.
    layouts : mapping of str to ShapeLike
        Of the payloads of each stream: `cores.interface.layouts`.

    Returns
    -------
    dict of str to ndarray of uint8, shape (N, bytes)

    Raises
    ------
    ValueError
        If streams are missing or unknown, and as from `to_rows` and `Fields.packed`; so for the settings.
    """
    if len(known) == 1 and None in arrays:
        arrays = {next(iter(known)): arrays[None]}
    if set(arrays) != set(known):
        wanted = " ".join(f"--in {name}=FILE" for name in known) if len(known) > 1 else "--in FILE"
        raise ValueError(f"the core's input streams are {', '.join(known)}: give {wanted}")
    for name, value in constants.items():
        if name not in settings:
            raise ValueError(f"unknown input {name!r} in --set: the core has {', '.join(settings) or 'none'}")
        if value >> settings[name]:
            raise ValueError(f"{name} must be 0 to {(1 << settings[name]) - 1}, not {value}")
    return {
        name: to_rows(name, arrays[name], stream.bits)
        if isinstance(arrays[name], np.ndarray)
        else arrays[name].packed(name, layouts[name])
        for name, stream in known.items()
    }


def output_files(path, outputs):
    """A file for each output stream: the one that was named, or with the stream's name added to it."""
    if len(outputs) == 1:
        return dict.fromkeys(outputs, path)
    return {name: path.with_name(f"{path.stem}.{name}{path.suffix}") for name in outputs}
