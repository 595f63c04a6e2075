"""A BERT-style sentence encoder in integers, from token ids to the sum of its last hidden states.

Between ids and sums nothing is a real number. What comes out are 32-bit sums over the tokens; scaled to length 1, which
is the host's, they are the embedding: neither the number of tokens nor a step matters to that.

Tensors, of T tokens, H channels, N heads of width D, and U channels inside the feed-forward; `watch` is given each by
its name, ``layer.i.`` in front of all but the first two and the last:

==========================  ==============  ==========  ================================================================
name                        shape           bits        what it is
==========================  ==============  ==========  ================================================================
``embeddings.sum``          (T, H)          16          rows of words, shifted left, and positions
``embeddings.norm``         (T, H)          16          residual
``attention.input``         (T, H)          8           residual, requantized by channel (smoothed); or pairs
``attention.query``, …      (T, H)          8           ``query``, ``key``, ``value``
``attention.logits``        (N, T, T)       8           of query and key, divided by sqrt(D), at a scale of 0 to 7
``attention.softmax``       (N, T, T)       8 unsigned  in units of 2**-8
``attention.context``       (T, H)          8           by channel (smoothed); or pairs
``attention.sum``           (T, H)          16          the output layer's sums, requantized, and the residual
``attention.norm``          (T, H)          16          residual
``feed_forward.input``      (T, H)          8           by channel (smoothed); or pairs
``feed_forward.up``         (T, U)          16          at a scale of 5 to 12
``feed_forward.gelu``       (T, U)          16          at the same scale
``feed_forward.hidden``     (T, U)          8           by channel (smoothed); or pairs
``feed_forward.sum``        (T, H)          16          the down layer's sums, requantized, and the residual
``feed_forward.norm``       (T, H)          16          residual
``embedding``               (H,)            32          sum over the tokens
==========================  ==============  ==========  ================================================================

Where linear layers have outlier-victim pairs (`format`), their inputs and weights are the values of pairs, -96 to 96,
and requantizers in front of them are `PairRequantizer`: nothing else changes.

The arithmetic is our design; that channels' scales are folded into what comes before is SmoothQuant (arXiv 2211.10438,
section 4), wide inputs of LayerNorm are of I-BERT (arXiv 2101.01321, section 3.6).
"""

from dataclasses import dataclass

import numpy as np

from . import parts
from .parts import Linear, Norm, Requantizer

__all__ = ["Encoder", "Layer"]


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: attention, then feed-forward.

    Parameters
    ----------
    attention_input : Requantizer
        Residual to the input of query, key and value.
    query, key, value : Linear
        To 8 bits.
    logits : Requantizer
        Of products of query and key, one entry for all.
    logit_scale : int
        0 to 7.
    context : Requantizer
        Of products of probabilities and values.
    output : Linear
        To 16 bits.
    attention_norm : Norm
    feed_forward_input : Requantizer
    up : Linear
        To 16 bits.
    gelu_scale : int
        5 to 12.
    hidden : Requantizer
        GELU's codes to the input of `down`.
    down : Linear
        To 16 bits.
    feed_forward_norm : Norm
    """

    attention_input: Requantizer
    query: Linear
    key: Linear
    value: Linear
    logits: Requantizer
    logit_scale: int
    context: Requantizer
    output: Linear
    attention_norm: Norm
    feed_forward_input: Requantizer
    up: Linear
    gelu_scale: int
    hidden: Requantizer
    down: Linear
    feed_forward_norm: Norm

    def __call__(self, x, heads, entries, watch):
        """Residual, (T, H), of the residual before; `heads`, `entries` and `watch` as of `Encoder`."""

        def seen(name, tensor):
            watch(name, tensor)
            return tensor

        context = self._attention(seen("attention.input", self.attention_input(x)), heads, entries, seen)
        total = seen("attention.sum", self.output(context, x))
        x = seen("attention.norm", self.attention_norm(total, entries))
        up = seen("feed_forward.up", self.up(seen("feed_forward.input", self.feed_forward_input(x))))
        gelu = seen("feed_forward.gelu", parts.gelu(up, self.gelu_scale, entries))
        total = seen("feed_forward.sum", self.down(seen("feed_forward.hidden", self.hidden(gelu)), x))
        return seen("feed_forward.norm", self.feed_forward_norm(total, entries))

    def _attention(self, x, heads, entries, seen):
        query, key, value = (
            seen(f"attention.{name}", getattr(self, name)(x)).reshape(len(x), heads, -1).transpose(1, 0, 2)
            for name in ("query", "key", "value")
        )
        logits = seen("attention.logits", self.logits(query @ key.swapaxes(1, 2)))
        weights = seen("attention.softmax", parts.softmax(logits, self.logit_scale, entries))
        context = (weights @ value).transpose(1, 0, 2).reshape(x.shape)
        return seen("attention.context", self.context(context))


@dataclass(frozen=True, eq=False)
class Encoder:
    """A whole encoder; call it on token ids.

    Parameters
    ----------
    words : ndarray of int8, shape (vocabulary, H)
    word_shift : int
        0 to 8: bits that a word's code is shifted left by.
    positions : ndarray of int16, shape (longest, H)
    norm : Norm
        Of the embeddings.
    layers : sequence of Layer
    heads : int
    entries : int
        Of the tables, 8 or 16.
    format : str
        One of `sizes.FORMATS`, of the linear layers.
    """

    words: np.ndarray
    word_shift: int
    positions: np.ndarray
    norm: Norm
    layers: tuple
    heads: int
    entries: int = 16
    format: str = "int8"

    def __call__(self, ids, watch=lambda name, tensor: None):
        """Sum of the last hidden states.

        Parameters
        ----------
        ids : array_like of int, shape (T,)
            Tokens of one sentence, without padding; T is 1 or more, at most the number of positions.
        watch : callable, optional
            Called with the name of each tensor and its codes.

        Returns
        -------
        ndarray of int64, shape (H,)

        Raises
        ------
        ValueError, TypeError
            For other ids.
        """
        ids = self._check(ids)
        x = parts.saturated((self.words[ids].astype(np.int64) << self.word_shift) + self.positions[: len(ids)])
        watch("embeddings.sum", x)
        x = self.norm(x, self.entries)
        watch("embeddings.norm", x)
        for i, layer in enumerate(self.layers):
            x = layer(x, self.heads, self.entries, lambda name, tensor, i=i: watch(f"layer.{i}.{name}", tensor))
        embedding = x.sum(axis=0)
        watch("embedding", embedding)
        return embedding

    def _check(self, ids):
        ids = np.asarray(ids)
        if ids.ndim != 1 or not 1 <= len(ids) <= len(self.positions):
            raise ValueError(f"ids must be 1 to {len(self.positions)} tokens of one sentence, not of shape {ids.shape}")
        if ids.dtype.kind not in "iu":
            raise TypeError(f"ids must be integers, not {ids.dtype}")
        if not 0 <= ids.min() <= ids.max() < len(self.words):
            raise ValueError(f"token ids {ids.min()} to {ids.max()}, expected 0 to {len(self.words) - 1}")
        return ids
