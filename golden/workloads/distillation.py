"""A sentence encoder with N:M sparse weights that is taught to do what it did before: texts, batches, and the result.

Pruning alone ruins a model. Here the pruned one (the student) is trained on the dense one's hidden states and
embeddings (the teacher) by a method of `bdwp`, for which no labels are needed. Linear layers and LayerNorms are
trained; the tables of embeddings stay. Texts, their order and the learning rate are our choice; the steps themselves
need automatic differentiation and are in `testbench.sat.distil_train`.
"""

import re
from dataclasses import replace

import numpy as np

from . import encyclopedia, lee
from .transformer import Linear

__all__ = ["LONGEST", "PEAK_RATE", "TOKENS", "batches", "pruned", "texts"]

#: Tokens of a text, to which it is cut, and of a batch, padding included; the highest learning rate.
LONGEST, TOKENS, PEAK_RATE = 128, 1024, 1e-3

#: One paragraph of so many is held out, and so many of its sentences.
_HELD_OUT, _HELD_OUT_SENTENCES = 80, 2
_SHORTEST = 20
_SENTENCE_END = re.compile(r'(?<=[.!?])\s+(?=["A-Z])')


def texts():
    """Paragraphs of `lee.background` and of `encyclopedia.paragraphs`, and all their sentences.

    Returns
    -------
    train, held_out : list of str
        Held out are some of the paragraphs and their first two sentences. None of the texts is one of
        `lee.documents` or of `sentences`.

    Raises
    ------
    FileNotFoundError
        When the wheel that holds them is not installed.
    """
    paragraphs = [*lee.background().removesuffix("\n").split("\n"), *encyclopedia.paragraphs()]
    kept = paragraphs[::_HELD_OUT]
    held_out = [part for text in kept for part in (text, *_sentences(text)[:_HELD_OUT_SENTENCES])]
    left = set(held_out)
    train = [part for text in paragraphs if text not in left for part in (text, *_sentences(text))]
    return [text for text in train if text not in left], held_out


def batches(lengths, seed, epoch):
    """Indices of the texts of each step of an epoch: texts of like lengths together, so that little is padded.

    Parameters
    ----------
    lengths : sequence of int
        Tokens of each text, at most `TOKENS`.
    seed, epoch : int
        All that the order depends on.

    Returns
    -------
    list of list of int
        Each text once; those of a batch, all as long as its longest, have at most `TOKENS` tokens.
    """
    rng = np.random.default_rng([seed, epoch])
    shuffled = rng.permutation(len(lengths))
    made = [[]]
    for index in shuffled[np.argsort(np.asarray(lengths)[shuffled], kind="stable")].tolist():
        # The longest one so far comes last.
        if (len(made[-1]) + 1) * lengths[index] > TOKENS:
            made.append([])
        made[-1].append(index)
    return [made[index] for index in rng.permutation(len(made))]


def pruned(encoder, method):
    """An encoder with the weights of its linear layers as the forward product of `method` has them."""
    linears = {
        name: Linear(np.where(method.masks(layer.weight)[0], layer.weight, np.float32(0)), layer.bias, layer.kind)
        for name, layer in encoder.linears.items()
    }
    return replace(encoder, linears=linears)


def _sentences(text):
    return [part for part in _SENTENCE_END.split(text) if len(part) >= _SHORTEST]
