"""A row of samples at another number of places, as a matrix; along both sides of a picture it is applied twice.

Sample i of n lies at the middle of its pixel, ``(i + 1/2) / n``. What lies beyond the border is the border's sample.
Nothing is averaged when a row becomes shorter: these are the resamplings inside of networks, not those of photographs.
"""

import numpy as np

__all__ = ["cubic", "linear"]

#: The slope of the cubic kernel at distance 1 (Keys 1981), the value that deep-learning frameworks use.
_SLOPE = -0.75


def linear(inputs, outputs):
    """Between two neighbours; ndarray of float64, shape (outputs, inputs), rows that sum to 1."""
    return _matrix(inputs, outputs, 1, lambda distance: 1 - distance)


def cubic(inputs, outputs):
    """Between four neighbours by cubic convolution; ndarray of float64, shape (outputs, inputs), rows that sum to 1."""

    def kernel(u):
        near = ((_SLOPE + 2) * u - (_SLOPE + 3)) * u * u + 1
        far = _SLOPE * (((u - 5) * u + 8) * u - 4)
        return np.where(u <= 1, near, far)

    return _matrix(inputs, outputs, 2, kernel)


def _matrix(inputs, outputs, reach, kernel):
    """Weights of the `reach` samples on either side of each new place, by their distance."""
    place = (np.arange(outputs) + 0.5) * inputs / outputs - 0.5
    sample = np.floor(place).astype(int)[:, None] + np.arange(1 - reach, reach + 1)
    matrix = np.zeros((outputs, inputs))
    weights = kernel(np.abs(place[:, None] - sample))
    np.add.at(matrix, (np.arange(outputs)[:, None], np.clip(sample, 0, inputs - 1)), weights)
    return matrix
