"""A program of the machine as a file: the image of its memory, and what a host must know of it."""

import dataclasses

import numpy as np

from .. import archive
from . import image, jobs
from .compiler import Program
from .sizes import Sizes

__all__ = ["dumps", "loads"]

_VERSION = 1
_COUNTS = ("channels", "vocabulary", "positions")


def dumps(program, about):
    """Bytes of an .npz file.

    Parameters
    ----------
    program : Program
    about : dict
        What else the file tells, that JSON can hold.

    Returns
    -------
    bytes
    """
    told = {name: getattr(program, name) for name in _COUNTS}
    told |= {"sizes": dataclasses.asdict(program.sizes), "jobs": len(program.jobs), "about": about}
    return archive.pack(_VERSION, told, {"words": program.words})


def loads(data):
    """The program of a file, and what else it tells.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    Program, dict

    Raises
    ------
    ValueError
        For other data.
    """
    told, arrays = archive.unpack(_VERSION, data, "program of the machine")
    try:
        sizes = Sizes(**told["sizes"])
        words = np.asarray(arrays["words"], np.uint64)
        count = told["jobs"] * jobs.BITS // sizes.word_bits
        codes = image.parse_jobs(words[:count], sizes)
        return Program(sizes, tuple(codes), words, **{name: told[name] for name in _COUNTS}), told["about"]
    except archive.BROKEN as error:
        raise ValueError(f"it is no program of the machine: {error}") from None
