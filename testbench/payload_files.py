"""Payloads in files: a .npy file holds whole payloads, a .npz file an array for each field of them."""

import io
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from amaranth import Shape

from ..golden.archive import BROKEN
from ..hdl.stream import codec
from ..tools.files import atomic_write
from . import array_files, payloads

__all__ = ["Fields", "are_numbers", "load", "save"]


class Fields(NamedTuple):
    """Arrays of fields by their names, and the file that they are from."""

    path: Path
    arrays: dict

    def packed(self, name, layout):
        """Payloads of the stream `name`, as from `codec.pack`, whose errors tell the file too; 1 or more."""
        try:
            rows = codec.pack(layout, **self.arrays)
            if not len(rows):
                raise ValueError("its fields must hold one or more transfers, not 0")
        except ValueError as error:
            raise ValueError(f"{str(self.path)!r}, stream {name}: {error}") from None
        return rows


def load(path):
    """What a file of payloads holds.

    Returns
    -------
    ndarray or Fields
        Of a name that ends in .npz the fields, else the only array.

    Raises
    ------
    ValueError
        If it is no whole file of its kind, or holds Python objects.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    if path.suffix != ".npz":
        return array_files.load(path)
    wanted = f"{str(path)!r} must be a whole .npz file of numbers"
    data = path.read_bytes()
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except BROKEN:
        raise ValueError(wanted) from None
    with archive:
        return Fields(path, {name.removesuffix(".npy"): _array(archive, name, wanted) for name in archive.namelist()})


def _array(archive, name, wanted):
    try:
        with archive.open(name) as member:
            return np.lib.format.read_array(member, allow_pickle=False)
    except BROKEN:
        raise ValueError(f"{wanted}: field {name.removesuffix('.npy')!r} is no such array") from None


def are_numbers(given):
    """Whether all of what `load` gave are integers, a payload each: outputs are written likewise."""
    return all(isinstance(array, np.ndarray) and array.ndim == 1 for array in given)


def save(path, data, layout, numbers):
    """Write the payloads of a stream, complete or not at all; the same payloads give the same bytes.

    Parameters
    ----------
    path : Path
        A name that ends in .npz gets an array for each field, another one the payloads.
    data : bytes
        Whole payloads.
    layout : ShapeLike
        Of a payload.
    numbers : bool
        As for `payloads.from_bytes`.
    """
    bits = Shape.cast(layout).width
    if path.suffix != ".npz":
        array_files.save(path, payloads.from_bytes(data, bits, numbers))
        return
    content = io.BytesIO()
    # By hand, because `np.savez` has parameters of its own, whose names fields may have.
    with zipfile.ZipFile(content, "w") as archive:
        for name, array in codec.unpack(layout, payloads.from_bytes(data, bits, False)).items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    atomic_write(path, content.getvalue())
