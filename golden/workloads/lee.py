"""Lee's news texts: one long text to measure a perplexity on, and fifty whose likeness people have rated.

The texts are of the Australian Broadcasting Corporation. Lee, Pincombe and Welsh (An empirical evaluation of models of
text document similarity, 2005) had people rate each pair of fifty texts; the mean rating of a pair, 0 to 1, is what
a model's similarities are held against. They are among the test data of the wheel `gensim`, and never part of bitloom.
"""

import numpy as np

from ..checks import finite, named
from . import gensim_data

__all__ = ["background", "documents", "pearson", "ratings"]

DOCUMENTS = 50


def background():
    """The text of 300 further documents, one a line."""
    return _read("lee_background.cor")


def documents():
    """The fifty documents.

    Returns
    -------
    list of str
    """
    return _read("lee.cor").removesuffix("\n").split("\n")


def ratings():
    """What people found of each pair of documents.

    Returns
    -------
    ndarray of float64, shape (50, 50)
        Mean similarity, 0 to 1; symmetric, and 1 on the diagonal.
    """
    # The file has each pair once, above the diagonal, and 0 below it.
    upper = np.triu(np.array([line.split() for line in _read("similarities0-1.txt").splitlines()], dtype=np.float64), 1)
    return upper + upper.T + np.eye(DOCUMENTS)


def pearson(embeddings):
    """How well a model agrees with people: Pearson's correlation over the 1,225 pairs.

    Parameters
    ----------
    embeddings : ndarray, shape (50, H)
        A vector of any length but 0 for each of :func:`documents`; the similarity of two is their cosine.

    Returns
    -------
    float
        -1 to 1.

    Raises
    ------
    ValueError
        For another shape, and for a vector that is 0 or not finite.
    """
    with named("embeddings"):
        x = finite(embeddings)
    if x.ndim != 2:
        raise ValueError(f"embeddings must have two axes, not shape {x.shape}")
    if len(x) != DOCUMENTS:
        raise ValueError(f"embeddings must be of {DOCUMENTS} documents, not {len(x)}")
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError(f"the embedding of document {int(lengths.argmin())} must not be 0")
    x = x / lengths
    pairs = np.triu_indices(DOCUMENTS, 1)
    return float(np.corrcoef((x @ x.T)[pairs], ratings()[pairs])[0, 1])


def _read(name):
    return gensim_data.read(name).decode("latin-1")
