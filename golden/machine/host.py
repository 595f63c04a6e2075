"""What a host sends to the machine, and what it gets back."""

import zlib
from dataclasses import dataclass

import numpy as np

from .image import octets
from .jobs import COUNTERS

__all__ = ["ERRORS", "ITEMS", "Outcome", "ask", "checks", "crc", "image", "outcomes", "passes", "result_count", "state"]

#: What comes in: the address of the words that follow; such a word; a token's id; that of a sentence's last token; that
#: of a pass' last token; the same, of a pass that does not tell its counters; a question for errors and job; one
#: for the CRC-32 of as many words of the memory.
ITEMS = ("address", "word", "token", "sentence", "pass", "quiet", "ask", "check")
_ADDRESS, _WORD, _TOKEN, _SENTENCE, _PASS, _QUIET, _ASK, _CHECK = range(len(ITEMS))

#: Kinds of errors, the lowest bit first.
ERRORS = (
    "more tokens than there are places for",
    "a job that is none",
    "a row that is too long",
    "GELU without a table",
    "nothing moves any more",
    "words beyond the memory's end",
)


def image(words, address=0):
    """Fields of the transfers that put words into the memory.

    Parameters
    ----------
    words : ndarray of uint64
    address : int
        Of the first one.

    Returns
    -------
    dict of str to ndarray
        `data`, `item`.
    """
    item = np.full(len(words) + 1, _WORD)
    item[0] = _ADDRESS
    return {"data": np.concatenate([np.array([address], np.uint64), np.asarray(words, np.uint64)]), "item": item}


def passes(sentences, counted=True):
    """Fields of the transfers of some passes.

    Parameters
    ----------
    sentences : sequence of sequence of array_like of int
        For each pass its sentences, token ids, of each 1 or more.
    counted : bool
        Whether the counters of each pass are to come back.

    Returns
    -------
    dict of str to ndarray
        `data`, `item`.
    """
    data, item = [], []
    for each in sentences:
        for ids in each:
            data.extend(int(token) for token in ids)
            item.extend([_TOKEN] * (len(ids) - 1) + [_SENTENCE])
        item[-1] = _PASS if counted else _QUIET
    return {"data": np.array(data, np.uint64), "item": np.array(item)}


def ask():
    """Fields of the transfer that asks for the state."""
    return {"data": np.zeros(1, np.uint64), "item": np.array([_ASK])}


def state(errors, job):
    """What the machine answers: `errors`, a number, and the job that was given out last or when the first one came."""
    return errors | job << 8


def checks(blocks):
    """Fields of the transfers that ask for the CRC-32 of some blocks of the memory.

    Parameters
    ----------
    blocks : sequence of (int, int)
        Address of the first word, and words.

    Returns
    -------
    dict of str to ndarray
        `data`, `item`.
    """
    data = np.array(blocks, np.uint64).reshape(-1)
    return {"data": data, "item": np.tile([_ADDRESS, _CHECK], len(blocks))}


def crc(words, word_bits):
    """What the machine answers for a block of the memory: the CRC-32, that of zlib, of its words' bytes.

    Parameters
    ----------
    words : ndarray of uint64
    word_bits : int
        A multiple of 8, at most 64; the lowest byte of a word comes first.
    """
    return zlib.crc32(octets(words, word_bits).tobytes())


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a pass gave.

    Attributes
    ----------
    sums : ndarray of int64, shape (sentences, channels)
    counters : dict of str to int
        By the names of `jobs.COUNTERS`.
    """

    sums: np.ndarray
    counters: dict


def result_count(sentences, channels):
    """Transfers that come back for some passes."""
    return sum(len(each) * channels + len(COUNTERS) for each in sentences)


def outcomes(values, sentences, channels):
    """What came back for some passes.

    Parameters
    ----------
    values : ndarray of int
        The field `value` of all transfers.
    sentences : sequence of sequence
        As of `passes`.
    channels : int

    Returns
    -------
    list of Outcome
    """
    made, at = [], 0
    for each in sentences:
        end = at + len(each) * channels
        told = values[end : end + len(COUNTERS)]
        counters = {name: int(value) % (1 << 32) for name, value in zip(COUNTERS, told, strict=True)}
        made.append(Outcome(values[at:end].reshape(len(each), channels).astype(np.int64), counters))
        at = end + len(COUNTERS)
    return made
