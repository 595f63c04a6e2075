"""Bits of many runs side by side: a row of words for each bit of a value, with a bit for each run."""

import numpy as np

__all__ = ["from_octets", "merge", "octets", "pack", "slices", "unpack", "word_count"]

_WORD = 64


def word_count(runs):
    """Words that hold a bit of each run."""
    return -(-runs // _WORD)


def slices(values, width):
    """Bits of one value for each run.

    Parameters
    ----------
    values : array_like of int, shape (runs,)
        In two's complement where they are negative.
    width : int
        1 to 64.

    Returns
    -------
    ndarray of uint64, shape (width, words)
        The lowest bit first.
    """
    return pack((np.asarray(values).astype(np.int64)[None] >> np.arange(width)[:, None]) & 1)


def merge(words, runs):
    """The values of `slices`, unsigned."""
    return (unpack(words, runs).astype(np.int64) << np.arange(len(words))[:, None]).sum(axis=0)


def pack(bits):
    """Words of bits, shape (..., runs)."""
    bits = np.asarray(bits, np.uint8)
    filled = np.zeros((*bits.shape[:-1], word_count(bits.shape[-1]) * _WORD), np.uint8)
    filled[..., : bits.shape[-1]] = bits
    return np.packbits(filled, axis=-1, bitorder="little").view("<u8")


def unpack(words, runs):
    """The bits of `pack`, uint8."""
    octets = np.ascontiguousarray(words, "<u8").view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=runs, bitorder="little")


def octets(words, runs):
    """Values of any width, of rows of words as `slices` gives them: uint8, shape (runs, bytes), the lowest first."""
    return np.packbits(unpack(words, runs), axis=0, bitorder="little").T


def from_octets(values, width):
    """The rows of words, one for each of `width` bits, of which `octets` makes the values."""
    return pack(np.unpackbits(np.ascontiguousarray(values), axis=1, count=width, bitorder="little").T)
