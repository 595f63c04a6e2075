"""What a host sends to the machine, and what it gets back."""

from dataclasses import dataclass

import numpy as np

from .jobs import COUNTERS

__all__ = ["ITEMS", "Outcome", "ask", "image", "outcomes", "passes", "result_count", "state"]

#: What comes in: the address of the words that follow; such a word; a token's id; that of a sentence's last token; that
#: of a pass' last token; the same, of a pass that does not tell its counters; a question for errors and job;
#: what is taken and forgotten.
ITEMS = ("address", "word", "token", "sentence", "pass", "quiet", "ask", "nothing")
_ADDRESS, _WORD, _TOKEN, _SENTENCE, _PASS, _QUIET, _ASK, _NOTHING = range(len(ITEMS))


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
