"""Search by meaning on the machine: the nearest of some sentences to a query, and what it takes to embed that."""

from dataclasses import dataclass

import numpy as np

from .energies import BYTE_ENERGY, PRODUCT_ENERGY

__all__ = ["Cost", "nearest"]


@dataclass(frozen=True)
class Cost:
    """What a pass takes.

    Attributes
    ----------
    cycles : int
    bytes : int
        That are read from the memory.
    products : int
        Of the program, for all tokens.
    """

    cycles: int
    bytes: int
    products: int

    @property
    def energy(self):
        """Joules: an estimate, of `energies` alone; an FPGA takes more."""
        return (self.bytes * BYTE_ENERGY + self.products * PRODUCT_ENERGY) * 1e-12


def nearest(sums, query, count):
    """The nearest of some sentences to a query.

    Parameters
    ----------
    sums : ndarray, shape (sentences, channels)
        Of the machine.
    query : ndarray, shape (channels,)
        Likewise.
    count : int
        How many, at most.

    Returns
    -------
    list of (int, float)
        Number of each sentence, and its cosine similarity; the nearest first, the first of equals first.
    """
    sums, query = np.asarray(sums), np.asarray(query)
    lengths = np.linalg.norm(sums, axis=1) * np.linalg.norm(query)
    similarity = (sums @ query) / np.maximum(lengths, 1)
    order = np.argsort(-similarity, kind="stable")[:count]
    return [(int(index), float(similarity[index])) for index in order]
