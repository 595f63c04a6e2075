"""A safetensors file's weight matrices as codes."""

import numpy as np

from . import quantize as formats
from . import safetensors
from .checks import finite

__all__ = ["is_weight", "quantize", "weights", "write"]


def is_weight(name, tensor):
    """Whether a tensor is a linear layer's weight: two axes, floating point, and no embedding table."""
    return tensor.ndim == 2 and np.issubdtype(tensor.dtype, np.floating) and "embedding" not in name


def weights(path):
    """The weight matrices of a file, by name, sorted.

    Raises
    ------
    ValueError
        For a file that is no safetensors file or holds no weight matrix, and for NaN or Inf, naming the tensor.
    """
    found = {name: tensor for name, tensor in sorted(safetensors.load(path).items()) if is_weight(name, tensor)}
    if not found:
        raise ValueError(f"{path} holds no weight matrix: no floating-point tensor with two axes that is no embedding")
    for name, tensor in found.items():
        try:
            finite(tensor)
        except ValueError as error:
            raise ValueError(f"{path}: tensor {name!r}: {error}") from None
    return found


def quantize(path, fmt, progress=lambda done, total: None):
    """Quantize every weight matrix of a file.

    Parameters
    ----------
    path : path-like
        A safetensors file.
    fmt : WeightFormat or HgqFormat
        Format.
    progress : callable, optional
        Called with (done, total) in matrices.

    Returns
    -------
    report : list of dict
        One a matrix: `name`, `shape`, and what `quantize.error_report` gives.
    tensors : dict
        `NAME.codes` and `NAME.steps`, or whatever `quantize.quantize_with_report` gives.

    Raises
    ------
    ValueError
        As `weights`.
    """
    matrices = weights(path)
    report, tensors = [], {}
    for done, (name, weight) in enumerate(matrices.items()):
        progress(done, len(matrices))
        parts, errors = formats.quantize_with_report(weight, fmt)
        report.append({"name": name, "shape": [*weight.shape], **errors})
        tensors |= {f"{name}.{part}": tensor for part, tensor in parts.items()}
    progress(len(matrices), len(matrices))
    return report, tensors


def write(path, tensors, fmt):
    """Write codes and scales as a safetensors file, the format's name in its metadata."""
    safetensors.save(path, tensors, {"bitloom.format": fmt.name, "bitloom.summary": fmt.summary})
