"""What `bitloom train bdwp` does: train or go on, measure, quantize, and run the result through the Verilated tile."""

import hashlib
from pathlib import Path

import numpy as np

from ...golden.workloads import bdwp, vit, vit_integer
from ...tools.files import atomic_write
from . import bdwp_train, vit_tile

__all__ = ["checkpoint", "integer_file", "measure", "parse_methods", "recall", "trained"]


def parse_methods(text):
    """Methods of a list with commas, each once.

    Raises
    ------
    ValueError
        For a text that is not a method, and for a method that comes twice.
    """
    methods = [bdwp.Method.parse(word) for word in text.split(",")]
    for method in methods:
        if methods.count(method) > 1:
            raise ValueError(f"a method must be given once, not {str(method)!r} twice")
    return methods


def checkpoint(folder, method, seed):
    """Where a training is kept."""
    return Path(folder) / f"{str(method).replace(':', '-')}-seed{seed}.npz"


def integer_file(folder, method, seed):
    """Where its integer layers are."""
    return checkpoint(folder, method, seed).with_suffix(".int8.npz")


def recall(folder, method, seed, epochs, images, labels):
    """The training that a folder holds, or its beginning.

    Parameters
    ----------
    folder : path-like
    method : bdwp.Method
    seed, epochs : int
    images, labels : ndarray
        All of them, as of `bdwp_train.digits`.

    Returns
    -------
    bdwp.State

    Raises
    ------
    ValueError
        If the folder's checkpoint cannot be continued; says why.
    """
    data = hashlib.sha256(images.astype("u1").tobytes() + labels.astype("u1").tobytes()).hexdigest()[:16]
    settings = {"method": str(method), "seed": seed, "epochs": epochs, "data": data}
    path = checkpoint(folder, method, seed)
    if not path.is_file():
        return bdwp.State.begin(settings, vit.initial(seed))
    try:
        return bdwp.State.from_bytes(path.read_bytes(), settings)
    except ValueError as error:
        raise ValueError(f"{path} cannot be continued, name another folder with -o: {error}") from None


def trained(state, folder, method, images, labels, progress=lambda done, total: None):
    """Train a state of `recall` to its end; after each epoch the checkpoint is replaced.

    Returns
    -------
    bdwp.State
    """
    if state.epoch == state.settings["epochs"]:
        return state
    path = checkpoint(folder, method, state.settings["seed"])
    rows, _ = bdwp.parts(len(images))
    return bdwp_train.train(
        state,
        method,
        images[rows],
        labels[rows],
        save=lambda now: atomic_write(path, now.to_bytes()),
        progress=progress,
    )


def measure(state, folder, method, images, labels, tile, design, count, progress=lambda done, total, text: None):
    """Accuracy on the test images, in floating point and in integers, and a run of the first of them on the tile.

    Parameters
    ----------
    state : bdwp.State
        After training.
    folder : path-like
        Where the integer layers are written.
    method : bdwp.Method
    images, labels : ndarray
        All of them.
    tile, design
        As of `vit_tile.run`.
    count : int
        Test images for the tile.
    progress : callable, optional
        Called with (done, total, text) in layers of the tile.

    Returns
    -------
    dict
        What `bdwp.summary` takes, and more of `vit_tile.TileRun`.
    """
    seed = state.settings["seed"]
    rows, tests = bdwp.parts(len(images))
    codes, wanted = vit.patches(images[tests]), labels[tests]
    parameters = bdwp.pruned(state.parameters, method)
    calibration = vit.patches(images[rows[: bdwp.CALIBRATION_IMAGES]])
    model = vit_integer.quantize(parameters, calibration, method.n, method.m)
    atomic_write(integer_file(folder, method, seed), vit_integer.to_bytes(model))
    run = vit_tile.run(model, codes[:count], tile, design, progress)
    return {
        "method": str(method),
        "seed": seed,
        "accuracy": float(np.mean(vit.forward(parameters, codes).argmax(axis=1) == wanted)),
        "int8_accuracy": float(np.mean(model.predict(codes) == wanted)),
        "seconds": state.seconds,
        **run.to_dict(),
    }
