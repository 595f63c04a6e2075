"""Bit planes as payloads of a stream, for the benches of the Anda cores."""

import numpy as np

from ..stream import join, split

__all__ = ["describe_planes", "plane_payloads", "plane_words"]


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
    bits, steps = lanes * group, np.arange(count * mantissa) % mantissa
    words = join(planes.transpose(0, 2, 1).reshape(-1, lanes), group)
    framing = ((steps == 0) + 2 * (steps == mantissa - 1)).tolist()
    beside = [
        (sign | (exponent << bits)) << bits
        for sign, exponent in zip(join(signs, group), join(exponents, 5), strict=True)
    ]
    frame = 2 * bits + 5 * lanes
    return [
        word | beside[index // mantissa] | (mark << frame)
        for index, (word, mark) in enumerate(zip(words, framing, strict=True))
    ]


def plane_words(words, exponents, group):
    """Payloads as `plane_payloads` gives for M = 1, of words of signs and planes, shape (N, 2, lanes), in turn."""
    return plane_payloads(words[:, 0], words[:, 1, :, None], exponents, group)


def describe_planes(payload, lanes, group):
    """What a report shows of a payload of planes."""
    bits = lanes * group
    words = {name: payload >> (bits * index) for index, name in enumerate(("plane", "signs"))}
    rest = payload >> (2 * bits)
    framing = rest >> (5 * lanes)
    return {
        **{name: [f"{word:#x}" for word in split(value, group, lanes)] for name, value in words.items()},
        "exponents": split(rest, 5, lanes),
        "first": framing & 1,
        "last": framing >> 1,
    }
