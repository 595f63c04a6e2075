"""What quantization does to a real model: its linear layers in another format, and how far the embeddings move."""

from dataclasses import replace

import numpy as np

from . import transformer
from .transformer import Ops

__all__ = ["activation_steps", "mean_cosine", "quantized_ops"]


def activation_steps(encoder, sentences, fmt, ops=Ops(), progress=lambda name: None):
    """Scale step of the input of every linear layer, one a tensor, from one pass over calibration sentences.

    Parameters
    ----------
    encoder : Encoder
        The model.
    sentences : list of str
        Calibration sentences; none of those that are evaluated.
    fmt : WeightFormat
        Format of the activations.
    ops : Ops
        What the pass runs with.
    progress : callable, optional
        Called with a layer's name when its step is found.

    Returns
    -------
    dict
        Layer name to step.
    """
    steps = {}

    def observe(name, x, weight, bias):
        steps[name] = float(fmt.search(x, None))
        progress(name)
        return ops.linear(name, x, weight, bias)

    encoder.embed(sentences, replace(ops, linear=observe), batch=len(sentences))
    return steps


def quantized_ops(weights, fmt=None, steps=None):
    """Operations that compute every linear layer on quantized numbers.

    Parameters
    ----------
    weights : dict
        Layer name to the restored weight, shape (N, K).
    fmt : WeightFormat, optional
        Format of the activations; None leaves them in float32.
    steps : dict, optional
        With `fmt`: layer name to the activations' scale step.

    Returns
    -------
    Ops
    """

    def linear(name, x, weight, bias):
        if fmt is not None:
            step = np.float32(steps[name])
            x = (fmt.round_trip(x / step)[..., : x.shape[-1]] * step).astype(np.float32)
        return transformer.linear(name, x, weights[name], bias)

    return Ops(linear=linear)


def mean_cosine(a, b):
    """Mean over rows of the cosine between two sets of row vectors, shapes (B, H)."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return float(np.mean((a * b).sum(axis=1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))))
