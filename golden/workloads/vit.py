"""A small vision transformer for the 8 x 8 digits: its parameters and its forward pass in floating point.

Sixteen patches of 2 x 2 pixels, a learned position each; blocks of attention and feed-forward, LayerNorm in front of
both and once more at the end; the mean over patches goes into the classifier. LayerNorm has no scale and shift of
channels, which the linear layer behind it can do (our choice: so no weight is changed after it was pruned). The head
width of 16 makes attention's scaling a shift.

Parameters are a dict of float32 arrays, weights (outputs, inputs), as `layers` and `initial` name them.
"""

import math

import numpy as np

from . import transformer

__all__ = [
    "CLASSES",
    "EPSILON",
    "HEAD_WIDTH",
    "PIXELS",
    "TOKENS",
    "WHITE",
    "block_layers",
    "depth",
    "forward",
    "heads",
    "initial",
    "merged",
    "patches",
]

#: Patches of an image, pixels of a patch, the brightest pixel, classes.
TOKENS, PIXELS, WHITE, CLASSES = 16, 4, 16, 10
#: Channels of an attention head.
HEAD_WIDTH = 16
#: LayerNorm's.
EPSILON = 1e-5

_SIDE, _PATCH = 8, 2


def patches(images):
    """Pixels by patch.

    Parameters
    ----------
    images : array_like, shape (B, 8, 8)
        Integers, 0 to 16.

    Returns
    -------
    ndarray of int64, shape (B, TOKENS, PIXELS)
        Both in row-major order.

    Raises
    ------
    ValueError
        For another shape, and for other numbers.
    """
    images = np.asarray(images)
    if images.ndim != 3 or images.shape[1:] != (_SIDE, _SIDE):
        raise ValueError(f"images must have shape (B, 8, 8), not {images.shape}")
    codes = images.astype(np.int64)
    wrong = (codes != images) | (codes < 0) | (codes > WHITE)
    if wrong.any():
        raise ValueError(f"pixels must be integers from 0 to {WHITE}, not {images[wrong][0]}")
    cut = codes.reshape(-1, _SIDE // _PATCH, _PATCH, _SIDE // _PATCH, _PATCH)
    return cut.transpose(0, 1, 3, 2, 4).reshape(-1, TOKENS, PIXELS)


def initial(seed, width=64, hidden=128, blocks=2):
    """Parameters before training.

    Parameters
    ----------
    seed : int
        0 or more.
    width : int
        Channels, a multiple of `HEAD_WIDTH`.
    hidden : int
        Channels inside the feed-forward.
    blocks : int
        1 or more.

    Returns
    -------
    dict of str to ndarray of float32
        Weights uniform with Glorot's limit, zero biases, normal positions with a standard deviation of 0.02.
    """
    if width < HEAD_WIDTH or width % HEAD_WIDTH:
        raise ValueError(f"width must be a multiple of {HEAD_WIDTH}, not {width}")
    rng = np.random.default_rng(seed)
    shapes = {"embed": (width, PIXELS)}
    for block in range(blocks):
        shapes |= {f"{block}.qkv": (3 * width, width), f"{block}.out": (width, width)}
        shapes |= {f"{block}.up": (hidden, width), f"{block}.down": (width, hidden)}
    shapes["head"] = (CLASSES, width)
    parameters = {"position": 0.02 * rng.standard_normal((TOKENS, width))}
    for name, shape in shapes.items():
        limit = math.sqrt(6 / sum(shape))
        parameters[f"{name}.weight"] = rng.uniform(-limit, limit, shape)
        # The embedding's is in the positions.
        if name != "embed":
            parameters[f"{name}.bias"] = np.zeros(shape[0])
    return {name: array.astype(np.float32) for name, array in parameters.items()}


def depth(parameters):
    """Number of blocks."""
    return sum(name.endswith(".qkv.weight") for name in parameters)


def block_layers(parameters):
    """Names of the linear layers inside the blocks: those that are pruned, in order of execution."""
    return [f"{block}.{layer}" for block in range(depth(parameters)) for layer in ("qkv", "out", "up", "down")]


def forward(parameters, codes, watch=lambda name, x: None):
    """Logits in float32.

    Parameters
    ----------
    parameters : dict of str to ndarray
        Pruned, if they are to be.
    codes : ndarray of int, shape (B, TOKENS, PIXELS)
        As of `patches`; 16 is white.
    watch : callable, optional
        Called with a name and an array: for each block the output of `qkv` and `up`, of `gelu`, attention's scaled
        `logits`, and its `context`; and the sum `residual` each time it changes.

    Returns
    -------
    ndarray of float32, shape (B, CLASSES)
    """

    def linear(name, x):
        return x @ parameters[f"{name}.weight"].T + parameters[f"{name}.bias"]

    def norm(x):
        return transformer.layernorm("", x, np.float32(1), np.float32(0), EPSILON)

    def seen(name, x):
        watch(name, x)
        return x

    x = codes.astype(np.float32) / WHITE @ parameters["embed.weight"].T + parameters["position"]
    seen("residual", x)
    for block in range(depth(parameters)):
        q, k, v = heads(seen(f"{block}.qkv", linear(f"{block}.qkv", norm(x))))
        logits = seen(f"{block}.logits", q @ k.swapaxes(-1, -2) / np.float32(math.sqrt(HEAD_WIDTH)))
        context = seen(f"{block}.context", merged(transformer.softmax("", logits) @ v))
        x = seen("residual", x + linear(f"{block}.out", context))
        up = seen(f"{block}.up", linear(f"{block}.up", norm(x)))
        x = seen("residual", x + linear(f"{block}.down", seen(f"{block}.gelu", transformer.gelu("", up))))
    return linear("head", norm(x).mean(axis=1))


def heads(qkv):
    """Query, key and value, each (B, heads, TOKENS, HEAD_WIDTH), of the stacked (B, TOKENS, 3 width)."""
    images, tokens, width = qkv.shape
    return qkv.reshape(images, tokens, 3, width // 3 // HEAD_WIDTH, HEAD_WIDTH).transpose(2, 0, 3, 1, 4)


def merged(context):
    """(B, heads, TOKENS, HEAD_WIDTH) as (B, TOKENS, width)."""
    images, count, tokens, size = context.shape
    return context.transpose(0, 2, 1, 3).reshape(images, tokens, count * size)
