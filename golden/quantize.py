"""Weights to codes: one entry for every weight format that the command line knows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from . import ovp, uniform
from .checks import finite

__all__ = ["FORMATS", "WeightFormat", "error_report", "lookup", "quantize"]


@dataclass(frozen=True)
class WeightFormat:
    """How a format turns numbers into codes and back; every function works along the last axis.

    Attributes
    ----------
    name : str
        Name on the command line.
    summary : str
        One line.
    bits : float
        Bits of a value in memory, without its scale.
    search : callable
        (x, axis) to the scale step or steps.
    encode : callable
        Numbers in units of the step to codes.
    decode : callable
        Codes to numbers in units of the step; may pad the last axis.
    round_trip : callable
        Both at once.
    """

    name: str
    summary: str
    bits: float
    search: Callable
    encode: Callable
    decode: Callable
    round_trip: Callable


def _ovp(fmt):
    return WeightFormat(
        name=f"ovp-{fmt.name}",
        summary=f"outlier-victim pairs, {fmt.name} normal values (OliVe)",
        bits=fmt.bits,
        search=lambda x, axis: ovp.search_scale(x, fmt, axis),
        encode=lambda x: ovp.encode(x, fmt),
        decode=lambda codes: ovp.values(codes, fmt),
        round_trip=lambda x: ovp.round_trip(x, fmt),
    )


def _uniform(bits):
    return WeightFormat(
        name=f"int{bits}",
        summary=f"plain symmetric {bits}-bit integers, one a byte",
        bits=bits,
        search=lambda x, axis: uniform.search_scale(x, bits, axis),
        encode=lambda x: uniform.encode(x, bits),
        decode=uniform.decode,
        round_trip=lambda x: uniform.round_trip(x, bits),
    )


#: The formats by name.
FORMATS = {fmt.name: fmt for fmt in (*map(_ovp, ovp.FORMATS.values()), _uniform(4), _uniform(8))}


def lookup(name):
    """The format of that name; ValueError, with the list of all, if there is none."""
    try:
        return FORMATS[name]
    except KeyError:
        raise ValueError(f"unknown format {name!r}: there are {', '.join(FORMATS)}") from None


def quantize(weight, fmt):
    """Quantize a weight matrix with one scale step an output channel.

    Parameters
    ----------
    weight : array_like, shape (N, K)
        Finite real numbers, output channels first.
    fmt : WeightFormat
        Format.

    Returns
    -------
    codes : ndarray, shape (N, …)
        What the format's encoder gives.
    steps : ndarray of float32, shape (N,)
        Scale steps: a value is its decoded code times the step.
    """
    weight = finite(weight)
    if weight.ndim != 2:
        raise ValueError(f"a weight must have two axes, not shape {weight.shape}")
    steps = fmt.search(weight, 0).astype(np.float32)
    return fmt.encode(weight / steps[:, None]), steps


def error_report(weight, codes, steps, fmt):
    """Compare a quantized weight with the original.

    Returns
    -------
    dict
        `mse`, mean squared error; `sqnr_db`, signal to quantization noise in decibels (inf where there is no noise);
        `max_error`, the largest absolute error.
    """
    weight = np.asarray(weight, dtype=np.float64)
    restored = fmt.decode(codes)[..., : weight.shape[-1]] * steps[:, None].astype(np.float64)
    noise = restored - weight
    mse, power = float(np.mean(noise**2)), float(np.mean(weight**2))
    sqnr = 10 * np.log10(power / mse) if mse and power else np.inf if power else 0.0
    return {"mse": mse, "sqnr_db": float(sqnr), "max_error": float(np.abs(noise).max(initial=0))}
