"""Bit planes as payloads of a stream, for the benches of the Anda cores."""

import numpy as np

from ...cores.anda.planes import planes_layout
from ..stream import packed

__all__ = ["plane_payloads", "plane_words"]


def plane_payloads(signs, planes, exponents, group):
    """Payloads of `cores.anda.planes.planes_layout`, one for each plane of each set.

    Parameters
    ----------
    signs, exponents : ndarray of shape (N, lanes)
    planes : ndarray of shape (N, lanes, M)
    group : int
        Values in a group.

    Returns
    -------
    list of int
        N * M payloads.
    """
    count, lanes, mantissa = planes.shape
    steps = np.arange(count * mantissa) % mantissa
    return packed(
        planes_layout(lanes, group),
        plane=planes.transpose(0, 2, 1).reshape(-1, lanes),
        signs=np.repeat(signs, mantissa, axis=0),
        exponents=np.repeat(exponents, mantissa, axis=0),
        first=steps == 0,
        last=steps == mantissa - 1,
    )


def plane_words(words, exponents, group):
    """Payloads as `plane_payloads` gives for M = 1, of words of signs and planes, shape (N, 2, lanes), in turn."""
    return plane_payloads(words[:, 0], words[:, 1, :, None], exponents, group)
