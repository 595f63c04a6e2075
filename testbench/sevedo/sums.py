"""Layers whose sums random ones seldom have, for the bench of the SeVeDo core.

Three sums of FP32 numbers make a result: that of the residual's coarse groups, that of the residual and the low-rank
term, and that of both and the bias. An adder compares its addends, takes them apart where they have other signs, and
rounds. So here are, for each sum, addends of other sign that differ in a single bit, which is all that is left of them
then; sums that lie halfway between two FP32 numbers, for addends any number of places apart; and sums a little more
than halfway, above an even number. A result has few bits: what the sums before the last one gave must be taken away
until their last bits show, or decide its rounding.

Before these, a coarse group's integers are added, fine group by fine group. So here are integers of few bits, which a
result has all of, and integers near the largest one.
"""

import itertools
from dataclasses import replace

import numpy as np

from ...golden.sevedo import hgq, lvc
from ...golden.sevedo import layer as sevedo

__all__ = ["layers", "seen", "wanted"]

_FRACTION = 23  # bits of FP32's fraction
_BIAS = 127  # of its exponent
_HALF = _FRACTION - 10  # lowest bit of FP32 that an FP16 number of the same exponent has
_TOP = 15  # exponent of the largest FP16 numbers
_SHOWN = 6  # bits of an integer that a result shows, whatever else is in it

#: Places between addends, for ties: the lesser one of the first sum is the residual, which has up to 24 bits; that of
#: the second one is the residual with its term, or, with 11 bits, the bias.
_FIRST_PLACES = (*range(1, 11), *range(13, 24))
_SECOND_PLACES = (*range(1, 12), *range(14, 24))


def wanted(config):
    """What the layers have for a configuration: a set of (kind, sum, bit or places)."""
    groups = _groups(config)
    # An exponent and another one, 128 higher, are not both in the range of two addends.
    cases = {("bit", "second", bit) for bit in range(30)}
    cases |= {("bit", "first", bit) for bit in range(30 if groups > 1 else 0)}
    cases |= {("bit", "residual", bit) for bit in range(_FRACTION if groups > 2 else 0)}
    if groups > 1:
        cases |= {("tie", "first", places) for places in _FIRST_PLACES}
        cases |= {("tie", "second", places) for places in _SECOND_PLACES}
        cases |= {("above", "first", 0), ("above", "second", 0)}
    if _fine_groups(config) > 1:
        cases |= {("integer", "sum", bit) for bit in range(_SHOWN)}
    if 1 < config.coarse // config.fine == _fine_groups(config):
        cases |= {("integer", "large", bit) for bit in _high_bits(config.coarse, config.shift_bits)}
    return cases


def seen(layer, x):
    """What a layer with its tokens has, as of `wanted`."""
    arranged = sevedo.arrange(x, layer)
    residual, term = sevedo.residual(arranged, layer), lvc.product(arranged, layer.low_rank)
    sums = [("first", residual, term), ("second", residual + term, layer.bias.astype(np.float32))]
    w = layer.residual
    if (ends := w.codes.shape[1] - w.coarse) > 0:
        before, last = w.codes.copy(), w.codes.copy()
        before[:, ends:], last[:, :ends] = 0, 0
        parts = (
            sevedo.residual(arranged, replace(layer, residual=replace(w, codes=codes))) for codes in (before, last)
        )
        sums.append(("residual", *parts))
    cases = set()
    for name, a, b in sums:
        a, b = np.broadcast_arrays(a, b)
        both = (a != 0) & (b != 0)
        a, b = (part[both].astype(np.float32) for part in (a, b))
        differ = a.view(np.uint32) ^ b.view(np.uint32)
        single = {int(bits) & 0x7FFFFFFF for bits in differ if bits >> 31}
        cases |= {("bit", name, bits.bit_length() - 1) for bits in single if bits and bits & (bits - 1) == 0}
        # Exact, if the addends are less than 30 places apart.
        exact, result = a.astype(np.float64) + b, a + b
        tie = np.abs(exact - result) * 2 == np.spacing(np.abs(result))
        places = np.abs(np.frexp(a)[1] - np.frexp(b)[1])
        cases |= {("tie", name, int(count)) for count in places[tie]}
        # Rounded up by a quarter of a place at the most, from an even number.
        up = np.abs(result) - np.abs(exact)
        up = (up > 0) & (up * 4 <= np.spacing(np.abs(result))) & ((result.view(np.uint32) & 1) != 0)
        cases |= {("above", name, 0)} if up.any() else set()
    return cases | _integers_seen(arranged, layer)


def _integers_seen(arranged, layer):
    """Bits of the integers before the last fine group, where the result has them all; and of large integers."""
    w = layer.residual
    x = hgq.quantize(arranged, w.coarse, w.fine, w.shift_bits, layer.threshold)
    if len(w.scales.T) > 1 or layer.low_rank.l2.any() or layer.bias.any() or w.coarse == w.fine:
        return set()
    parts = [q.codes.astype(np.int64).reshape(-1, w.coarse // w.fine, w.fine) for q in (x, w)]
    shifts = x.shifts[:, None].astype(np.int64) + w.shifts[None]
    dots = np.einsum("tgf,ngf->tng", *parts) << shifts
    integers = dots.sum(axis=-1)
    whole = (np.abs(integers) <= 1 << 11) & (x.scales == 1) & (w.scales.T == 1)
    before = (dots.cumsum(axis=-1)[..., -2])[whole]
    cases = {("integer", "sum", bit) for bit in range(_SHOWN) if (before >> bit & 1).any()}
    bits = _high_bits(w.coarse, w.shift_bits)
    large = np.abs(integers[np.abs(integers) >> bits[-1] != 0])
    return cases | {("integer", "large", bit) for bit in bits if (large >> bit & 1).any()}


def layers(config, rng):
    """Pairs of `SevedoLayer` and tokens, with all that `wanted` names."""
    makers = {"bit": _single_bit, "tie": _tie, "above": _above}
    cases = []
    for kind, name, number in sorted(kind for kind in wanted(config) if kind[0] in makers):
        # Every row and column of the tile has an adder of its own.
        times, tokens = (config.cols, 2 * config.rows) if name == "residual" else (1, 2)
        cases += [(tokens, *case) for case in makers[kind](rng, name, number) for _ in range(times)]
    made = []
    # Terms of a layer have one gain.
    for (tokens, size), group in itertools.groupby(sorted(cases), key=lambda case: case[:2]):
        parts = [parts for *_, parts in group]
        for at in range(0, len(parts), config.max_outputs):
            made.append(_layer(config, tokens, size, np.array(parts[at : at + config.max_outputs]).T))
    if _fine_groups(config) > 1:
        made += [_small_integers(config, rng), _large_integers(config, rng)]
    return made


def _single_bit(rng, name, bit):
    """Outputs whose addends of a sum differ in one bit and the sign.

    An output is the size of its term, for `_layer`, and what it consists of for the activation 1: the parts of three
    coarse groups, the term, the bias. Tokens have activations of both signs; the bias has one sign.
    """
    lowest, mask = 2.0 ** (_TOP - _FRACTION + bit), 1 << max(bit - _HALF, 0)
    fraction = int(rng.integers(1 << 10)) & ~mask
    number, other = (np.ldexp(1 + f / (1 << 10), _TOP) for f in (fraction, fraction | mask))
    if name == "residual":
        return [(0, (number, lowest, -number, 0, 0))]
    if bit < _HALF:
        if name == "first":
            return [(0, (number, lowest, 0, -number, 0))]
        return [(0, (sign * number, 0, 0, sign * lowest, -sign * number)) for sign in (1, -1)]
    if bit < _FRACTION:
        a, b = rng.permutation([number, other])
        if name == "first":
            return [(0, (a, 0, 0, -b, 0))]
        return [(0, (sign * a, 0, 0, 0, -sign * b)) for sign in (1, -1)]
    # The term is much the greater one: it has the wider range.
    place = 1 << bit - _FRACTION
    exponent = next(exponent for exponent in range(_TOP) if not (exponent + _BIAS) & place)
    a, b = (np.ldexp(number, shift - _TOP) for shift in (exponent, exponent + place))
    size = max(exponent + place - _TOP, 0)
    if name == "first":
        return [(size, (a, 0, 0, -b, 0))]
    return [(size, (0, 0, 0, sign * b, -sign * a)) for sign in (1, -1)]


def _tie(rng, name, places):
    """Outputs with a sum that is halfway between two FP32 numbers, as `_single_bit`."""
    one = 2.0**_TOP
    less, half = np.ldexp(one, -places), np.ldexp(one, -24)
    # Even in its last bit, that is bit 10; far from both ends of its exponent, so that no sum leaves it.
    number = one + np.ldexp(one, -9) * int(rng.integers(1 << 7, 1 << 8)) if places > 1 else one
    made = []
    for sign in (1, -1):
        if name == "first":
            # The bias takes away what is above the last bits; FP16 numbers have the others, or none is left.
            bias = number + sign * less if places < 11 else number
            made += [(0, (sign * less, up * half, 0, number, -bias)) for up in (1, -1)]
        elif places < 12:
            # An odd number of halves of the last place of the result, and half a place of FP32.
            odd = less + np.ldexp(one, -11) if places < 11 else less
            made += [(0, (sign * odd, 0, 0, sign * half, sign * number))]
        else:
            # Halfway between two results; the bias, taken away before, gives half a place of FP32.
            middle = np.ldexp(one, -11)
            made += [(0, (sign * number, sign * middle, 0, -sign * less, sign * (less + half)))]
            made += [(0, (sign * number, sign * middle, 0, sign * less, -sign * (less - half)))]
    return made


def _above(rng, name, _):
    """Outputs with a sum a quarter of a place of FP32 above halfway, above an even number, as `_single_bit`."""
    one, made = 2.0**_TOP, []
    for sign in (1, -1):
        number = one + np.ldexp(one, -9) * int(rng.integers(1 << 7, 1 << 8))
        more = np.ldexp(one, -24) + np.ldexp(one, -25)
        if name == "first":
            made.append((0, (sign * more, 0, 0, sign * number, -sign * number)))
        else:
            # One place above the middle of two results, of which the lower one is even.
            made.append((0, (sign * np.ldexp(one, -11), sign * more, 0, 0, sign * number)))
    return made


def _fine_groups(config):
    """Fine groups of a coarse group that a layer can fill."""
    return min(config.max_channels, config.coarse) // config.fine


def _high_bits(coarse, shift_bits):
    """Bits of the largest integer of a coarse group that a result shows, the highest one last."""
    largest = 49 * coarse << 2 * ((1 << shift_bits) - 1)
    bits = largest.bit_length()
    return [bit for bit in range(max(0, bits - 11), bits) if largest >> bit & 1]


def _small_integers(config, rng):
    """A layer and tokens whose integers are the results' digits: no shifts, few products, scales of 1.

    The activation that the scale is from is the last fine group's first one, and has no weight.
    """
    k, n, tokens = (
        _fine_groups(config) * config.fine,
        min(config.max_outputs, 4 * config.cols),
        max(16, 2 * config.rows),
    )
    codes = rng.integers(-7, 8, (tokens, k))
    codes[:, k - config.fine :] = 0
    x = codes / (1 << (1 << config.shift_bits) - 1)
    x[:, k - config.fine] = 7
    weights = rng.integers(-7, 8, (n, k)) * (rng.random((n, k)) < min(1, 32 / k))
    weights[:, k - config.fine] = 0
    return _of_residual(config, x, weights, 0)


def _large_integers(config, rng):
    """A layer and tokens whose integers are above half of the largest one: the widest shifts, large codes."""
    k, n, tokens = (
        _fine_groups(config) * config.fine,
        min(config.max_outputs, 4 * config.cols),
        max(16, 2 * config.rows),
    )
    # Some of the largest codes alone, some of lesser ones, too.
    x, weights = (rng.integers(rng.integers(5, 8, (rows, 1)), 8, (rows, k)) for rows in (tokens, n))
    x[:, 0] = x[0] = weights[0] = 7
    signs = rng.choice([-1, 1], (n, 1))
    return _of_residual(config, x.astype(float), weights * signs, (1 << config.shift_bits) - 1)


def _sizes(config):
    """Tokens and outputs, several for each processing element, and channels, of whole fine groups."""
    return max(16, 2 * config.rows), min(config.max_outputs, 4 * config.cols), _fine_groups(config) * config.fine


def _of_residual(config, x, codes, shift):
    """A layer without term and bias, of one coarse group with the scale 1, and its tokens."""
    n, k = codes.shape
    weight = hgq.quantize(np.zeros((n, k), np.float16), config.coarse, config.fine, config.shift_bits, config.threshold)
    weight.codes[:, :k], weight.shifts[:], weight.scales[:] = codes, shift, 1
    low_rank = lvc.LowRank(
        np.zeros((k, 1), np.int8),
        np.zeros((1, n), np.int8),
        np.ones(n, np.float16),
        np.zeros(1, np.uint8),
        shift=5,
        gain=0,
        wide_channels=0,
        wide_ranks=0,
    )
    smoothing = np.ones(k, np.float16)
    order, bias = np.arange(k, dtype=np.int32), np.zeros(n, np.float16)
    return sevedo.SevedoLayer(order, smoothing, weight, low_rank, bias, config.threshold), x.astype(np.float16)


def _groups(config):
    """Coarse groups of the layers, each with two channels or more."""
    return min(3, (config.max_channels - 2) // config.coarse + 1)


def _layer(config, tokens, size, parts):
    """A layer with an output for each column of `parts`, and tokens.

    Parameters
    ----------
    config : SevedoCoreConfig
    tokens : int
        Even.
    size : int
        Terms are FP16 numbers times 2**size.
    parts : ndarray, shape (5, N)
        Outputs, as of `_single_bit`.
    """
    *residual, term, bias = parts
    groups, n = _groups(config), len(bias)
    k = (groups - 1) * config.coarse + 2
    # A coarse group of activations has its scale from 7 in its first channel; 1 or -1 is in the second one.
    x, signs = np.zeros((tokens, k)), np.resize([1, -1], tokens // 2)
    weight = hgq.quantize(np.zeros((n, k), np.float16), config.coarse, config.fine, config.shift_bits, config.threshold)
    for group, part in enumerate(residual[:groups]):
        channel = group * config.coarse
        x[:, channel], x[:, channel + 1] = 7, np.append(signs, -signs)
        weight.codes[:, channel + 1] = np.sign(part)
        weight.shifts[:, channel // config.fine] = (1 << config.shift_bits) - 1
        weight.scales[:, group] = np.where(part, np.abs(part), 1)
    l1 = np.zeros((k, 1), np.int8)
    l1[1] = 64
    gain = int(np.clip(size - 7, -32, 31))
    raw = size - 7 - gain
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
        # The term's activations are 2**raw times as large as the residual's.
        np.full(k, 2.0**-raw, np.float16),
        weight,
        low_rank,
        bias.astype(np.float16),
        config.threshold,
    )
    return layer, np.ldexp(x, raw).astype(np.float16)
