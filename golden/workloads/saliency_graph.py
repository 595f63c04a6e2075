"""The saliency model's weights, read out of an ONNX graph by its structure.

An exporter stores the weights of linear layers transposed and under names of its own making; so they are found by the
formulas in which they stand, from the output backwards: the head, the last LayerNorm, block after block, and the patch
embedding. A graph with another formula anywhere is refused. Sizes are the graph's own; only the form is fixed.
"""

import math

import numpy as np

from ..checks import named, within
from . import resampling
from .onnx_graph import Graph
from .saliency_head import KERNEL, PAD, STEP, Head, Stage
from .transformer import Linear, Norm

__all__ = ["read"]

#: A linear layer of a block, by our name: its kind.
_KINDS = {
    "attention.query": "qkv",
    "attention.key": "qkv",
    "attention.value": "qkv",
    "attention.output": "attention_output",
    "feed_forward.up": "feed_forward_up",
    "feed_forward.down": "feed_forward_down",
}


def _dense(name, x):
    return ("Add", ("MatMul", x, f"{name}.weight"), f"{name}.bias")


def _heads(name, *perm):
    """A linear layer's outputs, head by head."""
    return ("Transpose", ("Reshape", _dense(name, "normed"), f"{name}.shape"), {"perm": perm})


def _convolution(kind, x, kernel, step, pad):
    sides = {"kernel_shape": (kernel,) * 2, "strides": (step,) * 2, "pads": (pad,) * 4}
    return (kind, x, "weight", "bias", {**sides, "dilations": (1, 1), "group": 1})


# The formulas; `onnx_graph` says how to read them. The key is transposed as the right side of its product.
_CENTRED = ("Sub", "x", ("ReduceMean", "x", {"axes": (-1,)}))
_VARIANCE = ("ReduceMean", ("Pow", "centred", 2), {"axes": (-1,)})
_NORM = ("Add", ("Mul", ("Div", "centred", ("Sqrt", ("Add", _VARIANCE, "eps"))), "gamma"), "beta")

_QUERY = ("Mul", _heads("attention.query", 0, 2, 1, 3), "query.factor")
_KEY = ("Mul", _heads("attention.key", 0, 2, 3, 1), "key.factor")
_PROBABILITY = ("Softmax", ("MatMul", _QUERY, _KEY), {"axis": -1})
_HEADS_CONTEXT = ("MatMul", _PROBABILITY, _heads("attention.value", 0, 2, 1, 3))
_CONTEXT = ("Reshape", ("Transpose", _HEADS_CONTEXT, {"perm": (0, 2, 1, 3)}))
_ATTENTION = ("Add", ("Mul", _dense("attention.output", _CONTEXT), "scale"), "x")

_GELU = ("Mul", ("Mul", "up", ("Add", ("Erf", ("Div", "up", math.sqrt(2))), 1)), 0.5)
_FEED_FORWARD = ("Add", ("Mul", _dense("feed_forward.down", _GELU), "scale"), "x")

# The last index that there is.
_END = 2**63 - 1
_HALF_PIXEL = {"coordinate_transformation_mode": "half_pixel"}
_TABLE = ("Transpose", ("Reshape", "table"), {"perm": (0, 3, 1, 2)})
_STRETCHED = ("Resize", _TABLE, {"mode": "cubic", "cubic_coeff_a": -0.75, **_HALF_PIXEL})
_POSITIONS = ("Concat", "first", ("Reshape", ("Transpose", _STRETCHED, {"perm": (0, 2, 3, 1)})), {"axis": 1})
_PATCHES = ("Transpose", ("Reshape", "patches"), {"perm": (0, 2, 1)})
_TOKENS = ("Add", ("Concat", ("Expand", "class"), _PATCHES, {"axis": 1}), _POSITIONS)

# Without the first token.
_FEATURES = ("Reshape", ("Transpose", ("Slice", "normed", 1, _END, 1, 1), {"perm": (0, 2, 1)}))
_STAGE = ("BatchNormalization", _convolution("ConvTranspose", "x", KERNEL, STEP, PAD), "gamma", "beta", "mean", "var")
_MAP = ("Sigmoid", ("Resize", _convolution("Conv", "x", 1, 1, 0), {"mode": "linear", **_HALF_PIXEL}))


def read(path):
    """Read a saliency model.

    Parameters
    ----------
    path : str or Path
        An ONNX file.

    Returns
    -------
    dict
        The fields of a `SaliencyModel`, by name.

    Raises
    ------
    ModuleNotFoundError
        Without the package `onnx`, extra `model`.
    OSError
        When the file cannot be read.
    ValueError
        When it is no ONNX file, or another architecture; one line that names the file and the place.
    """
    graph = Graph(path)
    image, side = _image(graph)
    features, head = _head(graph, graph.outputs[0])
    last = graph.expect(features, _FEATURES, "the last LayerNorm's, without the first token")["normed"]
    x, norm, eps = _norm(graph, last, None)
    width, blocks = len(norm.gamma), []
    while (tokens := graph.find(x, _TOKENS)) is None:
        x, block = _block(graph, x, width, eps)
        blocks.insert(0, block)
    if not blocks:
        raise ValueError(f"{path}: another architecture: there is no block")
    if len({block["heads"] for block in blocks}) > 1:
        raise ValueError(f"{path}: another architecture: blocks differ in their heads")
    if head.stages[0].weight.shape[0] != width:
        raise ValueError(f"{path}: another architecture: the head takes other channels than the blocks give")
    patch, patches = _patches(graph, tokens["patches"], image, side, width)
    return {
        "layers": len(blocks),
        "heads": blocks[0]["heads"],
        "eps": eps,
        "side": side,
        "patch": patch,
        "patches": patches,
        "positions": _positions(graph, tokens, side // patch, width),
        "linears": _named(blocks, "linears"),
        "norms": {**_named(blocks, "norms"), "norm": norm},
        "scales": _named(blocks, "scales"),
        "head": head,
    }


def _named(blocks, part):
    return {f"layer.{i}.{name}": item for i, block in enumerate(blocks) for name, item in block[part].items()}


def _image(graph):
    """Name and side of the image."""
    for name, shape in graph.inputs.items():
        if len(shape) == 4 and shape[1] == 3 and shape[2] == shape[3] and shape[2]:
            return name, shape[2]
    raise ValueError(f"{graph.path}: another architecture: no input of shape (images, 3, side, side)")


def _head(graph, value):
    """The head, and the name of what it takes."""
    names = graph.expect(value, _MAP, "a map of probabilities")
    weight = graph.tensor(names["weight"], 1, None, 1, 1).ravel()
    bias, stages, channels = graph.tensor(names["bias"], 1)[0], [], len(weight)
    while active := graph.find(names["x"], ("Relu", "normed")):
        names = graph.expect(active["normed"], _STAGE, "a stage of the head")
        stages.insert(0, _stage(graph, names, graph.number(active["normed"], "epsilon"), channels))
        channels = len(stages[0].weight)
    if not stages:
        raise ValueError(f"{graph.path}: another architecture: the head has no stage")
    return names["x"], Head(tuple(stages), weight, bias)


def _stage(graph, names, epsilon, channels):
    """A transposed convolution with the normalisation behind it, which is a scale and a shift of each channel."""
    weight = graph.tensor(names["weight"], None, channels, KERNEL, KERNEL).astype(np.float64)
    bias, gamma, beta, mean, variance = (
        graph.tensor(names[name], channels).astype(np.float64) for name in ("bias", "gamma", "beta", "mean", "var")
    )
    if not variance.min() + epsilon > 0:
        raise ValueError(f"{graph.path}: tensor {names['var']!r} must hold variances, not {variance.min():.4g}")
    scale = gamma / np.sqrt(variance + epsilon)
    weight, bias = weight * scale[:, None, None], (bias - mean) * scale + beta
    with named(f"{graph.path}: tensor {names['weight']!r}, normalised"):
        within(np.append(weight, bias), 0, np.finfo(np.float32).max)
    return Stage(weight.astype(np.float32), bias.astype(np.float32))


def _block(graph, value, width, eps):
    """One block, and the name of what it takes."""
    down = graph.expect(value, _FEED_FORWARD, "a block's feed-forward with its residual")
    up = graph.expect(down["up"], _dense("feed_forward.up", "normed"), "a feed-forward's first layer")
    middle, feed_forward_norm, _ = _norm(graph, up["normed"], width, eps, down["x"])
    attention = graph.expect(middle, _ATTENTION, "a block's attention with its residual")
    x, attention_norm, _ = _norm(graph, attention["normed"], width, eps, attention["x"])
    names = {**attention, **up, **down}
    inner = graph.tensor(names["feed_forward.up.bias"], None).size
    shapes = {"feed_forward.up": (width, inner), "feed_forward.down": (inner, width)}
    linears = {
        name: _linear(graph, names, name, kind, *shapes.get(name, (width, width))) for name, kind in _KINDS.items()
    }
    return x, {
        "heads": _heads_of(graph, attention, width),
        "linears": linears,
        "norms": {"attention.norm": attention_norm, "feed_forward.norm": feed_forward_norm},
        "scales": {
            "attention": graph.tensor(attention["scale"], width),
            "feed_forward": graph.tensor(down["scale"], width),
        },
    }


def _norm(graph, value, width, eps=None, x=None):
    """The name of what a LayerNorm takes, its weights, and what it adds to the variance.

    They must be `x` and `eps`, if those are given.
    """
    names = graph.expect(value, _NORM, "a LayerNorm")
    names |= graph.expect(names["centred"], _CENTRED, "a LayerNorm's difference to the mean", {"x": x} if x else {})
    norm = Norm(graph.tensor(names["gamma"], width), graph.tensor(names["beta"], width))
    own = graph.tensor(names["eps"]).item()
    if eps not in (None, own) or not 0 <= own < 1:
        wanted = "0 to 1" if eps is None else eps
        raise ValueError(f"{graph.path}: another architecture: LayerNorm's {names['eps']!r} is {own}, not {wanted}")
    return names["x"], norm, own


def _linear(graph, names, name, kind, inputs, outputs):
    weight = graph.tensor(names[f"{name}.weight"], inputs, outputs)
    return Linear(np.ascontiguousarray(weight.T), graph.tensor(names[f"{name}.bias"], outputs), kind)


def _heads_of(graph, names, width):
    """Number of heads; their width must fit, and attention must divide by its root."""
    shapes = {graph.numbers(names[f"attention.{part}.shape"])[-2:] for part in ("query", "key", "value")}
    cut = shapes.pop()
    if shapes or len(cut) != 2 or cut[0] < 1 or math.prod(cut) != width:
        raise ValueError(f"{graph.path}: another architecture: attention does not cut {width} channels into heads")
    heads, size = cut
    factor = float(graph.tensor(names["query.factor"])) * float(graph.tensor(names["key.factor"]))
    if not math.isclose(factor, 1 / math.sqrt(size), rel_tol=1e-5):
        raise ValueError(f"{graph.path}: another architecture: attention's factor is {factor}, not 1 / sqrt({size})")
    return heads


def _patches(graph, value, image, side, width):
    """Side of a patch, and the patch embedding as a linear layer."""
    names = graph.expect(value, ("Conv", "image", "weight", "bias"), "the patch embedding", {"image": image})
    weight = graph.tensor(names["weight"], width, 3, None, None)
    patch = weight.shape[2]
    graph.expect(value, _convolution("Conv", "image", patch, patch, 0), "a convolution of patches without overlap")
    if weight.shape[3] != patch or side % patch:
        raise ValueError(f"{graph.path}: another architecture: patches {weight.shape[2:]} do not tile {side} pixels")
    return patch, Linear(weight.reshape(width, -1), graph.tensor(names["bias"], width), "patches")


def _positions(graph, names, grid, width):
    """Embeddings of the tokens' positions; the first has that of the class added, which is all that it has."""
    table = graph.tensor(names["table"], 1, None, width)[0]
    size = math.isqrt(len(table))
    if size * size != len(table):
        raise ValueError(f"{graph.path}: another architecture: {len(table)} positions are no square")
    first = graph.tensor(names["first"], 1, 1, width)[0] + graph.tensor(names["class"], 1, 1, width)[0]
    stretch = resampling.cubic(size, grid)
    rows = np.einsum("ia,jb,abc->ijc", stretch, stretch, table.reshape(size, size, width), optimize=True)
    return np.concatenate([first, rows.reshape(-1, width)]).astype(np.float32)
