"""The head of the saliency model: from the features of the patches to a map of the image, in float32.

Each stage doubles the side by a transposed convolution of 4 x 4 with step 2, of which one pixel is cut at every border,
and ends in max(x, 0); a weighted sum of the last channels is resampled to the image and becomes a probability by the
logistic function. The normalisation of a stage's channels, which is a fixed scale and shift after training, is in its
weights.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from . import resampling

__all__ = ["KERNEL", "PAD", "STEP", "Head", "Stage", "doubled"]

#: Of the transposed convolutions: side of the kernel, step, pixels that are cut at every border.
KERNEL, STEP, PAD = 4, 2, 1


@dataclass(frozen=True, eq=False)
class Stage:
    """One transposed convolution: weight of shape (C, D, KERNEL, KERNEL), bias of shape (D,), float32."""

    weight: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True, eq=False)
class Head:
    """The head.

    Parameters
    ----------
    stages : tuple of Stage
        In the order of execution.
    weight : ndarray of float32, shape (D,)
        Of the last sum over channels.
    bias : float32
    """

    stages: tuple
    weight: np.ndarray
    bias: np.float32

    def __call__(self, x, side):
        """The map.

        Parameters
        ----------
        x : ndarray of float32, shape (C, G, G)
            Features of the patches of one image.
        side : int
            Of the map.

        Returns
        -------
        ndarray of float32, shape (side, side)
            Probabilities.
        """
        for stage in self.stages:
            x = np.maximum(doubled(x, stage), 0)
        logits = np.tensordot(self.weight, x, 1) + self.bias
        stretch = resampling.linear(len(logits), side).astype(np.float32)
        # Never a power of a large number: 1 / (1 + exp(-x)) would overflow.
        return np.exp(-np.logaddexp(np.float32(0), -(stretch @ logits @ stretch.T)))


def doubled(x, stage):
    """The transposed convolution of a stage: (C, H, W) to (D, 2 H, 2 W)."""
    channels, height, width = x.shape
    spread = stage.weight.reshape(channels, -1).T @ x.reshape(channels, -1)
    spread = spread.reshape(-1, KERNEL, KERNEL, height, width)
    y = np.zeros((len(spread), STEP * height + 2 * PAD, STEP * width + 2 * PAD), np.float32)
    for i, j in itertools.product(range(KERNEL), repeat=2):
        y[:, i : i + STEP * height : STEP, j : j + STEP * width : STEP] += spread[:, i, j]
    return y[:, PAD:-PAD, PAD:-PAD] + stage.bias[:, None, None]
