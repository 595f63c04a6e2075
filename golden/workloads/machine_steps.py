"""Steps of an encoder's tensors, found on calibration sentences: what a code of each tensor of `golden.machine` means.

- Residuals and GELU's codes, of 16 bits: a power of two, with which twice the largest magnitude that was seen has a
  code.
- Words: 8 bits, one step for the whole table. Positions, and the sum of both: 16 bits, a fraction of that step, a power
  of two.
- All else has 8 bits: the largest magnitude over 127. Logits have a power of two, with which softmax moves least.
- Inputs of linear layers that are pairs have OliVe's search: the step of least squared error.

What goes into a linear layer has a step for each channel (smoothing, SmoothQuant, arXiv 2211.10438, section 4):
channels of large activations and small weights get larger steps, and what comes before the layer and the layer's
weights take that up. The paper's exponents are 0.5 for both; ours are those that move the embeddings of
all-MiniLM-L6-v2 less: 0.7 and 0.3, and for pairs, which have outliers themselves, 0.4 of the activations alone.
"""

import itertools
from dataclasses import replace

import numpy as np

from ..checks import chosen
from ..machine.pairs import PAIRS
from ..machine.parts import GELU_SCALES
from ..olive import ovp
from . import transformer
from .transformer import Ops

__all__ = ["EXPONENTS", "GROUPS", "calibrate"]

#: Of activations and of weights in a channel's factor, by the layers' format.
EXPONENTS = {"int8": (0.7, 1 - 0.7), "ovp-int4": (0.4, 0.0)}
#: Input of linear layers: the layers that share it.
GROUPS = {
    "attention.input": ("attention.query", "attention.key", "attention.value"),
    "attention.context": ("attention.output",),
    "feed_forward.input": ("feed_forward.up",),
    "feed_forward.hidden": ("feed_forward.down",),
}

_INT8, _INT16 = 127, 32767
# Magnitudes below this part of a tensor's largest count as this.
_SMALLEST = 2.0**-12
_LOGIT_SCALES = range(8)
_WORD_SHIFTS = range(9)


def calibrate(encoder, sentences, format="int8"):
    """Steps of all tensors, from one pass of the model.

    The pass is in float64, and steps are rounded to float32: so they are the same on every processor, though libraries
    add in different orders on each.

    Parameters
    ----------
    encoder : transformer.Encoder
    sentences : sequence of str
        Calibration sentences; none of those that are evaluated.
    format : str
        Of the linear layers, one of `machine.sizes.FORMATS`.

    Returns
    -------
    dict of str to float or ndarray of float64
        By the names of `golden.machine.encoder`, and ``embeddings.words``: a code stands for ``code * step``, with a
        step for each channel of the inputs of linear layers, and one for all else.

    Raises
    ------
    ValueError
        For another format.
    """
    chosen("format", (format,), EXPONENTS)
    outputs, inputs = _observe(encoder, sentences)
    steps = _embeddings(encoder)
    names = [f"layer.{i}.{part}" for i in range(encoder.layers) for part in ("attention", "feed_forward")]
    for part, following in itertools.pairwise(["embeddings", *names, None]):
        residual = f"{part}.norm"
        # The sum that LayerNorm takes next has the residual's step, and what is added to it.
        sums = [inputs[f"{following}.norm"]] if following else []
        steps[residual] = 2.0 ** -_wide_scale(outputs[residual], *sums)
        if following:
            added = "output" if following.endswith("attention") else "down"
            steps |= dict.fromkeys((f"{following}.{added}", f"{following}.sum"), steps[residual])
    for i in range(encoder.layers):
        steps |= _layer(encoder, f"layer.{i}.", outputs, inputs, format)
    return {name: np.asarray(step, np.float32).astype(np.float64)[()] for name, step in steps.items()}


def _embeddings(encoder):
    """Steps of the words, and of their sum with the positions, at which no sum saturates."""
    position = float(np.abs(encoder.positions).max())
    words = max(_step(encoder.words), position / (_INT16 - _INT8))
    shift = max(s for s in _WORD_SHIFTS if (_INT8 + position / words) * 2**s <= _INT16 + 0.5)
    return {"embeddings.words": words, "embeddings.sum": words / (1 << shift)}


def _layer(encoder, prefix, outputs, inputs, format):
    steps = {}
    for group, layers in GROUPS.items():
        weights = [encoder.linears[prefix + layer].weight for layer in layers]
        steps[prefix + group] = _smoothed(inputs[prefix + layers[0]], weights, format)
    for name in ("attention.query", "attention.key", "attention.value"):
        steps[prefix + name] = _step(outputs[prefix + name])
    steps[f"{prefix}attention.logits"] = 2.0 ** -_logit_scale(inputs[f"{prefix}attention.softmax"])
    scale = min(max(_wide_scale(outputs[f"{prefix}feed_forward.up"]), GELU_SCALES[0]), GELU_SCALES[-1])
    return steps | dict.fromkeys((f"{prefix}feed_forward.up", f"{prefix}feed_forward.gelu"), 2.0**-scale)


def _observe(encoder, sentences):
    """Outputs and inputs by operation, of one pass in float64; inputs of softmax are a list, one a sentence."""
    outputs, inputs = {}, {}

    def watched(kind):
        def operation(name, x, *arguments):
            x = x.astype(np.float64, copy=False)
            inputs[name] = x
            outputs[name] = getattr(transformer, kind)(name, x, *arguments)
            return outputs[name]

        return operation

    def softmax(name, x):
        inputs.setdefault(name, []).append(x)
        return transformer.softmax(name, x)

    ops = replace(Ops(), softmax=softmax, **{kind: watched(kind) for kind in ("linear", "layernorm")})
    encoder.embed(sentences, ops, batch=len(sentences))
    return outputs, inputs


def _wide_scale(*tensors):
    """The largest scale at which twice the largest magnitude has a 16-bit code; -32 to 32."""
    largest = max(float(np.abs(x).max()) for x in tensors)
    return next((s for s in range(32, -32, -1) if 2 * largest <= _INT16 * 2.0**-s), -32)


def _step(x):
    """The step with which the largest magnitude is 127."""
    return (float(np.abs(x).max()) or 1.0) / _INT8


def _smoothed(x, weights, format):
    """Steps of the channels of `x`, (T, K), which goes into weights of (N, K)."""
    activations = _floored(np.abs(x).max(axis=0))
    columns = _floored(np.max([np.abs(weight).max(axis=0) for weight in weights], axis=0))
    mine, others = EXPONENTS[format]
    logarithms = mine * np.log(activations) - others * np.log(columns)
    factors = np.exp(logarithms - logarithms.mean())
    return factors * (_step(x / factors) if format == "int8" else ovp.search_scale(x / factors, PAIRS))


def _floored(magnitudes):
    magnitudes = np.asarray(magnitudes, np.float64)
    return np.maximum(magnitudes, _SMALLEST * magnitudes.max() or 1.0)


def _logit_scale(rows):
    """The scale at which rounding to 8 bits moves softmax least in square; of equal ones the first."""

    def error(scale):
        moved = 0.0
        for x in rows:
            codes = np.clip(np.floor(np.ldexp(x, scale) + 0.5), -_INT8 - 1, _INT8)
            difference = transformer.softmax("", np.ldexp(codes, -scale)) - transformer.softmax("", x)
            moved += float(np.square(difference, dtype=np.float64).sum())
        return moved

    return min(_LOGIT_SCALES, key=error)
