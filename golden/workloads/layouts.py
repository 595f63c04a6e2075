"""Which tensors of a checkpoint are weights of linear layers, and which of their axes is the output.

A quantizer takes a matrix (N, K), output channels first, but a checkpoint has no word for that: names and shapes tell.
What counts is the last word of a name, or the one before ``weight``: ``embeddings.word_embeddings.weight`` is a table,
``time_embedding.linear_1.weight`` is not one. The names are those of public model families (BERT, RoBERTa, T5, GPT-2,
GPT-NeoX, Llama, Mistral, Qwen, BLOOM, OPT, CLIP, ViT, Swin, Mamba, RWKV, and llama.cpp's). The rules are our choice;
who knows better says so with patterns.

GPT-2's ``Conv1D`` stores (K, N), but other models use its names for plain linear layers. So the shapes of a file
decide: ``c_attn`` and ``c_fc`` have more outputs than inputs, ``mlp.c_proj`` has fewer.
"""

import re
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

__all__ = ["Choice", "choose", "summary"]

_TABLES = re.compile(
    r"""
      (\w+_)?(?<!patch_)embeddings?                           # word_embeddings, token_embedding, embeddings
    | embed_in | embed_(tokens|positions)(_\w+)? | (tokens|positions)_embed
    | wte | wpe | shared | emb | (token|position)_embd | token_types
    | (\w+_)?(pos|position|positional)_(embed|emb|enc|encoding) | (word|tok|token|type)_emb
    | relative_attention_bias | relative_position_bias_table | rel_pos_[hw]
    """,
    re.VERBOSE,
)
_HEADS = re.compile(r"(.*\.)?(lm_head|embed_out)(\.weight)?|output\.weight")
_SCALES = re.compile(r"(\w+_)?(scales?|scale_inv|zeros|absmax)")
_VECTORS = re.compile(r"(\w+_)?bias(es)?|\w*norm\d*|ln_\w+|A_log", re.IGNORECASE)
_WIDENING, _NARROWING = re.compile(r"(.*\.)?(c_attn|c_fc)"), re.compile(r"(.*\.)?mlp\.c_proj")
_CONV1D = re.compile(r"(.*\.)?(c_attn|c_fc|c_proj|q_attn)")
# What OpenAI's CLIP multiplies by from the right.
_RIGHT = re.compile(r"(.*\.)?(text_projection|visual\.proj)")


@dataclass(frozen=True)
class Choice:
    """What becomes of a tensor.

    Parameters
    ----------
    shape : tuple of int
        In the file.
    taken : bool
        Whether it is quantized, as the weight of a linear layer.
    why : str
        What it was taken for, in a few words.
    transposed : bool
        Whether the file holds (K, N), inputs first.
    """

    shape: tuple
    taken: bool
    why: str
    transposed: bool = False


def choose(tensors, take=(), skip=(), transposed=()):
    """Decide for every tensor of a checkpoint.

    Parameters
    ----------
    tensors : dict of str to ndarray
        By name.
    take, skip, transposed : sequence of str
        Patterns that overrule what names and shapes tell: take as (N, K), leave, take as (K, N). A pattern is a whole
        name, or has ``*``, ``?`` and ``[...]`` as in a shell; case counts. Where several match, `skip` is stronger than
        `transposed`, and that than `take`.

    Returns
    -------
    dict of str to Choice
        In the order of `tensors`.

    Raises
    ------
    ValueError
        For a pattern that matches no matrix of floating-point numbers.
    """
    refused = {name: _no_matrix(tensor) for name, tensor in tensors.items()}
    shapes = {name: tensors[name].shape for name, why in refused.items() if why is None}
    conv1d = _is_conv1d(shapes)
    told = {name: _told(name, conv1d) for name in shapes}
    for option, patterns, answer in (
        ("--take", take, (True, "taken as asked")),
        ("--transposed", transposed, (True, "taken as asked, in x out", True)),
        ("--skip", skip, (False, "left as asked")),
    ):
        for pattern in patterns:
            matched = [name for name in shapes if name == pattern or fnmatchcase(name, pattern)]
            if not matched:
                raise ValueError(f"{option} {pattern!r} matches no matrix of floating-point numbers")
            told |= dict.fromkeys(matched, answer)
    answers = {name: told.get(name, (False, why)) for name, why in refused.items()}
    return {name: Choice(tensors[name].shape, *answer) for name, answer in answers.items()}


def summary(choices):
    """What was left, in a line: how many tensors for each reason. Empty if nothing was."""
    counts = Counter(choice.why for choice in choices.values() if not choice.taken)
    return ", ".join(f"{why} ({count})" for why, count in counts.most_common())


def _no_matrix(tensor):
    """Why a tensor cannot be a weight, or None."""
    if not np.issubdtype(tensor.dtype, np.floating):
        return "no floating-point numbers"
    if tensor.ndim != 2:
        return f"of {tensor.ndim} {'axis' if tensor.ndim == 1 else 'axes'}"
    return None if tensor.size else "empty"


def _told(name, conv1d):
    """`taken`, `why` and perhaps `transposed` of a matrix, by its name."""
    words = re.split(r"[./]", name)
    path = words[:-1] if words[-1] == "weight" and len(words) > 1 else words
    if _SCALES.fullmatch(words[-1]):
        return False, "scales of a quantized tensor"
    if _HEADS.fullmatch(name):
        return True, "output head"
    if _TABLES.fullmatch(path[-1]):
        return False, "table of embeddings"
    if _VECTORS.fullmatch(path[-1]):
        return False, "vectors of several heads or experts"
    if path[-1] == "kernel":
        return True, "kernel, in x out", True
    if _RIGHT.fullmatch(name):
        return True, "projection, in x out", True
    if conv1d and _CONV1D.fullmatch(".".join(path)):
        return True, "Conv1D, in x out", True
    return True, "linear layer"


def _is_conv1d(shapes):
    """Whether the layers with GPT-2's names are stored as (K, N): their shapes vote; where none tells, they are."""
    votes = 0
    for name, (rows, columns) in shapes.items():
        stem = name.removesuffix(".weight")
        widens = bool(_WIDENING.fullmatch(stem)) - bool(_NARROWING.fullmatch(stem))
        votes += widens * ((columns > rows) - (columns < rows))
    return votes >= 0
