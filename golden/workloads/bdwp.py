"""Training with N:M sparse weights: the methods, their masks and work, the data's parts, and checkpoints.

BDWP, bidirectional weight pruning (SAT, TCAD 2023), uses N:M sparse weights in the forward product and in the product
that gives the gradient of the inputs, each in groups along the axis that it sums over (the axes are derived); SR-STE,
before it, in the forward product only. Both keep dense master weights, and both masks are made of these anew in each
step. The gradient of the weights is dense and goes straight through to all of them, the pruned ones with a decay
(SR-STE; whether BDWP has it is not public, and here it does).

The steps themselves need automatic differentiation and are in `testbench.sat.bdwp_train`; gradient descent with
momentum, the learning rate and the sizes of batches are our choice.
"""

import math
import re
from dataclasses import dataclass

import numpy as np

from .. import archive
from ..checks import integer
from ..sat import sparse as nm_sparse
from . import vit

__all__ = [
    "BATCH",
    "CALIBRATION_IMAGES",
    "TEST_IMAGES",
    "Method",
    "State",
    "batches",
    "learning_rate",
    "parts",
    "pruned",
    "summary",
]

#: Images of a step, of the test part, and training images on which the scales of the integer model are found.
BATCH, TEST_IMAGES, CALIBRATION_IMAGES = 50, 597, 200

_VERSION = 1
_ARRAYS = ("parameters", "momenta")
_PEAK_RATE, _WARM_UP = 0.05, 0.1
# Any number: it must be the same in all trainings.
_SPLIT_SEED = 0


@dataclass(frozen=True)
class Method:
    """How the weights of the blocks are pruned in training.

    Parameters
    ----------
    kind : str
        ``dense``, ``sr-ste`` or ``bdwp``.
    n, m : int
        Pattern; 8 and 8 for dense weights.
    """

    kind: str
    n: int = 8
    m: int = 8

    @classmethod
    def parse(cls, text):
        """The method of a text: ``dense``, or ``sr-ste-N:M`` or ``bdwp-N:M`` with N of 1, 2, 4 and M of 4, 8, N < M.

        Raises
        ------
        ValueError
        """
        parts = re.fullmatch(r"(sr-ste|bdwp)-([124]):([48])", text)
        if text == "dense":
            return cls("dense")
        if not parts or int(parts[2]) >= int(parts[3]):
            wanted = "dense, sr-ste-N:M or bdwp-N:M with N of 1, 2, 4 and M of 4, 8, N below M"
            raise ValueError(f"a method must be {wanted}, not {text!r}")
        return cls(parts[1], int(parts[2]), int(parts[3]))

    def __str__(self):
        return "dense" if self.kind == "dense" else f"{self.kind}-{self.n}:{self.m}"

    @property
    def work(self):
        """Multiplications of a training step in the pruned layers, over those of a dense one."""
        if self.kind == "bdwp":
            return nm_sparse.step_work(self.n, self.m)
        return (self.n / self.m + 2) / 3

    def masks(self, w):
        """What the products of a step keep of a layer's weights.

        Parameters
        ----------
        w : ndarray, shape (O, K)
            Dense master weights of ``y = x @ w.T``.

        Returns
        -------
        forward, backward : ndarray of bool, shape (O, K)
        """
        if self.kind == "dense":
            everything = np.ones(w.shape, bool)
            return everything, everything
        forward, backward = (mask.T for mask in nm_sparse.bdwp_masks(w.T, self.n, self.m))
        # SR-STE's gradient of the inputs goes through the weights of the forward product.
        return forward, backward if self.kind == "bdwp" else forward

    @property
    def decay(self):
        """Decay of the pruned weights."""
        return 0.0 if self.kind == "dense" else nm_sparse.SR_STE_DECAY


def pruned(parameters, method):
    """Parameters with the blocks' weights as the forward product has them; the others are the same arrays."""
    names = [f"{layer}.weight" for layer in vit.block_layers(parameters)]
    return parameters | {
        name: np.where(method.masks(parameters[name])[0], parameters[name], np.float32(0)) for name in names
    }


def parts(count, test=TEST_IMAGES):
    """Indices of the training images and of the test images, the same for every seed of a training.

    Raises
    ------
    ValueError
        If no image is left to train with.
    """
    integer("test images", test, 1, count - 1)
    order = np.random.default_rng(_SPLIT_SEED).permutation(count)
    return order[test:], order[:test]


def batches(count, seed, epoch):
    """Indices of the images of each step of an epoch; the last batch may be smaller.

    They depend on seed and epoch alone, so that a training goes on from a checkpoint as if it had not ended.
    """
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return np.split(order, range(BATCH, count, BATCH))


def learning_rate(step, steps, peak=_PEAK_RATE):
    """Linear to the peak in the first tenth of the steps, then half a cosine down to 0 (our choice)."""
    warm = _WARM_UP * steps
    if step < warm:
        return peak * (step + 1) / math.ceil(warm)
    return peak / 2 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))


@dataclass
class State:
    """A training between two epochs.

    Parameters
    ----------
    settings : dict
        All that the result depends on: numbers and texts.
    epoch : int
        Epochs done.
    seconds : float
        Processor time so far; nothing depends on it.
    parameters, momenta : dict of str to ndarray of float32
        Of `vit.initial`, and the running sums of their gradients.
    """

    settings: dict
    epoch: int
    seconds: float
    parameters: dict
    momenta: dict

    @classmethod
    def begin(cls, settings, parameters):
        """Before the first step."""
        return cls(settings, 0, 0.0, parameters, {name: np.zeros_like(x) for name, x in parameters.items()})

    def to_bytes(self):
        """A checkpoint: an ``.npz`` file."""
        about = {"settings": self.settings, "epoch": self.epoch, "seconds": self.seconds}
        arrays = {f"{kind}.{name}": x for kind in _ARRAYS for name, x in getattr(self, kind).items()}
        return archive.pack(_VERSION, about, arrays)

    @classmethod
    def from_bytes(cls, data, settings):
        """The training that a checkpoint holds.

        Raises
        ------
        ValueError
            If it is not a checkpoint, or one of other settings; names the first that differs.
        """
        about, arrays = archive.unpack(_VERSION, data, "checkpoint of a training")
        try:
            earlier, epoch, seconds = about["settings"], about["epoch"], about["seconds"]
        except KeyError as error:
            raise ValueError(f"a checkpoint of a training lacks {error}") from None
        for name in sorted(earlier.keys() | settings.keys()):
            if earlier.get(name) != settings.get(name):
                raise ValueError(f"it holds a training with {name} {earlier.get(name)}, not {settings.get(name)}")
        groups = {kind: {} for kind in _ARRAYS}
        for entry, x in arrays.items():
            kind, _, name = entry.partition(".")
            groups[kind][name] = x
        return cls(settings, epoch, seconds, **groups)


def summary(rows):
    """Mean and spread over the seeds of each method.

    Parameters
    ----------
    rows : list of dict
        One a training: ``method`` as text, ``accuracy`` and ``int8_accuracy``, 0 to 1, ``seconds``; and of the run on
        the tile ``images``, ``same``, those with the class of the golden model, ``cycles`` and ``dense_cycles``, what
        dense weights would take.

    Returns
    -------
    list of dict
        One a method, in the order of `rows`: ``method``, ``work`` of a step, number of ``seeds``; of each accuracy its
        ``mean``, ``low`` and ``high``; ``loss``, how much less than dense training's the mean ``accuracy`` is, None
        without one; mean ``seconds``; ``images`` and ``same``, sums; ``cycles`` for an image, and the ``speedup``.
    """
    by_method = {}
    for row in rows:
        by_method.setdefault(row["method"], []).append(row)
    entries = []
    for method, trained in by_method.items():
        entry = {"method": method, "work": Method.parse(method).work, "seeds": len(trained)}
        for name in ("accuracy", "int8_accuracy"):
            values = [row[name] for row in trained]
            entry[name] = {"mean": float(np.mean(values)), "low": min(values), "high": max(values)}
        total = {name: sum(row[name] for row in trained) for name in ("images", "same", "cycles", "dense_cycles")}
        entry |= {"loss": None, "seconds": float(np.mean([row["seconds"] for row in trained]))}
        entry |= {"images": total["images"], "same": total["same"], "cycles": total["cycles"] / total["images"]}
        entries.append(entry | {"speedup": total["dense_cycles"] / total["cycles"]})
    for dense in entries:
        if dense["method"] == "dense":
            for entry in entries:
                entry["loss"] = dense["accuracy"]["mean"] - entry["accuracy"]["mean"]
    return entries
