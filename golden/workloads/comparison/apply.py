"""A model's linear layers and attention products in the arithmetic of a scheme."""

from dataclasses import dataclass

import numpy as np

from ...checks import named
from ..calibration import observed

__all__ = ["Prepared", "operations", "prepare"]

#: Activations that calibration keeps of a place, at most.
_KEPT = 1 << 17


@dataclass(frozen=True, eq=False)
class Prepared:
    """What is made of a model before it runs.

    Attributes
    ----------
    scheme : Scheme
        Fitted to the model.
    weights : dict of str to object
        By layer, as `Scheme.weights` gives them.
    steps : dict of str to tuple
        By place, of both operands; None for weights.
    """

    scheme: object
    weights: dict
    steps: dict


def prepare(subject, scheme, progress=lambda done, total, text: None):
    """Fit the scheme to the model, calibrate, and turn the weights into operands.

    Parameters
    ----------
    subject : Subject
    scheme : Scheme
    progress : callable, optional
        Called with (done, total, text) in layers.

    Returns
    -------
    Prepared

    Raises
    ------
    ValueError
        For numbers that the scheme cannot hold, naming the layer; and as `Scheme.fitted`.
    """
    scheme = scheme.fitted(subject)
    seen = _seen(subject, scheme)
    weights, steps = {}, {}
    for done, (name, layer) in enumerate(subject.linears.items()):
        progress(done, len(subject.linears), name)
        with named(name):
            weights[name] = scheme.weights(layer.weight, seen[name], layer.kind)
    for place, sides in seen.items():
        with named(f"activations of {place}"):
            steps[place] = (scheme.step(sides), None) if place in weights else tuple(map(scheme.step, sides))
    progress(len(subject.linears), len(subject.linears), "layers")
    return Prepared(scheme, weights, steps)


def operations(subject, prepared, product=None, watch=None):
    """Operations of a forward pass in a scheme's arithmetic.

    Parameters
    ----------
    subject : Subject
    prepared : Prepared
    product : callable, optional
        Called with (place, a, w) for each product, as `Scheme.product` after the place; by default that one. A core
        that is simulated, or whoever counts, stands here.
    watch : callable, optional
        Called with (place, x, w, y) for each product: the operands in floating point, (M, K) and (N, K), and what the
        scheme makes of them, (M, N).

    Returns
    -------
    Ops
        Of the subject's class.
    """
    scheme = prepared.scheme
    compute = product or (lambda place, a, w: scheme.product(a, w))
    plain = subject.ops()

    def linear(name, x, weight, bias):
        if name not in prepared.weights:
            return plain.linear(name, x, weight, bias)
        with named(f"activations of {name}"):
            a, w = scheme.encode(x, prepared.steps[name][0]), prepared.weights[name]
        y = scheme.restore(compute(name, a, w), a, w)
        if watch:
            watch(name, x, weight, y)
        return y if bias is None else y + bias

    def matmul(name, a, b):
        if not scheme.attends:
            return plain.matmul(name, a, b)
        first, second = prepared.steps[name]
        result = np.empty((*a.shape[:2], b.shape[2]), np.float32)
        for head, (left, right) in enumerate(zip(a, b, strict=True)):
            with named(f"activations of {name}"):
                codes, w = scheme.encode(left, first), scheme.operand(right.T, second)
            result[head] = scheme.restore(compute(name, codes, w), codes, w)
            if watch:
                watch(name, left, right.T, result[head])
        return result

    return subject.ops(linear=linear, matmul=matmul)


def _seen(subject, scheme):
    """What calibration meets by place: inputs of a layer, (rows, K); or both sides of a product of activations."""
    seen = {}

    def keep(place, *sides):
        seen.setdefault(place, tuple([] for _ in sides))
        for kept, side in zip(seen[place], sides, strict=True):
            kept.append(side)

    def see(name, x, *second):
        if second and scheme.attends:
            keep(name, x, *(side.transpose(0, 2, 1) for side in second))
        elif name in subject.linears:
            keep(name, x)

    subject.calibrate(observed(subject.ops(), see))
    return {place: _rows(sides[0]) if len(sides) == 1 else tuple(map(_rows, sides)) for place, sides in seen.items()}


def _rows(parts):
    """All rows, thinned out evenly to what is kept; of other lengths of K, flat rows of one value."""
    if len({part.shape[-1] for part in parts}) > 1:
        parts = [part.reshape(-1, 1) for part in parts]
    rows = np.concatenate([part.reshape(-1, part.shape[-1]) for part in parts])
    return rows[:: -(-rows.size // _KEPT)]
