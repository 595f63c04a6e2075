"""The integer encoder once more, number by number in Python's integers; tables are data, all else is written anew."""

from fractions import Fraction
from math import floor, isqrt

from bitloom.golden.gqa_lut.pwl import shipped
from bitloom.golden.machine import PairRequantizer


def half_up(numerator, bits):
    """A number over ``2**bits``, rounded half up; bits may be negative."""
    return floor(Fraction(numerator) / Fraction(2) ** bits + Fraction(1, 2))


def clamp(value, bits):
    return min(max(value, -(1 << bits - 1)), (1 << bits - 1) - 1)


def unit(q, table, s, thresholds=None):
    entry = sum(q > threshold for threshold in thresholds or table.thresholds)
    return table.slopes[entry] * (-q if table.negate_input else q) + table.intercepts[entry] * 2**s


def requantized(row, requantizer, residual=None):
    """Codes of a row of sums; a table of one entry is that of all channels."""
    channels = [getattr(requantizer, name).tolist() for name in ("bias", "multiplier", "shift")]
    entries = [values if isinstance(values, list) else [values] * len(row) for values in channels]
    codes = [
        half_up((total + bias) * multiplier, shift)
        for total, bias, multiplier, shift in zip(row, *entries, strict=True)
    ]
    codes = [clamp(code + more, requantizer.bits) for code, more in zip(codes, residual or [0] * len(row), strict=True)]
    return paired(codes) if isinstance(requantizer, PairRequantizer) else codes


def paired(row):
    """Values of pairs of fixed-point numbers, 6 bits behind the point, as OliVe tells them (3.2, Table 4)."""
    normal, outliers = range(8), [12, 16, 24, 32, 48, 64, 96]
    values = []
    for pair in zip(*[(Fraction(abs(q), 64) for q in row[side::2]) for side in (0, 1)], strict=True):
        larger = int(pair[1] >= pair[0])
        if pair[larger] >= Fraction(7 + 12, 2):
            kept = [0, 0]
            kept[larger] = nearest(pair[larger], outliers)
        else:
            kept = [nearest(magnitude, normal) for magnitude in pair]
        values += kept
    return [value if q >= 0 else -value for value, q in zip(values, row, strict=True)]


def nearest(magnitude, grid):
    """The number of a grid that is nearest; of two the larger one."""
    return min(grid, key=lambda value: (abs(value - magnitude), -value))


def linear(row, layer, residual=None):
    sums = [sum(w * x for w, x in zip(weights, row, strict=True)) for weights in layer.weights.tolist()]
    return requantized(sums, layer.requantizer, residual)


def layernorm(row, out_shift, epsilon, entries, bits):
    """The unit alone, `bits` in and out."""
    table, count, total = shipped(f"rsqrt-normalized-{entries}")[6], len(row), sum(row)
    # All pairs' squared differences: no product of C and the sum of squares.
    spread = sum((a - b) ** 2 for i, a in enumerate(row) for b in row[:i]) + epsilon
    half = (spread.bit_length() - 1) // 2
    root = unit(floor(Fraction(spread) / Fraction(4) ** (half - 3)), table, 6)
    return [clamp(half_up((count * q - total) * root, 12 + half - out_shift), bits) for q in row]


def normed(row, norm, entries):
    # The largest at which the root of the row's length is below 2**15.
    scale = isqrt(((1 << 30) - 1) // len(row)).bit_length() - 1
    y = layernorm(row, scale, norm.epsilon, entries, 16)
    return requantized([a * sign for a, sign in zip(y, norm.signs.tolist(), strict=True)], norm.requantizer)


def gelu(q, s, entries):
    table = shipped(f"gelu-{entries}")[5]
    # q * 2**-s lies right of a breakpoint, or on it.
    thresholds = [Fraction(threshold + 1) * 2 ** (s - 5) - Fraction(1, 2) for threshold in table.thresholds]
    return clamp(half_up(unit(q, table, s, thresholds), 6), 16)


def softmax(row, s, entries):
    exp, reciprocals = shipped(f"exp-{entries}")[s], shipped(f"div-normalized-{entries}")[7]
    e = [min(max(half_up(unit(max(row) - q, exp, s), 6 + s - 8), 0), 255) for q in row]
    n = sum(e).bit_length() - 1
    r = unit(floor(Fraction(sum(e)) / Fraction(2) ** (n - 7)), reciprocals, 7)
    return [min(half_up(x * r, 13 + n - 8), 255) for x in e]


def attention(rows, layer, heads, entries):
    width = len(rows[0]) // heads
    query, key, value = ([linear(row, part) for row in rows] for part in (layer.query, layer.key, layer.value))
    context = [[] for _ in rows]
    for start in range(0, len(rows[0]), width):
        part = slice(start, start + width)
        for i, q in enumerate(query):
            logits = [sum(a * b for a, b in zip(q[part], k[part], strict=True)) for k in key]
            p = softmax(requantized(logits, layer.logits), layer.logit_scale, entries)
            context[i] += [sum(a * v[c] for a, v in zip(p, value, strict=True)) for c in range(*part.indices(1 << 20))]
    return [requantized(row, layer.context) for row in context]


def encode(model, ids):
    """Sums over the tokens of the last residual."""
    entries, rows = model.entries, []
    for index, position in zip(ids, model.positions.tolist(), strict=False):
        word = model.words[index].tolist()
        total = [clamp(code * 2**model.word_shift + p, 16) for code, p in zip(word, position, strict=True)]
        rows.append(normed(total, model.norm, entries))
    for layer in model.layers:
        context = attention([requantized(row, layer.attention_input) for row in rows], layer, model.heads, entries)
        totals = [linear(row, layer.output, before) for row, before in zip(context, rows, strict=True)]
        rows = [normed(total, layer.attention_norm, entries) for total in totals]
        up = [linear(requantized(row, layer.feed_forward_input), layer.up) for row in rows]
        hidden = [requantized([gelu(q, layer.gelu_scale, entries) for q in row], layer.hidden) for row in up]
        totals = [linear(row, layer.down, before) for row, before in zip(hidden, rows, strict=True)]
        rows = [normed(total, layer.feed_forward_norm, entries) for total in totals]
    return [sum(column) for column in zip(*rows, strict=True)]
