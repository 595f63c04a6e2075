"""A sentence encoder whose linear layers run on Anda activations and 4-bit weights.

Every linear layer goes through `anda.encoded_matmul`, so its numbers are those of the accelerator, every rounding
included: the activations are rounded to FP16 and encoded, the weights are INT4 codes with one FP16 scale for 128 along
K, the product is rounded to FP16. What the paper leaves in FP16, attention, softmax, LayerNorm, GELU, biases, is
float32 here (our choice: only the linear layers are compared).

Quality is the mean cosine similarity of sentence embeddings with those of the float32 model. The reference of the
search is the quality of the same 4-bit weights with FP16 activations.
"""

import hashlib

import numpy as np

from ..anda import planes as anda
from ..checks import matrix, named, within
from .anda_search import MODULES
from .evaluate import mean_cosine
from .transformer import Ops

__all__ = ["AndaEncoder", "quantize_weight"]

_SMALLEST, _LARGEST = -8, 7
# Where the largest weight of a group may land: around -8, or beyond it, to be clipped for the others' good.
_LANDINGS = np.arange(7, 12.5, 0.5)
_HALF = np.finfo(np.float16)


def quantize_weight(weight):
    """Quantize a weight matrix to INT4 with one scale for 128 weights along K.

    Symmetric, with a search for the scale (our choice, in place of OmniQuant's learned clipping, which the paper uses):
    the scale maps the group's largest weight to -7, -7.5, … or -12 and is rounded to FP16; a code is the nearest
    integer to the weight over the scale, ties to even, from -8 to 7; the scale of the least squared error is taken, the
    first of equal ones. A scale has the sign opposite to the largest weight's. A group of zeros, and one too small for
    FP16 scales, has zero codes and the scale 1.

    Parameters
    ----------
    weight : array_like of float, shape (N, K)
        Finite; the largest magnitude is 0 or 7 times what an FP16 scale can be, 2**-24 to 65504.

    Returns
    -------
    codes : ndarray of int8, shape (N, K)
    scales : ndarray of float16, shape (N, ceil(K / 128))

    Raises
    ------
    ValueError
        For another shape or no weight at all, and for weights that are not finite, or out of range; names theirs.
    """
    weight = matrix(weight)
    n, k = weight.shape
    within(weight, _LANDINGS[0] * _HALF.smallest_subnormal, _LANDINGS[0] * _HALF.max)
    weight = weight.astype(np.float32)
    groups = np.pad(weight, ((0, 0), (0, -k % anda.WEIGHT_GROUP))).reshape(-1, anda.WEIGHT_GROUP)
    extreme = np.take_along_axis(groups, np.abs(groups).argmax(axis=1)[:, None], axis=1)
    codes, scales = np.zeros(groups.shape, np.int8), np.ones((len(groups), 1), np.float16)
    least = np.square(groups).sum(axis=1)
    for landing in _LANDINGS:
        candidate = (extreme / np.float32(-landing)).astype(np.float16)
        candidate[candidate == 0] = 1
        step = candidate.astype(np.float32)
        rounded = np.clip(np.rint(groups / step), _SMALLEST, _LARGEST)
        error = np.square(rounded * step - groups).sum(axis=1)
        better = error < least
        codes[better], scales[better], least[better] = rounded[better], candidate[better], error[better]
    return codes.reshape(n, -1)[:, :k], scales.reshape(n, -1)


class AndaEncoder:
    """An encoder with 4-bit weights, whose embeddings are compared with its own in float32.

    Parameters
    ----------
    encoder : Encoder
        The model.
    rounding, conversion : str
        As of `anda.encode` and `anda.matmul`.

    Attributes
    ----------
    macs : tuple of int
        Multiply-accumulates for one token of each module type in `MODULES`.
    """

    def __init__(self, encoder, rounding="truncate", conversion="fp32"):
        self.encoder, self.rounding, self.conversion = encoder, rounding, conversion
        self.weights = {}
        for name, layer in encoder.linears.items():
            with named(name):
                self.weights[name] = quantize_weight(layer.weight)
        sizes = dict.fromkeys(MODULES, 0)
        for layer in encoder.linears.values():
            sizes[layer.kind] += layer.weight.size
        self.macs = tuple(sizes.values())
        self._targets = {}

    def quality(self, sentences, combination=None, progress=lambda done, total: None):
        """Mean cosine similarity of the sentences' embeddings with those of the float32 model.

        Parameters
        ----------
        sentences : sequence of str
            All go through the layers at once.
        combination : sequence of int, optional
            Mantissa lengths, as `MODULES`; None leaves the activations in FP16.
        progress : callable, optional
            Called with (done, total) in linear layers.

        Returns
        -------
        float
        """
        sentences = tuple(sentences)
        if sentences not in self._targets:
            self._targets[sentences] = self.encoder.embed(sentences, batch=len(sentences))
        done = 0

        def linear(name, x, weight, bias):
            nonlocal done
            progress(done, len(self.weights))
            done += 1
            return self.linear(name, x, bias, combination)

        embeddings = self.encoder.embed(sentences, Ops(linear=linear), batch=len(sentences))
        return mean_cosine(self._targets[sentences], embeddings)

    def fingerprint(self, sentences):
        """SHA-256 of all that a quality depends on but for the combination, as hexadecimal digits."""
        ids, _ = self.encoder.tokenizer.encode(sentences, self.encoder.max_length)
        digest = hashlib.sha256(f"{self.rounding} {self.conversion} {self.encoder.eps} {self.encoder.heads}".encode())
        digest.update(np.ascontiguousarray(ids, "<i8"))
        tables = [self.encoder.words, self.encoder.positions]
        tables += [table for weight in self.weights.values() for table in weight]
        tables += [table for layer in self.encoder.linears.values() for table in (layer.weight, layer.bias)]
        tables += [table for norm in self.encoder.norms.values() for table in (norm.gamma, norm.beta)]
        for table in tables:
            digest.update(np.ascontiguousarray(table))
        return digest.hexdigest()

    def linear(self, name, x, bias, combination):
        """One linear layer on its quantized weight.

        Parameters
        ----------
        name : str
            Name of the layer.
        x : ndarray of float32, shape (tokens, K)
        bias : ndarray of float32, shape (N,)
        combination : sequence of int or None
            As of `quality`.

        Returns
        -------
        ndarray of float32, shape (tokens, N)
        """
        codes, scales = self.weights[name]
        with np.errstate(over="ignore"):
            x = x.astype(np.float16)
        if combination is None:
            return _fp16_linear(x, codes, scales) + bias
        mantissa = combination[MODULES.index(self.encoder.linears[name].kind)]
        _, y = anda.encoded_matmul(x, mantissa, codes, scales, self.conversion, self.rounding)
        return y.astype(np.float32) + bias


def _fp16_linear(x, codes, scales):
    """The product of FP16 activations with the same weights, rounded once, from float64 to FP16."""
    weight = codes * np.repeat(scales.astype(np.float64), anda.WEIGHT_GROUP, axis=1)[:, : codes.shape[1]]
    with np.errstate(over="ignore"):
        return (x.astype(np.float64) @ weight.T).astype(np.float16).astype(np.float32)
