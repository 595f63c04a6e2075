"""The training loop of `bitloom train bdwp`: automatic differentiation by torch, of the optional extra `train`.

Everything else, from the masks to the checkpoints, is in `golden.workloads.bdwp` and `golden.workloads.vit` and needs
NumPy only.
"""

import functools
import time

import numpy as np

from ...golden.workloads import bdwp, vit

__all__ = ["digits", "extra", "forward", "product", "torch_module", "train"]

_MOMENTUM = 0.9


def extra():
    """The modules torch and sklearn.datasets.

    Raises
    ------
    ModuleNotFoundError
        If the extra `train` is not installed.
    """
    # torch first: whatever else is imported may look for it.
    torch = torch_module()
    from sklearn import datasets

    return torch, datasets


def torch_module():
    """The module torch, set so that a training gives the same bits again.

    Raises
    ------
    ModuleNotFoundError
        If the extra `train` is not installed.
    """
    import torch

    # More threads would not make so small a model faster, and sums would depend on their number.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    # Nothing here reads what it has not written, and to fill it takes a tenth of the time.
    torch.utils.deterministic.fill_uninitialized_memory = False
    return torch


def digits():
    """Images, 8 x 8, and labels that scikit-learn brings: 1,797 of each."""
    _, datasets = extra()
    dataset = datasets.load_digits()
    return dataset.images.astype(np.int64), dataset.target.astype(np.int64)


def train(state, method, images, labels, *, save=lambda state: None, progress=lambda done, total: None):
    """Train on from a state to the end.

    Parameters
    ----------
    state : bdwp.State
        Its settings have ``seed`` and ``epochs``. Left alone.
    method : bdwp.Method
    images, labels : ndarray
        To train with, as of `digits`.
    save : callable, optional
        Called with the state after each epoch.
    progress : callable, optional
        Called with (done, total) in steps.

    Returns
    -------
    bdwp.State
        After the last epoch; the same bit for bit, however often the training was taken up again on the same machine.
    """
    torch, _ = extra()
    parameters, momenta = (
        {name: torch.tensor(array) for name, array in arrays.items()} for arrays in (state.parameters, state.momenta)
    )
    layers = vit.block_layers(parameters)
    pixels = torch.tensor(vit.patches(images), dtype=torch.float32) / vit.WHITE
    labels = torch.tensor(labels)
    seed, epochs = state.settings["seed"], state.settings["epochs"]
    for epoch in range(state.epoch, epochs):
        begin = time.process_time()
        batches = bdwp.batches(len(images), seed, epoch)
        for index, batch in enumerate(batches):
            step = epoch * len(batches) + index
            progress(step, epochs * len(batches))
            leaves = {name: p.detach().requires_grad_() for name, p in parameters.items()}
            masks = {name: _masks(torch, method, leaves[f"{name}.weight"]) for name in layers}

            def linear(name, x, leaves=leaves, masks=masks):
                w, bias = leaves[f"{name}.weight"], leaves[f"{name}.bias"]
                return (product(x, w, *masks[name], method.decay) if name in masks else x @ w.T) + bias

            logits = forward(leaves, linear, pixels[batch])
            torch.nn.functional.cross_entropy(logits, labels[batch]).backward()
            rate = bdwp.learning_rate(step, epochs * len(batches))
            for name, leaf in leaves.items():
                momenta[name] = _MOMENTUM * momenta[name] + leaf.grad
                parameters[name] = leaf.detach() - rate * momenta[name]
        arrays = ({name: x.numpy().copy() for name, x in group.items()} for group in (parameters, momenta))
        state = bdwp.State(state.settings, epoch + 1, state.seconds + time.process_time() - begin, *arrays)
        save(state)
    return state


def product(x, w, forward, backward, decay):
    """A pruned linear layer, ``x @ (w * forward).T``, with the gradients of `nm_sparse.bdwp_step`.

    Parameters
    ----------
    x : tensor, shape (..., K)
    w : tensor, shape (O, K)
    forward, backward : tensor of bool, shape (O, K)
        As of `bdwp.Method.masks`.
    decay : float
        Of the weights that `forward` prunes.
    """
    return _product()(x, w, forward, backward, decay)


def forward(parameters, linear, pixels):
    """Logits, as `vit.forward`, of tensors; `linear` takes a layer's name and its inputs."""
    torch, _ = extra()

    def norm(x):
        return torch.nn.functional.layer_norm(x, x.shape[-1:], eps=vit.EPSILON)

    x = pixels @ parameters["embed.weight"].T + parameters["position"]
    for block in range(vit.depth(parameters)):
        qkv = linear(f"{block}.qkv", norm(x)).unflatten(-1, (3, -1, vit.HEAD_WIDTH))
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) / vit.HEAD_WIDTH**0.5, -1)
        x = x + linear(f"{block}.out", (weights @ v).transpose(1, 2).flatten(2))
        x = x + linear(f"{block}.down", torch.nn.functional.gelu(linear(f"{block}.up", norm(x))))
    return linear("head", norm(x).mean(1))


def _masks(torch, method, w):
    return tuple(torch.from_numpy(np.ascontiguousarray(mask)) for mask in method.masks(w.detach().numpy()))


@functools.cache
def _product():
    torch = torch_module()

    class Product(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, w, forward, backward, decay):
            ctx.save_for_backward(x, w, forward, backward)
            ctx.decay = decay
            return x @ (w * forward).T

        @staticmethod
        def backward(ctx, dy):
            x, w, forward, backward = ctx.saved_tensors
            dw = dy.flatten(0, -2).T @ x.flatten(0, -2) + ctx.decay * (w * ~forward)
            return dy @ (w * backward), dw, None, None, None

    return Product.apply
