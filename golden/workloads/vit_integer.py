"""The vision transformer of `vit` in integers only: INT8 linear layers, dense or N:M sparse, and `integer_ops` between.

Every scale is a power of two, one for a tensor, so that all there is between two layers is a requantizer of the machine
that multiplies by a power of two (our choice). A scale s says that a code stands for ``code * 2**-s``. The sum of the
residuals, which LayerNorm takes, has 16 bits; all inputs of linear layers have 8 bits. Pixels are exact: 16 is white,
at scale 4.

Weights are pruned in floating point, rounded, and selected once more, which gives the canonical slots: what was kept
and became 0 is a slot of value 0.
"""

from dataclasses import dataclass

import numpy as np

from .. import archive, exact
from ..checks import finite, named
from ..gqa_lut import integer_ops
from ..machine.requantizer import dyadic, requantize
from ..sat import sparse as nm_sparse
from . import vit

__all__ = ["IntegerVit", "Layer", "from_bytes", "linear", "quantize", "to_bytes"]

_VERSION = 2
_PIXEL_SCALE = 4
# Four standard deviations; the largest of 16 or 64 values is rarely beyond.
_NORM_SCALE = 5
_SOFTMAX_BITS = 8
# Divides by the root of the head's width, and averages over the patches.
_ROOT_BITS = (vit.HEAD_WIDTH.bit_length() - 1) // 2
_MEAN_BITS = vit.TOKENS.bit_length() - 1
_INT8, _INT16 = 127, 32767
_GROUP = 8


@dataclass(frozen=True, eq=False)
class Layer:
    """A linear layer.

    Parameters
    ----------
    values, indices : ndarray of int64, shape (O, K / M, N)
        Weights as of `nm_sparse.select`; K is padded to whole groups.
    m : int
        Size of a group.
    bias : ndarray of int64, shape (O,)
        In units of the accumulator.
    scale : int
        Of the weights.
    """

    values: np.ndarray
    indices: np.ndarray
    m: int
    bias: np.ndarray
    scale: int

    @property
    def pattern(self):
        """N:M, or dense."""
        n = self.values.shape[2]
        return "dense" if n == self.m else f"{n}:{self.m}"


@dataclass(frozen=True, eq=False)
class IntegerVit:
    """A quantized vision transformer.

    Parameters
    ----------
    layers : dict of str to Layer
        ``embed``, for each block B ``B.qkv``, ``B.out``, ``B.up``, ``B.down``, and ``head``.
    position : ndarray of int64, shape (TOKENS, width)
        At the residual's scale.
    scales : dict of str to int
        ``residual``; for each block ``B.qkv``, ``B.logits``, ``B.up`` and ``B.gelu``.
    """

    layers: dict
    position: np.ndarray
    scales: dict

    def logits(self, codes, product=None):
        """Outputs of the classifier.

        Parameters
        ----------
        codes : ndarray of int, shape (B, TOKENS, PIXELS)
            As of `vit.patches`.
        product : callable, optional
            Called with a layer's name, the Layer, and activations, int64 of shape (K, T) with K padded; gives the
            integer product, (O, T). `linear` by default.

        Returns
        -------
        ndarray of int64, shape (B, CLASSES)
        """
        product = product or linear
        scales = self.scales

        def sums(name, x):
            layer = self.layers[name]
            flat = nm_sparse.pad(x.reshape(-1, x.shape[-1]).T, layer.m, axis=0)
            outputs = np.asarray(product(name, layer, flat), np.int64).T + layer.bias
            return outputs.reshape(*x.shape[:-1], -1)

        def add(x, name, inputs, scale):
            """The residual with a layer's outputs added."""
            return _codes(sums(name, inputs), scale + self.layers[name].scale - scales["residual"], 16, residual=x)

        def norm(x):
            return integer_ops.layernorm(x, _NORM_SCALE, input_bits=16)

        x = add(self.position, "embed", np.asarray(codes, np.int64), _PIXEL_SCALE)
        for block in range(sum(name.endswith(".qkv") for name in self.layers)):
            name = f"{block}.qkv"
            at = scales[name]
            q, k, v = vit.heads(_codes(sums(name, norm(x)), _NORM_SCALE + self.layers[name].scale - at))
            logit = scales[f"{block}.logits"]
            weights = integer_ops.softmax(
                _codes(q @ k.swapaxes(-1, -2), 2 * at + _ROOT_BITS - logit), logit, _SOFTMAX_BITS
            )
            # At the scale of the values: they are averaged.
            x = add(x, f"{block}.out", vit.merged(_codes(weights @ v, _SOFTMAX_BITS)), at)
            name = f"{block}.up"
            up = _codes(sums(name, norm(x)), _NORM_SCALE + self.layers[name].scale - scales[name])
            gelu = scales[f"{block}.gelu"]
            x = add(x, f"{block}.down", integer_ops.gelu(up, scales[name], gelu), gelu)
        mean = _codes(norm(x).sum(axis=1), _MEAN_BITS)
        return sums("head", mean)

    def predict(self, codes, product=None):
        """Classes, int64, shape (B,): of equal logits the first; parameters as of `logits`."""
        return self.logits(codes, product).argmax(axis=1)


def linear(name, layer, x):
    """The product of a layer's weights with activations, (O, T) of (K, T): `nm_sparse.matmul`, but faster."""
    return exact.product(nm_sparse.expand(layer.values, layer.indices, layer.m), x.T)


def quantize(parameters, codes, n=_GROUP, m=_GROUP):
    """A float model in integers, its scales found on images that it was trained with.

    Parameters
    ----------
    parameters : dict of str to ndarray
        As of `vit.initial`, the blocks' weights pruned.
    codes : ndarray of int, shape (B, TOKENS, PIXELS)
        As of `vit.patches`.
    n, m : int
        Pattern of the blocks' weights; all others are dense.

    Returns
    -------
    IntegerVit

    Raises
    ------
    ValueError
        If there are more than `n` weights in a group of `m`, and for parameters that are not finite.
    """
    for name, parameter in parameters.items():
        with named(name):
            finite(parameter)
    seen = {}
    vit.forward(parameters, codes, lambda name, x: seen.setdefault(name, []).append(x))
    sparse = vit.block_layers(parameters)
    scales = {"residual": _largest_scale(seen["residual"], _INT16)}
    for name in sparse:
        block, layer = name.split(".")
        if layer == "qkv":
            scales |= {name: _best_scale(seen[name]), f"{block}.logits": _table_scale(seen[f"{block}.logits"])}
        if layer == "up":
            scales |= {name: _table_scale(seen[name]), f"{block}.gelu": _best_scale(seen[f"{block}.gelu"])}

    def input_scale(name):
        block, _, layer = name.partition(".")
        if name == "embed":
            return _PIXEL_SCALE
        return {"out": scales.get(f"{block}.qkv"), "down": scales.get(f"{block}.gelu")}.get(layer, _NORM_SCALE)

    layers = {}
    for name in ("embed", *sparse, "head"):
        pattern = (n, m) if name in sparse else (_GROUP, _GROUP)
        w = np.asarray(parameters[f"{name}.weight"], np.float64)
        scale = _best_scale([w])
        bias = np.asarray(parameters.get(f"{name}.bias", np.zeros(len(w))), np.float64)
        integers = nm_sparse.pad(_rounded(w, scale), pattern[1])
        values, indices = nm_sparse.select(integers, *pattern)
        if (nm_sparse.expand(values, indices, pattern[1]) != integers).any():
            raise ValueError(f"weights of {name} must be pruned to {n}:{m}")
        layers[name] = Layer(values, indices, pattern[1], _rounded(bias, scale + input_scale(name), 1 << 30), scale)
    return IntegerVit(layers, _rounded(parameters["position"], scales["residual"], _INT16), scales)


def to_bytes(model):
    """A model as an ``.npz`` file; weights as of `nm_sparse.save`. The same model gives the same bytes."""
    arrays = {"position": model.position.astype("<i2")}
    for name, layer in model.layers.items():
        stored = nm_sparse.save(layer.values, layer.indices, layer.m, 8)
        arrays |= {f"{name}.weight": np.frombuffer(stored, np.uint8), f"{name}.bias": layer.bias.astype("<i4")}
    weights = {name: layer.scale for name, layer in model.layers.items()}
    return archive.pack(_VERSION, {"weights": weights, "scales": model.scales}, arrays)


def from_bytes(data):
    """The model of `to_bytes`.

    Raises
    ------
    ValueError
        For other data.
    """
    about, arrays = archive.unpack(_VERSION, data, "integer vision transformer")
    layers = {}
    try:
        for name, scale in about["weights"].items():
            values, indices, m, _ = nm_sparse.load(arrays[f"{name}.weight"].tobytes())
            layers[name] = Layer(values, indices, m, arrays[f"{name}.bias"].astype(np.int64), scale)
        return IntegerVit(layers, arrays["position"].astype(np.int64), dict(about["scales"]))
    except KeyError as error:
        raise ValueError(f"an integer vision transformer lacks {error}") from None


def _codes(sums, shift, bits=8, residual=None):
    """The requantizer's codes; it multiplies by a power of two."""
    return requantize(sums, 0, *dyadic(2.0**-shift), bits, residual=residual)


def _rounded(x, scale, top=_INT8):
    """Codes at a scale: rounded half up, saturated symmetrically."""
    return np.clip(np.floor(np.ldexp(np.asarray(x, np.float64), scale) + 0.5), -top, top).astype(np.int64)


def _largest_scale(arrays, top):
    """The largest scale at which `top` holds every value, with a bit to spare."""
    largest = max(float(np.abs(x).max()) for x in arrays)
    return int(np.floor(np.log2(top / 2 / max(largest, 2.0**-16))))


def _best_scale(arrays, scales=range(-4, 16)):
    """The scale of least squared error in 8 bits; of equal ones the first."""
    flat = np.concatenate([np.ravel(x) for x in arrays]).astype(np.float64)
    return min(scales, key=lambda scale: float(np.square(np.ldexp(_rounded(flat, scale), -scale) - flat).sum()))


def _table_scale(arrays):
    """The same among the scales that tables have."""
    return _best_scale(arrays, range(8))
