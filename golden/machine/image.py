"""Words of the memory behind the machine's port: panels of weights, entries of tables, rows of embeddings, jobs.

A word is an unsigned integer of ``8 * lanes`` bits; what is longer takes several, its lowest bits first.
"""

from types import SimpleNamespace

import numpy as np

from ..gqa_lut import pwl, pwl_unit
from ..olive import ovp
from . import jobs, parts
from .pairs import PAIRS
from .requantizer import SHIFTS

__all__ = [
    "ENTRY",
    "code_words",
    "entry_words",
    "gelu_words",
    "job_words",
    "octets",
    "panels",
    "parse_entries",
    "parse_gelu",
    "parse_jobs",
    "rows",
]

#: Fields of a requantizer's entry, the lowest first, and their bits. `spread`: it is for all lanes, not for the next
#: one; `last` of its table; `second`: it is for the requantizer behind GELU, or for the codes behind LayerNorm;
#: `negative`: LayerNorm's output is multiplied by -1 in this channel.
ENTRY = {"bias": 32, "multiplier": 16, "shift": 5, "spread": 1, "last": 1, "second": 1, "negative": 1}
_ENTRY_BITS = 64


def _split(values, bits, sizes):
    """Numbers of so many bits as words, each from a new word on.

    Parameters
    ----------
    values : sequence of int
        Unsigned.
    bits : int
    sizes : Sizes

    Returns
    -------
    list of int
    """
    word = sizes.word_bits
    return [value >> at & (1 << word) - 1 for value in values for at in range(0, bits, word)]


def _joined(words, bits, sizes):
    """The numbers of `split`."""
    count = -(-bits // sizes.word_bits)
    groups = [words[at : at + count] for at in range(0, len(words), count)]
    return [sum(int(word) << i * sizes.word_bits for i, word in enumerate(group)) for group in groups]


def _signed(value, bits):
    return value - (1 << bits) if value >> bits - 1 else value


def entry_words(requantizer, sizes, *, spread=False, second=False, signs=None):
    """A requantizer's table: an entry for each of its channels.

    Parameters
    ----------
    requantizer : Requantizer
    sizes : Sizes
    spread, second : bool
        As of `ENTRY`, of all entries.
    signs : ndarray of int, optional
        1 or -1, of each channel.

    Returns
    -------
    list of int
    """
    bias, multiplier, shift = (np.atleast_1d(x).tolist() for x in np.broadcast_arrays(*_table(requantizer)))
    negative = [0] * len(bias) if signs is None else (np.asarray(signs) < 0).astype(int).tolist()
    codes = []
    for index in range(len(bias)):
        last = index == len(bias) - 1
        fields = bias[index], multiplier[index], shift[index] - SHIFTS[0], spread, last, second, negative[index]
        code, at = 0, 0
        for value, bits in zip(fields, ENTRY.values(), strict=True):
            code |= (int(value) & (1 << bits) - 1) << at
            at += bits
        codes.append(code)
    return _split(codes, _ENTRY_BITS, sizes)


def _table(requantizer):
    return requantizer.bias, requantizer.multiplier, requantizer.shift


def parse_entries(words, sizes):
    """Entries out of their words.

    Returns
    -------
    list of dict
        By the names of `ENTRY`, with the bias as a number with sign, and the shift as `requantize` takes it.
    """
    entries = []
    for code in _joined(words, _ENTRY_BITS, sizes):
        entry = {}
        for name, bits in ENTRY.items():
            entry[name], code = code & (1 << bits) - 1, code >> bits
        entry["bias"] = _signed(entry["bias"], ENTRY["bias"])
        entry["shift"] += SHIFTS[0]
        entries.append(entry)
    return entries


def panels(weights, sizes):
    """Weights as operand words.

    Parameters
    ----------
    weights : ndarray of int8, shape (N, K)
        N a multiple of `lanes`; of pairs their values.
    sizes : Sizes

    Returns
    -------
    ndarray of uint64, shape (N / lanes, K), of pairs (N / lanes, K / 2)
        Lane r of panel p is row ``p * lanes + r``.
    """
    codes = ovp.encode(weights, PAIRS) if sizes.pairs else np.asarray(weights).astype(np.int8).view(np.uint8)
    lanes = codes.reshape(-1, sizes.lanes, codes.shape[1])
    return _packed(lanes.transpose(0, 2, 1))


def rows(table, sizes):
    """A table of embeddings as words: of each row its channels, the first one lowest.

    Parameters
    ----------
    table : ndarray of int8 or int16, shape (rows, H)
    sizes : Sizes

    Returns
    -------
    ndarray, shape (rows, words of a row)
    """
    table = np.ascontiguousarray(table, table.dtype.newbyteorder("<"))
    return _packed(table.view(np.uint8).reshape(len(table), -1, sizes.lanes))


def _packed(lanes):
    """Words, uint64, of their bytes, the lowest first, along the last axis: 8 or fewer."""
    padded = np.zeros((*lanes.shape[:-1], 8), np.uint8)
    padded[..., : lanes.shape[-1]] = lanes
    return padded.view("<u8")[..., 0].astype(np.uint64)


def octets(words, word_bits):
    """Bytes of words of so many bits, at most 64 and whole bytes: uint8, shape (words, bytes), the lowest first."""
    return np.ascontiguousarray(words, "<u8").view(np.uint8).reshape(len(words), 8)[:, : word_bits // 8]


def gelu_words(scale, sizes):
    """Words that load GELU's table, one number a word."""
    table = parts.gelu_table(scale, sizes.entries)
    unit = SimpleNamespace(width=parts.WIDE, entries=sizes.entries, unsigned_input=False, negate_input=False, left=0)
    return pwl_unit.words(unit, table, scale, table.fraction_bits)


def parse_gelu(words):
    """The table of `gelu_words` as a function of codes."""
    numbers = [_signed(int(word), parts.WIDE) for word in words]
    entries = len(numbers) // 3
    thresholds, slopes, intercepts = (
        numbers[: entries - 1],
        numbers[entries - 1 : -entries - 1],
        numbers[-entries - 1 : -1],
    )
    scale, shift = int(words[-1]) & 0xFF, int(words[-1]) >> 8
    table = pwl.PwlTable(tuple(thresholds), tuple(slopes), tuple(intercepts), 0, width=parts.WIDE)
    top = 1 << parts.WIDE - 1
    return lambda codes: pwl.evaluate(codes, table, scale, shift, -top, top - 1)


def job_words(listed, sizes):
    """Jobs as words."""
    return code_words([jobs.encode(job, sizes) for job in listed], sizes)


def code_words(codes, sizes):
    """Numbers of jobs as words."""
    return _split(codes, jobs.BITS, sizes)


def parse_jobs(words, sizes):
    """The jobs of `job_words`.

    Raises
    ------
    ValueError
        As `jobs.decode`.
    """
    return [jobs.decode(code, sizes) for code in _joined(words, jobs.BITS, sizes)]
