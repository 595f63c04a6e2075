"""The integer encoder of `golden.machine`, made of a float model and the steps of its tensors.

Weights have 8 bits, or are pairs, and have a step a row, the one that the row's requantizer multiplies by exactly. Only
what is rounded is lost.
"""

import math

import numpy as np

from ..checks import chosen, named
from ..machine.encoder import Encoder, Layer
from ..machine.pairs import FRACTION, PAIRS, PairRequantizer
from ..machine.parts import WIDE, Linear, Norm, Requantizer
from ..machine.sizes import FORMATS
from ..olive import ovp

__all__ = ["MULTIPLE", "check", "embed", "quantize"]

#: What all sizes must be a multiple of.
MULTIPLE = 8

_INT8, _INT16 = 127, 32767
_LARGEST_EPSILON = 1 << 32


def check(encoder):
    """Refuse an encoder that the machine cannot hold.

    Parameters
    ----------
    encoder : transformer.Encoder

    Raises
    ------
    ValueError
        For a number of channels, of channels in the feed-forward or in a head, that is no multiple of 8, and of more
        than 65,536.
    """
    hidden = encoder.words.shape[1]
    up = len(encoder.linears["layer.0.feed_forward.up"].bias)
    for name, size in (("hidden_size", hidden), ("intermediate_size", up), ("a head's width", hidden // encoder.heads)):
        if size % MULTIPLE or size > 1 << WIDE:
            raise ValueError(f"{name} must be a multiple of {MULTIPLE} up to {1 << WIDE}, not {size}")


def quantize(encoder, steps, entries=16, format="int8"):
    """The encoder in integers.

    Parameters
    ----------
    encoder : transformer.Encoder
    steps : dict
        As of `machine_steps.calibrate`, for the same format.
    entries : int
        Of the tables, 8 or 16.
    format : str
        Of the linear layers, one of `machine.sizes.FORMATS`.

    Returns
    -------
    machine.Encoder

    Raises
    ------
    ValueError
        As `check`, and for steps so far from each other that no requantizer multiplies by their ratio; names the
        tensor.
    """
    check(encoder)
    if entries not in (8, 16):
        raise ValueError(f"entries must be 8 or 16, not {entries!r}")
    chosen("format", (format,), FORMATS)
    words, total = steps["embeddings.words"], steps["embeddings.sum"]
    return Encoder(
        words=_rounded(encoder.words / words, _INT8).astype(np.int8),
        word_shift=_log2(words / total),
        positions=_rounded(encoder.positions / total, _INT16).astype(np.int16),
        norm=_norm(encoder, "embeddings", steps),
        layers=tuple(_layer(encoder, i, steps, format != "int8") for i in range(encoder.layers)),
        heads=encoder.heads,
        entries=entries,
        format=format,
    )


def embed(model, encoder, sentences):
    """What an integer encoder makes of sentences.

    Parameters
    ----------
    model : machine.Encoder
    encoder : transformer.Encoder
        Its tokenizer and maximum length are taken.
    sentences : sequence of str

    Returns
    -------
    ndarray of int64, shape (sentences, H)
        Sums over the tokens, not scaled to length 1.
    """
    ids, mask = encoder.tokenizer.encode(sentences, encoder.max_length)
    return np.array([model(row[kept == 1]) for row, kept in zip(ids, mask, strict=True)])


def _layer(encoder, index, steps, pairs):
    name = f"layer.{index}"
    before = f"layer.{index - 1}.feed_forward.norm" if index else "embeddings.norm"

    def at(part):
        return steps[f"{name}.{part}"]

    def ratio(part, numerator):
        with named(f"{name}.{part}"):
            return Requantizer.of(numerator / at(part))

    def inputs(part, numerator):
        """Of a linear layer."""
        if not pairs:
            return ratio(part, numerator)
        with named(f"{name}.{part}"):
            return PairRequantizer.of(numerator / at(part) * (1 << FRACTION), bits=WIDE)

    def linear(part, inputs, bits=8):
        return _linear(encoder, f"{name}.{part}", at(inputs), at(part), bits, pairs)

    width = encoder.words.shape[1] // encoder.heads
    return Layer(
        attention_input=inputs("attention.input", steps[before]),
        query=linear("attention.query", "attention.input"),
        key=linear("attention.key", "attention.input"),
        value=linear("attention.value", "attention.input"),
        logits=ratio("attention.logits", at("attention.query") * at("attention.key") / math.sqrt(width)),
        logit_scale=-_log2(at("attention.logits")),
        context=inputs("attention.context", at("attention.value") * 2.0**-8),
        output=linear("attention.output", "attention.context", WIDE),
        attention_norm=_norm(encoder, f"{name}.attention", steps),
        feed_forward_input=inputs("feed_forward.input", at("attention.norm")),
        up=linear("feed_forward.up", "feed_forward.input", WIDE),
        gelu_scale=-_log2(at("feed_forward.up")),
        hidden=inputs("feed_forward.hidden", at("feed_forward.gelu")),
        down=linear("feed_forward.down", "feed_forward.hidden", WIDE),
        feed_forward_norm=_norm(encoder, f"{name}.feed_forward", steps),
    )


def _linear(encoder, name, inputs, output, bits, pairs):
    """A linear layer between steps of its input channels and the step of its output."""
    layer = encoder.linears[name]
    weights = layer.weight.astype(np.float64) * inputs
    largest = np.abs(weights).max(axis=1)
    steps = ovp.search_scale(weights, PAIRS, 0) * (largest > 0) if pairs else largest / _INT8
    with named(name):
        requantizer = Requantizer.of(steps / output, layer.bias / output, bits)
    weights = weights / (requantizer.scale * output)[:, None]
    codes = ovp.round_trip(weights, PAIRS) if pairs else _rounded(weights, _INT8)
    return Linear(codes.astype(np.int8), requantizer)


def _norm(encoder, name, steps):
    """The LayerNorm of a part, between its sum and its residual."""
    inputs, output, name = steps[f"{name}.sum"], steps[f"{name}.norm"], f"{name}.norm"
    norm = encoder.norms[name]
    size = len(norm.gamma)
    epsilon = min(max(round(size * size * encoder.eps / inputs**2), 1), _LARGEST_EPSILON)
    with named(name):
        scale = np.abs(norm.gamma.astype(np.float64)) * 2.0 ** -Norm.scale(size) / output
        requantizer = Requantizer.of(scale, norm.beta / output, WIDE)
    return Norm(epsilon, np.where(norm.gamma < 0, -1, 1), requantizer)


def _rounded(x, top):
    """Rounded half up, saturated symmetrically; float64."""
    return np.clip(np.floor(np.asarray(x, np.float64) + 0.5), -top, top)


def _log2(step):
    """The exponent of a power of two."""
    return round(math.log2(step))
