"""Two matrices of a user as a product of a tile: their codes, their scale steps, and what the formats cost."""

from dataclasses import dataclass

import numpy as np

from ..checks import finite, named, within
from ..systolic import tiling
from . import quantize

__all__ = ["Problem", "encode", "prepare"]

_FLOAT32 = np.finfo(np.float32)


@dataclass(frozen=True)
class Problem:
    """A matrix product in the codes of a tile.

    Attributes
    ----------
    shape : (int, int, int)
        M, K and N.
    a, w : ndarray
        Codes, as `golden.systolic.tile.matmul` takes them.
    a_steps, w_steps : ndarray of float64, shape (M,) and (N,), or None
        Scale steps; None for integers, whose step is 1.
    exact : ndarray, shape (M, N), or None
        The product of the numbers themselves; None where the codes are these numbers.
    """

    shape: tuple
    a: np.ndarray
    w: np.ndarray
    a_steps: np.ndarray | None
    w_steps: np.ndarray | None
    exact: np.ndarray | None

    def restored(self, product):
        """The product in the numbers' own units: int64 for integers, else float32."""
        if self.a_steps is None and self.w_steps is None:
            return product
        rows = 1.0 if self.a_steps is None else self.a_steps[:, None]
        cols = 1.0 if self.w_steps is None else self.w_steps
        return (product * rows * cols).astype(np.float32)

    def errors(self, product):
        """The errors of the formats: `relative_error`, in the Frobenius norm, and the same as `quantize.sqnr_db`.

        Empty where the codes are the numbers, or the product is 0.
        """
        if self.exact is None:
            return {}
        exact = self.exact.astype(np.float64)
        noise = np.linalg.norm(self.restored(product) - exact)
        power = np.linalg.norm(exact)
        if not power:
            return {}
        return {"relative_error": float(noise / power), "sqnr_db": quantize.sqnr_db(power**2, noise**2)}


def prepare(a, w, config):
    """Codes of two matrices.

    Parameters
    ----------
    a : ndarray, shape (M, K)
        Activations.
    w : ndarray, shape (K, N)
        Weights. Integers of either are values in units of one scale step; floating-point numbers are quantized, the
        activations with one step, the weights with one for each column.
    config : SystolicConfig
        Of the tile.

    Returns
    -------
    Problem

    Raises
    ------
    ValueError
        For shapes that do not fit or hold nothing, K beyond what the accumulator can hold for certain, other types than
        integers and floating-point numbers, NaN, infinity, integers out of range, and numbers or a product out of
        float32's range.
    """
    for name, x in (("A", a), ("W", w)):
        if x.ndim != 2 or not x.size:
            raise ValueError(f"{name} must be a matrix of at least one value, not of shape {x.shape}")
        if not (np.issubdtype(x.dtype, np.integer) or np.issubdtype(x.dtype, np.floating)):
            raise ValueError(f"{name} must hold integers or floating-point numbers, not {x.dtype}")
    if a.shape[1] != w.shape[0]:
        raise ValueError(f"A must be (M, K) and W (K, N), with one K, not {a.shape} and {w.shape}")
    tiling.check_k(config, a.shape[1])
    codes, scales = [], []
    for name, x, axis, operand in zip("AW", (a, w), (None, 0), config.operands, strict=True):
        with named(name):
            # Checked before it is transposed: the message names an index.
            within(finite(x), _FLOAT32.smallest_subnormal, _FLOAT32.max)
            quantized, step = encode(x if axis is None else x.T, operand, axis)
        codes.append(quantized)
        scales.append(step)
    exact = None
    if config.operands[0].pairs or any(step is not None for step in scales):
        exact = a.astype(np.float64) @ w.astype(np.float64)
        with named("the product of A and W"):
            # Terms may cancel, their errors do not.
            within(np.abs(a.astype(np.float64)) @ np.abs(w.astype(np.float64)), 0, _FLOAT32.max / 2)
            within(exact, _FLOAT32.tiny, _FLOAT32.max / 2)
    return Problem((*a.shape, w.shape[1]), *codes, *scales, exact)


def encode(x, operand, axis=None):
    """Codes of one operand of the tile, and the scale they are in.

    Parameters
    ----------
    x : ndarray, shape (rows, K)
        Integers are values in units of one scale step; floating-point numbers are quantized with the step of least
        squared error.
    operand : golden.systolic.tile.Operand
        Format.
    axis : None or 0
        Of floating-point numbers: one step for the tensor, or one for each row.

    Returns
    -------
    codes : ndarray
        As `golden.systolic.tile.matmul` takes them.
    steps : ndarray of float64, shape (rows,), or None
        Scale steps of floating-point numbers.

    Raises
    ------
    ValueError
        For NaN or infinity, and integers out of range.
    """
    fmt = quantize.lookup(operand.name)
    if np.issubdtype(x.dtype, np.floating):
        x = finite(x)
        steps = np.broadcast_to(fmt.search(x, axis), len(x))
        return fmt.encode(x / steps[:, None]), steps
    low, high = operand.limits
    wrong = (x < low) | (x > high)
    if wrong.any():
        raise ValueError(f"{operand.name} takes integers from {low} to {high}, not {x[wrong][0]}")
    x = x.astype(np.int64)
    return fmt.encode(x) if operand.pairs else x, None
