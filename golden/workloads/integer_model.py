"""A sentence encoder whose softmax, GELU and LayerNorm are computed in integers, as `integer_ops` has them.

Between them everything stays float32, so that what is measured is the non-linear operations alone. The input of each is
rounded to INT8, half up, with a power of two as scale for the whole tensor. What comes out are integers again: softmax
in units of 2**-8, GELU and LayerNorm as INT8 with a power of two as scale for the tensor, LayerNorm then times INT8
channel scales, plus channel shifts in units of that product. The paper retrains with the operations; this does not.

Scales come from calibration sentences (our choice: the paper learns them), on the activations of the float32 model: for
the input, the power of two with which the float32 operation's output moves least in square; then for the output, the
one with which the integer operation's does.
"""

from dataclasses import dataclass, replace

import numpy as np

from .. import checks
from ..gqa_lut import integer_ops, pwl
from . import transformer
from .evaluate import mean_cosine
from .transformer import Ops

__all__ = ["ENTRIES", "KINDS", "Scales", "calibrate", "compare", "integer", "quantize"]

#: The operations that are replaced.
KINDS = ("softmax", "gelu", "layernorm")
#: Entries of the shipped tables.
ENTRIES = (8, 16)

_SCALES = range(8)
# LayerNorm takes any scale: its input may be far beyond 128.
_NORM_SCALES = range(-8, 8)
_OUT_BITS = 8


@dataclass(frozen=True)
class Scales:
    """Scales of one operation, as powers of two: a code stands for ``code * 2**-scale``.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    input, output : int
    gamma : int, optional
        Of LayerNorm's channel scales.
    """

    kind: str
    input: int
    output: int
    gamma: int | None = None


def quantize(x, scale, low=-128, high=127):
    """Codes, int64: rounded half up, saturated."""
    return np.clip(np.floor(np.ldexp(x, scale) + 0.5), low, high).astype(np.int64)


def calibrate(encoder, sentences, progress=lambda done, total: None):
    """Scales of every operation in `KINDS`, from one pass of the float32 model.

    Parameters
    ----------
    encoder : Encoder
    sentences : sequence of str
        Calibration sentences; none of those that are evaluated.
    progress : callable, optional
        Called with (done, total) in operations.

    Returns
    -------
    dict of str to Scales
        By the operation's name, in the order of execution.
    """
    seen = {}

    def watched(kind):
        def operation(name, *arguments):
            seen.setdefault(name, (kind, []))[1].append(arguments)
            return getattr(transformer, kind)(name, *arguments)

        return operation

    encoder.embed(sentences, Ops(**{kind: watched(kind) for kind in KINDS}), batch=len(sentences))
    scales = {}
    for done, (name, (kind, calls)) in enumerate(seen.items()):
        progress(done, len(seen))
        scales[name] = _best_scales(name, kind, calls)
    progress(len(seen), len(seen))
    return scales


def _best_scales(name, kind, calls):
    """Scales of one operation for all of its calls: first that of the input, then that of the output."""
    exact = getattr(transformer, kind)
    wanted = [exact(name, *arguments) for arguments in calls]

    def error(operation):
        got = (operation(*arguments) for arguments in calls)
        return sum(float(np.square(a - b, dtype=np.float64).sum()) for a, b in zip(got, wanted, strict=True))

    inputs = _NORM_SCALES if kind == "layernorm" else _SCALES
    scale = min(inputs, key=lambda s: error(lambda x, *rest: exact(name, _restored(x, s), *rest)))
    gamma = _gamma_scale(calls[0][1]) if kind == "layernorm" else None
    trials = [Scales(kind, scale, out, gamma) for out in ((_OUT_BITS,) if kind == "softmax" else _SCALES)]
    return min(trials, key=lambda scales: error(_integer(scales, 8)))


def integer(scales, entries=8, kinds=KINDS):
    """Operations on integers.

    Parameters
    ----------
    scales : dict of str to Scales
        As `calibrate` gives.
    entries : int or None
        Of the tables, 8 or 16. None: the float operation, between the same codes, which is the best there can be.
    kinds : sequence of str
        Which operations are replaced; the others stay in float32.

    Returns
    -------
    Ops

    Raises
    ------
    ValueError
        For other entries or kinds.
    """
    checks.chosen("an operation", kinds, KINDS)
    if entries not in (None, *ENTRIES):
        raise ValueError(f"entries must be 8, 16 or None, not {entries!r}")

    def operation(name, *arguments):
        return _integer(_lookup(scales, name), entries)(*arguments)

    return replace(Ops(), **dict.fromkeys(kinds, operation))


def compare(encoder, sentences, calibration, progress=lambda done, total: None):
    """Mean cosine similarity of sentence embeddings with those of the float32 model, operation by operation.

    Parameters
    ----------
    encoder : Encoder
    sentences, calibration : sequence of str
        What is embedded, and what the scales are found on.
    progress : callable, optional
        Called with (done, total) in passes over sentences.

    Returns
    -------
    rows : dict
        For each of `KINDS` and for ``all``, similarities by entries, as of `integer`: ``exact`` without a table, ``8``
        and ``16``.
    scales : dict of str to Scales
    """
    rows = {kind: (kind,) for kind in KINDS} | {"all": KINDS}
    total, done = 2 + len(rows) * (1 + len(ENTRIES)), 0

    def step(value):
        nonlocal done
        done += 1
        progress(done, total)
        return value

    progress(0, total)
    scales = step(calibrate(encoder, calibration))
    reference = step(encoder.embed(sentences))
    result = {}
    for row, kinds in rows.items():
        trials = {str(entries or "exact"): integer(scales, entries, kinds) for entries in (None, *ENTRIES)}
        result[row] = {
            name: step(mean_cosine(reference, encoder.embed(sentences, ops))) for name, ops in trials.items()
        }
    return result, scales


def _integer(scales, entries):
    """One operation on float32 activations, as of `integer`."""
    s, out = scales.input, scales.output
    if scales.kind == "gelu":
        table = entries and pwl.shipped(f"gelu-{entries}")[s]

        def codes(q):
            if entries is None:
                return quantize(transformer.gelu("", _real(q, s)), out)
            return integer_ops.gelu(q, s, out, table)

        return lambda x: _real(codes(quantize(x, s)), out)
    if scales.kind == "softmax":
        tables = entries and {
            "table": pwl.shipped(f"exp-{entries}")[s],
            "reciprocals": pwl.shipped(f"div-normalized-{entries}")[7],
        }

        def codes(q):
            if entries is None:
                return quantize(transformer.softmax("", _real(q, s)), out, 0, (1 << out) - 1)
            return integer_ops.softmax(q, s, out, **tables)

        return lambda x: _real(codes(quantize(x, s)), out)
    table = entries and pwl.shipped(f"rsqrt-normalized-{entries}")[6]
    unit = out + scales.gamma

    def layernorm(x, gamma, beta, eps):
        q = quantize(x, s)
        if entries is None:
            y = quantize(transformer.layernorm("", _real(q, s), np.float32(1), np.float32(0), eps), out)
        else:
            y = integer_ops.layernorm(q, out, table=table)
        shift = np.floor(np.ldexp(np.float64(beta), unit) + 0.5).astype(np.int64)
        return _real(y * quantize(gamma, scales.gamma) + shift, unit)

    return layernorm


def _gamma_scale(gamma):
    """The largest scale with which INT8 holds all channel scales, at most 16."""
    largest = float(np.abs(gamma).max(initial=0))
    return next((scale for scale in range(16, -8, -1) if largest * 2.0**scale < 127.5), -8)


def _restored(x, scale):
    return _real(quantize(x, scale), scale)


def _real(codes, scale):
    return np.ldexp(codes.astype(np.float32), -scale)


def _lookup(scales, name):
    if name not in scales:
        raise ValueError(f"there are no scales for {name}")
    return scales[name]
