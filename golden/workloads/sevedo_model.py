"""SeVeDo on a sentence encoder: its linear layers as SeVeDo layers, and how they compare with other 4-bit formats.

Layers that share an input, the query, key and value of attention, are stacked and share one low-rank path. The measure
is the signal to quantization noise of a layer's output before the bias, in decibels, against the float64 product of the
float32 model's own weights and activations: so each layer is judged alone. What is calibrated sees the calibration
sentences only, what is measured sees others.
"""

from dataclasses import replace

import numpy as np

from ..checks import finite, named, within
from ..sevedo import decompose, hgq, lvc
from ..sevedo import layer as sevedo
from .calibration import observed
from .quantize import sqnr_db
from .transformer import Ops

__all__ = ["BASELINES", "RANKS", "activations", "compare", "method", "quantize", "stacks", "summary"]

#: What SeVeDo is compared with; activations and weights alike, neither smoothed nor split.
BASELINES = {
    "int4": hgq.per_channel,
    "flat-128": lambda x: hgq.flat(x, 128),
    "hgq-128/16": hgq.quantize,
    "flat-16": lambda x: hgq.flat(x, 16),
}
#: Ranks that are compared.
RANKS = (16, 32, 64)

_QKV = ("query", "key", "value")


def method(rank, precision):
    """Name of SeVeDo at a rank, with a reading of SVD-MP or, as ``int8``, without."""
    return f"sevedo-r{rank}-{precision}"


def stacks(encoder):
    """Names of the linear layers that are stacked, by the name of the stack.

    ``layer.i.attention.qkv`` holds query, key and value in this order; every other layer is alone, under its own name.
    """
    members = {}
    for name in encoder.linears:
        head, _, tail = name.rpartition(".")
        members.setdefault(f"{head}.qkv" if tail in _QKV else name, []).append(name)
    return members


def activations(encoder, sentences):
    """Inputs of the linear layers in a pass of the model, as `calibration.observed` has it.

    Parameters
    ----------
    encoder : Encoder
        The model.
    sentences : sequence of str
        What is embedded.

    Returns
    -------
    dict
        Layer name to float32 of shape (tokens, K).

    Raises
    ------
    ValueError
        For inputs beyond FP16, which the layers take; names the layer.
    """
    seen = {}

    def see(name, x, *second):
        if second:
            return
        with named(f"inputs of {name}"):
            within(x, 0, hgq.LARGEST_HALF)
        seen[name] = x

    encoder.embed(sentences, observed(Ops(), see), batch=len(sentences))
    return seen


def quantize(
    encoder, calibration, sentences, rank, precision="both", progress=lambda done, total, text: None, **options
):
    """Turn every stack of a model into a SeVeDo layer.

    Parameters
    ----------
    encoder : Encoder
        The model.
    calibration, sentences : sequence of str
        What the layers are made with, and what they are measured on.
    rank, precision, options
        As of `decompose.decompose`.
    progress : callable, optional
        Called with (done, total, text) in stacks.

    Returns
    -------
    layers : dict
        Stack name to SevedoLayer.
    report : list of dict
        One a stack: `name`, `shape`, `bits` of a weight, and `sqnr_db` of the output, as of `quantize.sqnr_db`.

    Raises
    ------
    ValueError
        As `decompose.decompose`, naming the layer.
    """
    _check(encoder)
    seen, tested = activations(encoder, calibration), activations(encoder, sentences)
    layers, report, groups = {}, [], stacks(encoder)
    for done, (name, names) in enumerate(groups.items()):
        progress(done, len(groups), name)
        weight, bias = _stacked(encoder, names)
        try:
            layer = decompose.decompose(weight, bias, _half(seen[names[0]]), rank, precision, **options)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        layers[name] = layer
        x = tested[names[0]]
        arranged = sevedo.arrange(_half(x), layer)
        y = sevedo.residual(arranged, layer) + lvc.product(arranged, layer.low_rank)
        error = _sqnr(_reference(x, weight), y)
        report.append({"name": name, "shape": [*layer.shape], "bits": layer.bits, "sqnr_db": error})
    progress(len(groups), len(groups), "layers")
    return layers, report


def compare(
    encoder,
    calibration,
    sentences,
    ranks=RANKS,
    progress=lambda done, total, text: None,
    smoothings=decompose.SMOOTHINGS,
):
    """Measure the output of every linear layer in every format.

    Parameters
    ----------
    encoder, calibration, sentences, progress
        As of `quantize`.
    ranks : sequence of int
        Ranks of SeVeDo; each is measured with every reading of SVD-MP on one and the same residual.
    smoothings : sequence of pairs of float
        As of `decompose.decompose`.

    Returns
    -------
    list of dict
        One a linear layer: `name`, `kind`, `shape`, and by method `sqnr_db` and `bits` of a weight.

    Raises
    ------
    ValueError
        As `quantize`.
    """
    _check(encoder)
    seen, tested = activations(encoder, calibration), activations(encoder, sentences)
    rows, groups = [], stacks(encoder)
    for done, (stack, names) in enumerate(groups.items()):
        weight, bias = _stacked(encoder, names)
        x, y, bits = tested[names[0]], {}, {}
        for name, quantizer in BASELINES.items():
            progress(done, len(groups), f"{stack} as {name}")
            codes = quantizer(_half(weight))
            y[name], bits[name] = hgq.matmul(quantizer(_half(x)), codes), codes.bits
        for rank in ranks:
            progress(done, len(groups), f"{stack} as SeVeDo of rank {rank}")
            try:
                products = _products(weight, bias, _half(seen[names[0]]), _half(x), rank, smoothings)
            except ValueError as error:
                raise ValueError(f"{stack}: {error}") from None
            for precision, (product, size) in products.items():
                y[method(rank, precision)], bits[method(rank, precision)] = product, size
        reference, top = _reference(x, weight), 0
        for name in names:
            layer = encoder.linears[name]
            part = slice(top, top + len(layer.weight))
            top = part.stop
            ratios = {method: _sqnr(reference[:, part], product[:, part]) for method, product in y.items()}
            shape = [*layer.weight.shape]
            rows.append({"name": name, "kind": layer.kind, "shape": shape, "sqnr_db": ratios, "bits": bits})
    progress(len(groups), len(groups), "layers")
    return rows


def summary(rows):
    """Means over layers.

    Parameters
    ----------
    rows : list of dict
        As `compare` gives.

    Returns
    -------
    list of dict
        `method`; `bits` of a weight, over all weights; mean `sqnr_db` of all layers, and `kinds`, that of each kind.
        A layer without a ratio does not count; a mean of none is None.
    """
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    sizes = [row["shape"][0] * row["shape"][1] for row in rows]
    result = []
    for method in rows[0]["sqnr_db"]:
        means = {kind: _mean([row["sqnr_db"][method] for row in rows if row["kind"] == kind]) for kind in kinds}
        bits = sum(row["bits"][method] * size for row, size in zip(rows, sizes, strict=True)) / sum(sizes)
        ratio = _mean([row["sqnr_db"][method] for row in rows])
        result.append({"method": method, "bits": bits, "sqnr_db": ratio, "kinds": means})
    return result


def _products(weight, bias, seen, x, rank, smoothings):
    """By reading of SVD-MP: the product before the bias, and the bits of a weight."""
    parts = decompose.split(weight, seen, rank, smoothings)
    first, products = None, {}
    for precision in decompose.PRECISIONS:
        low_rank = decompose.tables(parts, seen, precision)
        if first is None:
            codes = hgq.quantize(sevedo.to_half(parts.residual))
            first = sevedo.SevedoLayer(parts.order, parts.smoothing, codes, low_rank, sevedo.to_half(bias))
            arranged = sevedo.arrange(x, first)
            rest = sevedo.residual(arranged, first)
        layer = replace(first, low_rank=low_rank)
        products[precision] = rest + lvc.product(arranged, low_rank), layer.bits
    return products


def _check(encoder):
    for name, layer in encoder.linears.items():
        for part in ("weight", "bias"):
            try:
                finite(getattr(layer, part))
            except ValueError as error:
                raise ValueError(f"{name}: {part}: {error}") from None


def _stacked(encoder, names):
    layers = [encoder.linears[name] for name in names]
    return tuple(np.concatenate([getattr(layer, part) for layer in layers]) for part in ("weight", "bias"))


def _half(x):
    return sevedo.to_half(np.asarray(x))


def _reference(x, weight):
    return x.astype(np.float64) @ weight.T.astype(np.float64)


def _sqnr(reference, y):
    return sqnr_db(np.square(reference).mean(), np.square(y - reference).mean())


def _mean(ratios):
    numbers = [ratio for ratio in ratios if ratio is not None]
    return float(np.mean(numbers)) if numbers else None
