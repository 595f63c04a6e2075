"""GGUF files with small causal language models of random weights, and their plain forward pass."""

import math

import numpy as np
from gguf_files import build, stored

LAYERS, HEADS, KEY_HEADS, WIDTH, UP, LONGEST, EPS, BASE = 2, 6, 2, 8, 32, 40, 1e-3, 500.0
HIDDEN = HEADS * WIDTH

#: The tokenizer: GPT-2's spelling of the bytes, in order; what the merges make; special tokens.
PRINTING = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTES = {byte: chr(byte) for byte in PRINTING}
BYTES |= {byte: chr(256 + i) for i, byte in enumerate(sorted({*range(256)} - {*PRINTING}))}
MERGES = ["Ġ t", "h e", "Ġt he", "a b", "ab c", "a a", "aa a", "Ã ©"]
TOKENS = [
    *(BYTES[byte] for byte in range(256)),
    *(merge.replace(" ", "") for merge in MERGES),
    "<unk>",
    "<|a|>",
    "<|a|>b",
    "né é",
]
KINDS = [1] * (256 + len(MERGES)) + [3, 3, 4, 4]

PAIRS = {
    "general.architecture": ("string", "llama"),
    "llama.block_count": ("u32", LAYERS),
    "llama.context_length": ("u32", LONGEST),
    "llama.embedding_length": ("u32", HIDDEN),
    "llama.feed_forward_length": ("u32", UP),
    "llama.attention.head_count": ("u32", HEADS),
    "llama.attention.head_count_kv": ("u32", KEY_HEADS),
    "llama.attention.layer_norm_rms_epsilon": ("f32", EPS),
    "llama.rope.freq_base": ("f32", BASE),
    "tokenizer.ggml.model": ("string", "gpt2"),
    "tokenizer.ggml.pre": ("string", "smollm"),
    "tokenizer.ggml.tokens": ("[string]", TOKENS),
    "tokenizer.ggml.token_type": ("[i32]", KINDS),
    "tokenizer.ggml.merges": ("[string]", MERGES),
    "tokenizer.ggml.unknown_token_id": ("u32", TOKENS.index("<unk>")),
}


def tensors(seed=3, head=False):
    """Weights as the float model has them: the pairs of a head's rotary positions are its halves."""
    rng = np.random.default_rng(seed)
    made = {"token_embd": rng.normal(size=(len(TOKENS), HIDDEN))}
    for i in range(LAYERS):
        shapes = {
            "attn_q": (HIDDEN, HIDDEN),
            "attn_k": (KEY_HEADS * WIDTH, HIDDEN),
            "attn_v": (KEY_HEADS * WIDTH, HIDDEN),
            "attn_output": (HIDDEN, HIDDEN),
            "ffn_gate": (UP, HIDDEN),
            "ffn_up": (UP, HIDDEN),
            "ffn_down": (HIDDEN, UP),
        }
        for name, shape in shapes.items():
            made[f"blk.{i}.{name}"] = rng.normal(0, 2 * shape[1] ** -0.5, shape)
        for name in ("attn_norm", "ffn_norm"):
            made[f"blk.{i}.{name}"] = rng.uniform(0.5, 1.5, HIDDEN)
    made["output_norm"] = rng.uniform(0.5, 1.5, HIDDEN)
    if head:
        made["output"] = rng.normal(size=(len(TOKENS), HIDDEN))
    return {f"{name}.weight": tensor.astype(np.float32) for name, tensor in made.items()}


def paired(weight):
    """Rows i and i + 4 of each head, of 8 rows, become its rows 2 i and 2 i + 1, as a converter to GGUF has it."""
    order = [
        head + row for head in range(0, len(weight), WIDTH) for i in range(WIDTH // 2) for row in (i, i + WIDTH // 2)
    ]
    return weight[order]


def write(path, made, pairs=PAIRS):
    """Write a model's file and return its path; the metadata are (type, value) by key."""
    made = {name: paired(x) if name.endswith(("attn_q.weight", "attn_k.weight")) else x for name, x in made.items()}
    listed = [(name, x.shape, "F32", stored("F32", x)[0]) for name, x in made.items()]
    path.write_bytes(build([(key, *item) for key, item in pairs.items()], listed))
    return path


def plain_forward(made, ids):
    """Logits in float64, token by token and head by head."""
    t = {name.removesuffix(".weight"): x.astype(float) for name, x in made.items()}

    def norm(name, x):
        return np.array([row / math.sqrt((row**2).mean() + EPS) * t[name] for row in x])

    def turned(head, place):
        half, out = WIDTH // 2, head.copy()
        for i in range(half):
            angle = place / BASE ** (2 * i / WIDTH)
            a, b = head[i], head[i + half]
            out[i] = a * math.cos(angle) - b * math.sin(angle)
            out[i + half] = b * math.cos(angle) + a * math.sin(angle)
        return out

    x = t["token_embd"][ids]
    for i in range(LAYERS):
        normed = norm(f"blk.{i}.attn_norm", x)
        q, k, v = (normed @ t[f"blk.{i}.attn_{name}"].T for name in "qkv")
        attended = np.zeros_like(x)
        for head in range(HEADS):
            own = slice(head * WIDTH, (head + 1) * WIDTH)
            shared = slice(head // 3 * WIDTH, (head // 3 + 1) * WIDTH)
            for place in range(len(ids)):
                query = turned(q[place, own], place)
                logits = [query @ turned(k[j, shared], j) / math.sqrt(WIDTH) for j in range(place + 1)]
                weights = [math.exp(logit) for logit in logits]
                for weight, value in zip(weights, v[:, shared], strict=False):
                    attended[place, own] += weight / sum(weights) * value
        x = x + attended @ t[f"blk.{i}.attn_output"].T
        normed = norm(f"blk.{i}.ffn_norm", x)
        gate = normed @ t[f"blk.{i}.ffn_gate"].T
        gated = gate / (1 + np.exp(-gate)) * (normed @ t[f"blk.{i}.ffn_up"].T)
        x = x + gated @ t[f"blk.{i}.ffn_down"].T
    return norm("output_norm", x) @ t.get("output", t["token_embd"]).T
