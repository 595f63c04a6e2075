"""Layers whose sums have addends of other sign that differ in a single bit, for the bench of the SeVeDo core.

Two sums make a result: of the residual and the low-rank term, and of that and the bias. Whether the addends are equal,
or which one is greater, decides each sum's sign and exponent, and random numbers seldom differ in a high bit, or in a
low one, alone.
"""

import itertools

import numpy as np

from ..golden import hgq, lvc, sevedo
from ..golden.sevedo_core import check

__all__ = ["layers", "single_bits", "wanted"]

#: Exponents of a normal FP16 number.
_EXPONENTS = range(-14, 16)
_FRACTION = 23  # bits, of FP32
_BIAS = 127  # of the exponent of FP32
_HALF = 13  # lowest bit of FP32 that an FP16 number has


def wanted(config):
    """Bits of FP32 in which addends are made to differ, for each sum: a set of (sum, bit)."""
    lowest = 0 if _two_groups(config) else _HALF
    # An exponent and another one, 128 higher, are not both in the range of two addends.
    return {("first", bit) for bit in range(lowest, 30)} | {("second", bit) for bit in range(30)}


def single_bits(layer, x):
    """The sums of a layer whose addends have the other sign and differ in one bit: a set of (sum, bit)."""
    arranged = sevedo.arrange(x, layer)
    residual, term = sevedo.residual(arranged, layer), lvc.product(arranged, layer.low_rank)
    found = set()
    for name, a, b in (("first", residual, term), ("second", residual + term, layer.bias.astype(np.float32))):
        b = np.broadcast_to(b, a.shape)
        differ = (a.view(np.uint32) ^ b.view(np.uint32))[(a != 0) & (b != 0)]
        bits = differ[differ >> 31 == 1] & 0x7FFFFFFF
        found |= {(name, int(bit).bit_length() - 1) for bit in bits if bit and bit & (bit - 1) == 0}
    return found


def layers(config, rng):
    """Pairs of `SevedoLayer` and tokens, with all that `wanted` names."""
    # The tokens have both signs; the bias has not.
    cases = [_first(rng, bit) for which, bit in sorted(wanted(config)) if which == "first"]
    cases += [_second(rng, bit, sign) for bit in range(30) for sign in (1, -1)]
    # Terms of a layer have one gain.
    cases.sort(key=lambda case: case[0])
    made = []
    for size, group in itertools.groupby(cases, key=lambda case: case[0]):
        parts = [parts for _, parts in group]
        for at in range(0, len(parts), config.max_outputs):
            made.append(_layer(config, size, np.array(parts[at : at + config.max_outputs]).T))
    return made


def _first(rng, bit):
    """Residual and term: the terms' size, and an output's parts of both groups, term and bias."""
    if bit < _HALF:
        number = _number(rng, 15)
        return 0, (number, 2.0 ** (15 - _FRACTION + bit), -number, 0)
    if bit < _FRACTION:
        residual, term = rng.permutation(_pair(rng, bit))
        return 0, (residual, 0, -term, 0)
    low, high = _exponents(bit)
    number = _number(rng, 0)
    # The term is the greater one: it has the wider range.
    return max(high - 15, 0), (np.ldexp(number, low), 0, -np.ldexp(number, high), 0)


def _second(rng, bit, sign):
    """The sum of both and the bias, as `_first`; `sign` is that of the former for the activation 1."""
    if bit < _HALF:
        number = _number(rng, 15)
        lowest = 15 - _FRACTION + bit
        return 0, (sign * number, 0, sign * 2.0**lowest, -sign * number)
    if bit < _FRACTION:
        y, bias = rng.permutation(_pair(rng, bit))
        return 0, (sign * y, 0, 0, -sign * bias)
    low, high = _exponents(bit)
    number = _number(rng, 0)
    return max(high - 15, 0), (0, 0, sign * np.ldexp(number, high), -sign * np.ldexp(number, low))


def _number(rng, exponent):
    """A positive number of that exponent, as FP16 has them."""
    return np.ldexp(1 + int(rng.integers(1 << 10)) / (1 << 10), exponent)


def _pair(rng, bit):
    """Two large FP16 numbers that differ in one bit of their fraction."""
    mask = 1 << bit - _HALF
    fraction = int(rng.integers(1 << 10)) & ~mask
    return [np.ldexp(1 + f / (1 << 10), 15) for f in (fraction, fraction | mask)]


def _exponents(bit):
    """The exponent of an FP16 number, and a higher one, that differ in one bit of FP32."""
    place = 1 << bit - _FRACTION
    low = next(e for e in _EXPONENTS[14:] if not (e + _BIAS) & place)
    return low, low + place


def _two_groups(config):
    return config.max_channels >= config.coarse + 2


def _layer(config, size, parts):
    """A layer with an output for each column of `parts`, for the activations 1 and -1.

    Parameters
    ----------
    config : SevedoCoreConfig
    size : int
        Terms are FP16 numbers times 2**size.
    parts : ndarray, shape (4, N)
        For the activation 1: the residual's part of the first and of the second coarse group, the term, the bias.
    """
    first, second, term, bias = parts
    k, n = config.coarse + 2 if _two_groups(config) else 2, len(bias)
    # A coarse group of activations has its scale from 7 in its first channel; 1 or -1 is in the second one.
    gain = int(np.clip(size - 7, -32, 31))
    raw = size - 7 - gain
    x = np.zeros((2, k))
    weight = hgq.quantize(np.zeros((n, k), np.float16), config.coarse, config.fine, config.shift_bits, config.threshold)
    for group, part in enumerate((first, second)[: 1 + (k > 2)]):
        channel = group * config.coarse
        x[:, channel], x[:, channel + 1] = 7, [1, -1]
        weight.codes[:, channel + 1] = np.sign(part)
        weight.shifts[:, channel // config.fine] = (1 << config.shift_bits) - 1
        weight.scales[:, group] = np.where(part, np.abs(part), 1)
    l1 = np.zeros((k, 1), np.int8)
    l1[1] = 64
    low_rank = lvc.LowRank(
        l1,
        (64 * np.sign(term)).astype(np.int8)[None],
        np.where(term, np.ldexp(np.abs(term), -size), 1).astype(np.float16),
        np.zeros(1, np.uint8),
        shift=5,
        gain=gain,
        wide_channels=0,
        wide_ranks=0,
    )
    layer = sevedo.SevedoLayer(
        np.arange(k, dtype=np.int32),
        # The term's activations are 2**raw as large as the residual's.
        np.full(k, 2.0**-raw, np.float16),
        weight,
        low_rank,
        bias.astype(np.float16),
        config.threshold,
    )
    check(layer, config)
    return layer, np.ldexp(x, raw).astype(np.float16)
