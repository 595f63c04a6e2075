"""Folders with small encoders of random weights."""

import json

import numpy as np

from bitloom.golden.workloads import safetensors
from bitloom.golden.workloads.wordpiece import SPECIAL_TOKENS

WORDS = ("red", "green", "blue", "old", "new", "light", "##er", "##est", "and", "or", ".")


def tensors(rng, layers, hidden, up, vocabulary, longest):
    """Tensors of a checkpoint: weights that keep variances, LayerNorms that differ from channel to channel."""
    made = {
        f"embeddings.{name}_embeddings.weight": rng.normal(0, 0.05, (rows, hidden))
        for name, rows in (("word", vocabulary), ("position", longest), ("token_type", 2))
    }

    def dense(name, n, k):
        made[f"{name}.weight"] = rng.normal(0, k**-0.5, (n, k))
        made[f"{name}.bias"] = rng.normal(0, 0.1, n)

    def norm(name):
        made[f"{name}.weight"] = rng.uniform(0.3, 1.5, hidden)
        made[f"{name}.bias"] = rng.normal(0, 0.3, hidden)

    norm("embeddings.LayerNorm")
    for i in range(layers):
        layer = f"encoder.layer.{i}"
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            dense(f"{layer}.{name}", hidden, hidden)
        dense(f"{layer}.intermediate.dense", up, hidden)
        dense(f"{layer}.output.dense", hidden, up)
        norm(f"{layer}.attention.output.LayerNorm")
        norm(f"{layer}.output.LayerNorm")
    return {name: tensor.astype(np.float32) for name, tensor in made.items()}


def write(folder, seed=0, *, layers=2, heads=2, hidden=32, up=48, longest=64, eps=1e-5, change=lambda made: None):
    """Write a model into `folder` and return it; `change` may alter the dict of tensors."""
    vocabulary = [
        *SPECIAL_TOKENS,
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
        *WORDS,
    ]
    config = {
        "model_type": "bert",
        "hidden_act": "gelu",
        "vocab_size": len(vocabulary),
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": up,
        "max_position_embeddings": longest,
        "type_vocab_size": 2,
        "layer_norm_eps": eps,
    }
    made = tensors(np.random.default_rng(seed), layers, hidden, up, len(vocabulary), longest)
    change(made)
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    safetensors.save(folder / "model.safetensors", made)
    return folder
