"""Where the integer encoder of `golden.machine` loses: the float model with ever more of its operations in integers.

An operation rounds its float32 input to the codes of `machine_model`, works on these as the integer encoder does, and
gives real numbers again. The last row is the integer encoder itself, from ids on, with words in 8 bits and nothing but
requantizers in between.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from .. import checks
from ..machine import parts
from . import machine_model, machine_steps
from .evaluate import mean_cosine
from .transformer import Ops

__all__ = ["ENTRIES", "KINDS", "TABLED", "compare", "operations"]

#: The operations, in the order in which they are added; those of `TABLED` have tables.
KINDS = ("linear", "attention", "softmax", "gelu", "layernorm")
TABLED = KINDS[2:]
#: Entries of the tables.
ENTRIES = (8, 16)

_OPERATION = {"attention": "matmul"}
_INPUT = {layer: group for group, layers in machine_steps.GROUPS.items() for layer in layers}
_FIELD = {layer: layer.partition(".")[2] for layer in _INPUT}


def operations(model, steps, kinds=KINDS, unit=None):
    """Operations on integers for the float model.

    Parameters
    ----------
    model : machine.Encoder
    steps : dict
        What `model` was made with.
    kinds : sequence of str
        Of `KINDS`; ``attention`` has the products of query and key, and of probability and value.
    unit : callable, optional
        Called with (place, unit, codes, setting, entries) in place of `parts.UNITS`: the operation's name, one of
        `TABLED`, and what that function takes. A unit that is simulated stands here.

    Returns
    -------
    Ops

    Raises
    ------
    ValueError
        For another kind.
    """
    checks.chosen("an operation", kinds, KINDS)
    compute = unit or (lambda place, kind, *arguments: parts.UNITS[kind](*arguments))

    def linear(name, x, weight, bias):
        prefix, part = _split(name)
        layer = getattr(_layer(model, prefix), _FIELD[part])
        sums = layer.sums(_codes(x, steps[prefix + _INPUT[part]], 8)) + layer.requantizer.bias
        return _real(sums, layer.requantizer.scale * steps[name])

    def attention(name, a, b):
        prefix, part = _split(name)
        if part == "attention.scores":
            query, key = steps[f"{prefix}attention.query"], steps[f"{prefix}attention.key"]
            return _real(_codes(a, query, 8) @ _codes(b, key, 8), query * key)
        value, unit = steps[f"{prefix}attention.value"], 2.0**-8
        weights = np.minimum(_codes(a, unit, 16), 255)
        return _real(weights @ _codes(b, value, 8), unit * value)

    def softmax(name, x):
        prefix, _ = _split(name)
        codes = _codes(x, steps[f"{prefix}attention.logits"], 8)
        return _real(compute(name, "softmax", codes, _layer(model, prefix).logit_scale, model.entries), 2.0**-8)

    def gelu(name, x):
        prefix, _ = _split(name)
        step = steps[f"{prefix}feed_forward.up"]
        return _real(compute(name, "gelu", _codes(x, step, 16), _layer(model, prefix).gelu_scale, model.entries), step)

    def layernorm(name, x, gamma, beta, eps):
        prefix, part = _split(name)
        norm = getattr(_layer(model, prefix), part.replace(".", "_")) if prefix else model.norm
        codes = _codes(x, steps[name.removesuffix("norm") + "sum"], 16)
        return _real(norm(codes, model.entries, partial(compute, name, "layernorm")), steps[name])

    made = {"linear": linear, "attention": attention, "softmax": softmax, "gelu": gelu, "layernorm": layernorm}
    return replace(Ops(), **{_OPERATION.get(kind, kind): made[kind] for kind in kinds})


def compare(encoder, sentences, calibration, progress=lambda done, total: None):
    """Mean cosine similarity of sentence embeddings with those of the float32 model, one operation more a row.

    Parameters
    ----------
    encoder : transformer.Encoder
    sentences, calibration : sequence of str
        What is embedded, and what the steps are found on.
    progress : callable, optional
        Called with (done, total) in passes over sentences.

    Returns
    -------
    dict of str to dict of str to float
        For each of `KINDS`, with all before it, and for ``all``, the integer encoder: similarities by the tables'
        entries, ``8`` and ``16``.

    Raises
    ------
    ValueError
        As `machine_model.quantize`.
    """
    machine_model.check(encoder)
    total, done = 2 + 2 + len(ENTRIES) * (len(TABLED) + 1), 0

    def step(value):
        nonlocal done
        done += 1
        progress(done, total)
        return value

    progress(0, total)
    steps = step(machine_steps.calibrate(encoder, calibration))
    reference = step(encoder.embed(sentences))
    models = {str(entries): machine_model.quantize(encoder, steps, entries) for entries in ENTRIES}
    rows = {}
    for count, kind in enumerate(KINDS, 1):
        rows[kind] = {}
        for name, model in models.items():
            if kind in TABLED or not rows[kind]:
                embedded = encoder.embed(sentences, operations(model, steps, KINDS[:count]))
                cosine = step(mean_cosine(reference, embedded))
            rows[kind][name] = cosine
    rows["all"] = {
        name: step(mean_cosine(reference, machine_model.embed(model, encoder, sentences)))
        for name, model in models.items()
    }
    return rows


def _split(name):
    """``layer.i.`` and the rest of a name; nothing and the whole name of the embeddings'."""
    if not name.startswith("layer."):
        return "", name
    layer, index, part = name.split(".", 2)
    return f"{layer}.{index}.", part


def _layer(model, prefix):
    return model.layers[int(prefix.split(".")[1])]


def _codes(x, step, bits):
    """Rounded half up, saturated; int64."""
    top = 1 << (bits - 1)
    return np.clip(np.floor(x / np.asarray(step, np.float64) + 0.5), -top, top - 1).astype(np.int64)


def _real(codes, step):
    return (codes * step).astype(np.float32)
