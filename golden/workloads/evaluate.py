"""What quantization does to a real model: its linear layers in another format, and how far the embeddings move."""

import numpy as np

from ..checks import named
from ..olive import ovp
from . import transformer
from .calibration import observed
from .quantize import error_report, float32_steps, quantize
from .transformer import Ops

__all__ = ["activation_steps", "compare_embeddings", "compare_weights", "mean_cosine", "quantized_ops"]


def compare_weights(weights, formats, progress=lambda done, total, text: None):
    """Quantize every weight matrix in every format.

    Parameters
    ----------
    weights : dict
        Name to matrix, shape (N, K).
    formats : list of WeightFormat
        Formats.
    progress : callable, optional
        Called with (done, total, text).

    Returns
    -------
    rows : list of dict
        One a matrix: `name`, `shape`, `pairs` (as `ovp.statistics`), `errors` (format name to `error_report`).
    restored : dict
        Format name to a dict of name to the restored matrix, float32.

    Raises
    ------
    ValueError
        As `quantize.quantize`, naming matrix and format.
    """
    rows, restored = [], {fmt.name: {} for fmt in formats}
    jobs = [(name, fmt) for name in weights for fmt in formats]
    for done, (name, fmt) in enumerate(jobs):
        progress(done, len(jobs), f"{name} as {fmt.name}")
        weight = weights[name]
        if fmt is formats[0]:
            rows.append({"name": name, "shape": [*weight.shape], "pairs": ovp.statistics(weight), "errors": {}})
        with named(f"{name} as {fmt.name}"):
            codes, steps = quantize(weight, fmt)
        rows[-1]["errors"][fmt.name] = error_report(weight, codes, steps, fmt)
        values = fmt.decode(codes)[:, : weight.shape[1]]
        restored[fmt.name][name] = (values * steps[:, None]).astype(np.float32)
    progress(len(jobs), len(jobs), "weights")
    return rows, restored


def compare_embeddings(encoder, restored, formats, sentences, calibration, progress=lambda done, total, text: None):
    """Mean cosine similarity of sentence embeddings with those of the float32 model.

    Parameters
    ----------
    encoder : Encoder
        The model.
    restored : dict
        As `compare_weights` gives, by the encoder's layer names.
    formats : list of WeightFormat
        Formats; activations take the same one as the weights, one scale step a tensor.
    sentences, calibration : list of str
        What is embedded, and what the activations' steps are searched on.

    Returns
    -------
    dict
        Format name to `{"weights": …, "weights_and_activations": …}`.
    """
    reference, result = encoder.embed(sentences), {}
    total = len(formats) * len(encoder.linears)
    for index, fmt in enumerate(formats):
        counted = []

        def count(name, index=index, fmt=fmt, counted=counted):
            counted.append(name)
            progress(index * len(encoder.linears) + len(counted), total, f"activations of {name} as {fmt.name}")

        weights = restored[fmt.name]
        steps = activation_steps(encoder, calibration, fmt, progress=count)
        result[fmt.name] = {
            "weights": mean_cosine(reference, encoder.embed(sentences, quantized_ops(weights))),
            "weights_and_activations": mean_cosine(
                reference, encoder.embed(sentences, quantized_ops(weights, fmt, steps))
            ),
        }
    return result


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
        Layer name to step, a float32 number.

    Raises
    ------
    ValueError
        For activations that are not finite, or as `quantize.float32_steps`; names the layer.
    """
    steps = {}

    def see(name, x, *second):
        if second:
            return
        with named(f"inputs of {name}"):
            steps[name] = float(float32_steps(x, fmt.search(x, None)))
        progress(name)

    encoder.embed(sentences, observed(ops, see), batch=len(sentences))
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
