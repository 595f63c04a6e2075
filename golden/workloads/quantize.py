"""Weights to codes: one entry for every weight format that the command line knows.

Most formats have one scale step an output channel. HGQ, Microscaling and NVFP4 have their scales in groups along K;
SeVeDo, built on HGQ, needs a whole model with its activations, see `sevedo_model`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import mx, uniform
from ..checks import matrix, within
from ..mx.formats import E8M0_BIAS
from ..olive import ovp
from ..sevedo import hgq

__all__ = [
    "BLOCKED",
    "FORMATS",
    "GROUPED",
    "LARGEST",
    "BlockFormat",
    "HgqFormat",
    "WeightFormat",
    "error_report",
    "float32_steps",
    "lookup",
    "quantize",
    "quantize_with_report",
    "sqnr_db",
]

#: Largest magnitude that may be quantized with float32 steps: half of float32's range, so that a value that is rounded
#: up is still in it.
LARGEST = float(np.finfo(np.float32).max) / 2
_SMALLEST_STEP = float(np.finfo(np.float32).smallest_subnormal)


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


@dataclass(frozen=True)
class HgqFormat:
    """Hierarchical Group Quantization with groups of some size.

    Parameters
    ----------
    coarse, fine : int
        As of `hgq.quantize`.

    Raises
    ------
    ValueError
        As `hgq.check_groups`.
    """

    coarse: int = hgq.COARSE
    fine: int = hgq.FINE
    name = "hgq"

    def __post_init__(self):
        hgq.check_groups(self.coarse, self.fine)

    @property
    def summary(self):
        """One line."""
        sizes = f"an FP16 scale for {self.coarse}, a {hgq.SHIFT_BITS}-bit shift for {self.fine}"
        return f"hierarchical group quantization (SeVeDo; sizes are our choice): 4-bit codes, {sizes}"

    def convert(self, weight):
        """Tensors of a weight matrix, by their names, and what they stand for; as `quantize_with_report`."""
        within(weight, hgq.SMALLEST_NORMAL, hgq.LARGEST_HALF)
        t = hgq.quantize(weight.astype(np.float16), self.coarse, self.fine)
        return {"codes": t.codes, "shifts": t.shifts, "scales": t.scales}, hgq.dequantize(t)


@dataclass(frozen=True)
class BlockFormat:
    """Narrow elements in blocks along K: Microscaling (MX) or NVFP4.

    Attributes
    ----------
    blocks : mx.Format
    """

    blocks: mx.Format

    @property
    def name(self):
        """On the command line."""
        return self.blocks.name

    @property
    def summary(self):
        """One line."""
        fmt = self.blocks
        family, scale = ("NVFP4", "an E4M3 scale for") if fmt.two_level else ("OCP Microscaling", "a power of two for")
        whole = ", an FP32 scale for the tensor" if fmt.two_level else ""
        return f"{family}: {fmt.element.name.upper()} elements, {scale} {fmt.block}{whole}"

    @property
    def smallest(self):
        """The largest magnitude of a matrix is 0 or at least this, so that not all becomes zero (our choice)."""
        if self.blocks.two_level:
            return mx.SMALLEST_TOP
        return 2.0 ** -(self.blocks.element.fraction_bits + E8M0_BIAS)

    def convert(self, weight):
        """Tensors of a weight matrix, by their names, and what they stand for; as `quantize_with_report`."""
        within(weight, self.smallest, float(np.finfo(np.float32).max))
        t = mx.quantize(weight, self.blocks)
        tensors = {"codes": t.codes, "scales": t.scales}
        if self.blocks.two_level:
            tensors["tensor_scale"] = np.array(t.tensor_scale)
        return tensors, mx.dequantize(t)


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

#: Those with a scale for each block along K, by name.
BLOCKED = {fmt.name: BlockFormat(fmt) for fmt in mx.FORMATS.values()}

#: Names of the formats with scales in groups of a size that may be set, which are in neither of these.
GROUPED = ("hgq", "sevedo")


def lookup(name):
    """The format of that name with a step an output channel; ValueError, with the list of all, if there is none."""
    try:
        return FORMATS[name]
    except KeyError:
        raise ValueError(f"unknown format {name!r}: there are {', '.join([*FORMATS, *GROUPED, *BLOCKED])}") from None


def quantize(weight, fmt):
    """Quantize a weight matrix with one scale step an output channel.

    Parameters
    ----------
    weight : array_like, shape (N, K)
        Finite real numbers, output channels first; one or more. The largest magnitude is 0 or as of `float32_steps`.
    fmt : WeightFormat
        Format.

    Returns
    -------
    codes : ndarray, shape (N, …)
        What the format's encoder gives.
    steps : ndarray of float32, shape (N,)
        Scale steps: a value is its decoded code times the step.

    Raises
    ------
    ValueError
        For another shape, NaN or Inf, and as `float32_steps`.
    """
    weight = matrix(weight)
    steps = float32_steps(weight, fmt.search(weight, 0))
    return fmt.encode(weight / steps[:, None]), steps


def float32_steps(x, steps):
    """Scale steps in the type in which they are stored.

    Parameters
    ----------
    x : ndarray
        What was searched: its largest magnitude is 0 or from 2**-149 to `LARGEST`.
    steps : float or ndarray of float64
        As `scale.search` gives.

    Returns
    -------
    float32 or ndarray of float32
        At least 2**-149, the smallest that there is (our choice): what needs a smaller one becomes 0.

    Raises
    ------
    ValueError
        For numbers that float32 steps can only turn into zeros or infinity; names their range.
    """
    within(x, _SMALLEST_STEP, LARGEST)
    return np.maximum(steps, _SMALLEST_STEP).astype(np.float32)


def error_report(weight, codes, steps, fmt):
    """Compare a quantized weight with the original.

    Returns
    -------
    dict
        `mse`, mean squared error; `sqnr_db`, see there; `max_error`, the largest absolute error.
    """
    return _errors(weight, fmt.decode(codes)[..., : np.shape(weight)[-1]] * steps[:, None].astype(np.float64))


def quantize_with_report(weight, fmt):
    """Quantize a weight matrix in any format, and compare.

    Parameters
    ----------
    weight : array_like, shape (N, K)
        Finite real numbers, output channels first; one or more. For HGQ they are rounded to FP16 first: the largest
        magnitude is 0 or from 2**-14, below which all counts as 0, to 65504. For blocks they are rounded to FP32
        first: it is 0 or from `BlockFormat.smallest` to the largest FP32 number. Else as of `float32_steps`.
    fmt : WeightFormat, HgqFormat or BlockFormat
        Format.

    Returns
    -------
    tensors : dict
        `codes` and `steps`; of HGQ `codes`, `shifts` and `scales`; of blocks `codes` and `scales`, and for NVFP4
        `tensor_scale`, a scalar. Codes in groups and blocks are filled with zeros to whole ones.
    report : dict
        As `error_report`.

    Raises
    ------
    ValueError
        As `quantize`.
    """
    if isinstance(fmt, WeightFormat):
        codes, steps = quantize(weight, fmt)
        return {"codes": codes, "steps": steps}, error_report(weight, codes, steps, fmt)
    weight = matrix(weight)
    tensors, restored = fmt.convert(weight)
    return tensors, _errors(weight, restored)


def sqnr_db(signal, noise):
    """Signal to quantization noise ratio.

    Parameters
    ----------
    signal, noise : float
        Mean squares, or sums of squares over the same values; finite.

    Returns
    -------
    float or None
        Decibels. None, in JSON null, where there is no noise or no signal, and so no finite ratio.
    """
    return float(10 * np.log10(signal / noise)) if signal and noise else None


def _errors(weight, restored):
    # In one order in memory, so that a transpose has the same sums.
    weight = np.ascontiguousarray(weight, dtype=np.float64)
    noise = restored - weight
    mse, power = float(np.mean(noise**2)), float(np.mean(weight**2))
    return {"mse": mse, "sqnr_db": sqnr_db(power, mse), "max_error": float(np.abs(noise).max(initial=0))}
