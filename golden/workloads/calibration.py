"""The pass of a model that calibration sees."""

from dataclasses import replace

import numpy as np

__all__ = ["observed"]


def observed(ops, see):
    """Operations of a pass in float64, as far as linear layers and products of attention decide it.

    What is seen is rounded to float32: so it is the same on every processor, though libraries add in different orders
    on each.

    Parameters
    ----------
    ops : Ops
        Of a model's class: it has ``linear(name, x, weight, bias)`` and ``matmul(name, a, b)``.
    see : callable
        Called before each of the two with (name, x), or (name, a, b): ndarrays of float32.

    Returns
    -------
    Ops
        Of the same class.
    """

    def linear(name, x, weight, bias):
        see(name, _rounded(x))
        return ops.linear(name, _precise(x), weight, bias)

    def matmul(name, a, b):
        see(name, _rounded(a), _rounded(b))
        return ops.matmul(name, _precise(a), _precise(b))

    return replace(ops, linear=linear, matmul=matmul)


def _precise(x):
    return x.astype(np.float64, copy=False)


def _rounded(x):
    return x.astype(np.float32, copy=False)
