"""The steps that distil a pruned sentence encoder: automatic differentiation by torch, of the optional extra `train`.

Texts, batches and the pruned encoder are in `golden.workloads.distillation` and need NumPy only.
"""

import contextlib
import itertools
import time
from dataclasses import dataclass, replace

import numpy as np

from ...golden.workloads import bdwp, distillation
from ...golden.workloads.evaluate import mean_cosine
from ...golden.workloads.transformer import Linear, Norm
from .bdwp_train import product, torch_module

__all__ = ["Distilled", "forward", "keep_largest", "leaves", "loss", "train"]

_BETAS = 0.9, 0.98
#: Steps between two looks at the texts that are held out.
_INTERVAL = 50


@dataclass(frozen=True)
class Distilled:
    """A distilled encoder.

    Attributes
    ----------
    encoder : Encoder
        With pruned weights.
    tokens : int
        Of the texts of all steps.
    loss : list of float
        Of each step.
    before, after : float
        Mean cosine similarity of the embeddings of texts that were held out with those of the teacher.
    seconds : float
        Processor time of the steps.
    """

    encoder: object
    tokens: int
    loss: list
    before: float
    after: float
    seconds: float


def train(encoder, method, texts, held_out, steps, seed, progress=lambda done, total, text: None):
    """Prune an encoder, and train it to give the hidden states and embeddings that it gave before.

    Parameters
    ----------
    encoder : Encoder
        The teacher.
    method : bdwp.Method
        How weights are pruned in a step's products.
    texts, held_out : sequence of str
        To train with, and to look at now and then.
    steps : int, >= 1
    seed : int, >= 0
        Of the order of the texts.
    progress : callable, optional
        Called with (done, total, text) in steps; the text has loss and cosine.

    Returns
    -------
    Distilled
        The same bit for bit on the same machine: one thread of one processor does it all.
    """
    torch = torch_module()
    longest = min(distillation.LONGEST, encoder.max_length)
    rows = [encoder.tokenizer.encode([text], longest)[0][0] for text in texts]
    teacher, student = leaves(encoder), leaves(encoder)
    for tensor in student.values():
        tensor.requires_grad_()
    optimizer = torch.optim.Adam(student.values(), betas=_BETAS, fused=True)
    reference = encoder.embed(held_out)

    def judged():
        return mean_cosine(reference, distillation.pruned(_encoder(encoder, student), method).embed(held_out))

    before = cosine = judged()
    losses, tokens, seconds = [], 0, 0.0
    for step, batch in enumerate(itertools.islice(_batches(rows, seed), steps)):
        text = f"{method}, loss {np.mean(losses[-20:] or [np.nan]):.3f}, held-out cosine {cosine:.3f}"
        progress(step, steps, text)
        begin = time.process_time()
        ids, mask = _padded([rows[index] for index in batch])
        for group in optimizer.param_groups:
            group["lr"] = bdwp.learning_rate(step, steps, distillation.PEAK_RATE)
        optimizer.zero_grad()
        with _mixed_precision():
            value = loss(encoder, teacher, student, method, ids, mask)
            value.backward()
        optimizer.step()
        losses.append(float(value.detach()))
        tokens += int(mask.sum())
        seconds += time.process_time() - begin
        if (step + 1) % _INTERVAL == 0 or step + 1 == steps:
            cosine = judged()
    progress(steps, steps, str(method))
    return Distilled(distillation.pruned(_encoder(encoder, student), method), tokens, losses, before, cosine, seconds)


def loss(encoder, teacher, student, method, ids, mask):
    """How far the pruned student is from the teacher.

    Parameters
    ----------
    encoder : Encoder
        Sizes and embeddings.
    teacher, student : dict of str to tensor
        As of `leaves`.
    method : bdwp.Method
    ids, mask : ndarray, shape (B, T)
        As `Encoder.__call__` takes them.

    Returns
    -------
    tensor, shape ()
        Mean over the layers of the squared distance of their hidden states over the squared length of the teacher's;
        and 1 less the mean cosine of the embeddings.
    """
    torch = torch_module()
    masks = {name: _masks(method, student[f"{name}.weight"].detach()) for name in encoder.linears}

    def dense(name, x):
        return x @ teacher[f"{name}.weight"].T + teacher[f"{name}.bias"]

    def sparse(name, x):
        return product(x, student[f"{name}.weight"], *masks[name], method.decay) + student[f"{name}.bias"]

    with torch.no_grad():
        wanted, target = forward(encoder, teacher, dense, ids, mask)
    states, embeddings = forward(encoder, student, sparse, ids, mask)
    words = torch.from_numpy(mask.astype(bool))
    distances = [
        (state - aim)[words].square().sum() / aim[words].square().sum()
        for state, aim in zip(states, wanted, strict=True)
    ]
    return torch.stack(distances).mean() + 1 - (embeddings * target).sum(-1).mean()


def forward(encoder, parameters, linear, ids, mask):
    """What `Encoder` computes, of tensors.

    Parameters
    ----------
    encoder : Encoder
        Sizes and embeddings.
    parameters : dict of str to tensor
        As of `leaves`.
    linear : callable
        Takes a layer's name and its inputs.
    ids, mask : ndarray, shape (B, T)

    Returns
    -------
    states : list of tensor, shape (B, T, H)
        After each layer.
    embeddings : tensor, shape (B, H)
        Of length 1.
    """
    torch = torch_module()
    functional = torch.nn.functional

    def norm(name, x):
        return functional.layer_norm(
            x, x.shape[-1:], parameters[f"{name}.gamma"], parameters[f"{name}.beta"], encoder.eps
        )

    def heads(name, x):
        return linear(name, x).unflatten(-1, (encoder.heads, -1)).transpose(1, 2)

    absent = torch.from_numpy(mask == 0)[:, None, None]
    x = norm("embeddings.norm", torch.from_numpy(encoder.words[ids] + encoder.positions[: ids.shape[1]]))
    states = []
    for layer in (f"layer.{i}" for i in range(encoder.layers)):
        query, key, value = (heads(f"{layer}.attention.{part}", x) for part in ("query", "key", "value"))
        scores = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).masked_fill(absent, -torch.inf)
        context = (torch.softmax(scores, -1) @ value).transpose(1, 2).flatten(2)
        x = norm(f"{layer}.attention.norm", x + linear(f"{layer}.attention.output", context))
        up = functional.gelu(linear(f"{layer}.feed_forward.up", x))
        x = norm(f"{layer}.feed_forward.norm", x + linear(f"{layer}.feed_forward.down", up))
        states.append(x)
    words = torch.from_numpy(mask.astype(np.float32))[..., None]
    return states, functional.normalize((x * words).sum(1) / words.sum(1), dim=-1)


def leaves(encoder):
    """What is trained, copied: NAME.weight and NAME.bias of linear layers, NAME.gamma and NAME.beta of LayerNorms."""
    torch = torch_module()
    arrays = {f"{name}.{part}": getattr(x, part) for name, x in encoder.linears.items() for part in ("weight", "bias")}
    arrays |= {f"{name}.{part}": getattr(x, part) for name, x in encoder.norms.items() for part in ("gamma", "beta")}
    return {name: torch.tensor(np.array(x)) for name, x in arrays.items()}


def keep_largest(w, n, m):
    """Mask of the `n` largest magnitudes of each `m` along the last axis, as `sat.select` keeps them.

    An element's rank is how many of its group come before it; among equal magnitudes lower indices do.

    Parameters
    ----------
    w : tensor, shape (R, K)
        K may end in a part of a group.
    n, m : int

    Returns
    -------
    tensor of bool, shape (R, K)
    """
    torch = torch_module()
    width = w.shape[-1]
    groups = torch.nn.functional.pad(w.abs(), (0, -width % m)).unflatten(-1, (-1, m))
    columns = [groups[..., i].contiguous() for i in range(m)]
    ranks = [torch.zeros(columns[0].shape, dtype=torch.int8) for _ in columns]
    for i, j in itertools.combinations(range(m), 2):
        first = columns[i] >= columns[j]
        ranks[j] += first
        ranks[i] += ~first
    return (torch.stack(ranks, -1) < n).flatten(-2)[..., :width]


def _masks(method, w):
    """As `bdwp.Method.masks`."""
    mask = keep_largest(w, method.n, method.m)
    return mask, keep_largest(w.T, method.n, method.m).T if method.kind == "bdwp" else mask


@contextlib.contextmanager
def _mixed_precision():
    """Products of numbers rounded to BF16 with FP32 sums, on processors that have them: a third of their time.

    All else stays in FP32, the weights that are updated included. SAT trains so with FP16.
    """
    torch = torch_module()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _batches(rows, seed):
    lengths = [len(row) for row in rows]
    for epoch in itertools.count():
        yield from distillation.batches(lengths, seed, epoch)


def _padded(rows):
    mask = np.arange(max(map(len, rows))) < np.array([[len(row)] for row in rows])
    ids = np.zeros(mask.shape, np.int64)
    ids[mask] = np.concatenate(rows)
    return ids, mask.astype(np.int64)


def _encoder(encoder, parameters):
    """The encoder with other parameters."""
    arrays = {name: tensor.detach().numpy().copy() for name, tensor in parameters.items()}
    linears = {
        name: Linear(arrays[f"{name}.weight"], arrays[f"{name}.bias"], layer.kind)
        for name, layer in encoder.linears.items()
    }
    return replace(
        encoder,
        linears=linears,
        norms={name: Norm(arrays[f"{name}.gamma"], arrays[f"{name}.beta"]) for name in encoder.norms},
    )
