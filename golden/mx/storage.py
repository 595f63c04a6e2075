"""Quantized tensors, and their image in memory."""

import math
from dataclasses import dataclass

import numpy as np

from .formats import Format, lookup

__all__ = ["MxTensor", "block_bytes", "pack", "unpack"]


@dataclass(frozen=True, eq=False)
class MxTensor:
    """A tensor of shape (..., K), padded with zeros to Kp, a multiple of the block.

    Parameters
    ----------
    format : Format
    codes : ndarray of uint8, shape (..., Kp)
        Sign, exponent and mantissa of the elements, the sign on top; two's complement for "mxint8".
    scales : ndarray of uint8, shape (..., Kp / block)
        E8M0 codes, of which 255 is NaN; E4M3 codes without sign for "nvfp4", of which 127 is NaN.
    k : int
        Values in a row, 1 or more.
    tensor_scale : float32, optional
        Of "nvfp4" only: positive and normal.

    Raises
    ------
    ValueError
        For other types, shapes or ranges, naming the first wrong value.
    """

    format: Format
    codes: np.ndarray
    scales: np.ndarray
    k: int
    tensor_scale: np.float32 | None = None

    def __post_init__(self):
        fmt = self.format
        if (self.codes.dtype, self.scales.dtype) != (np.uint8, np.uint8):
            raise ValueError(f"codes and scales must be uint8, not {self.codes.dtype} and {self.scales.dtype}")
        blocks = -(-self.k // fmt.block)
        if self.k < 1:
            raise ValueError(f"K must be 1 or more, not {self.k}")
        rows = self.scales.shape[:-1]
        if not self.scales.ndim or self.scales.shape[-1] != blocks or self.codes.shape != (*rows, blocks * fmt.block):
            wanted = f"(..., {blocks * fmt.block}) and (..., {blocks})"
            shapes = f"{self.codes.shape} and {self.scales.shape}"
            raise ValueError(f"codes and scales of K = {self.k} in {fmt.name} must have shapes {wanted}, not {shapes}")
        _legal("a code", self.codes, 1 << fmt.element.bits)
        _legal("a code beyond K", self.codes[..., self.k :], 1)
        _legal("a scale", self.scales, fmt.nan_scale + 1)
        if (self.tensor_scale is not None) != fmt.two_level:
            raise ValueError(f"{fmt.name} has {'a' if fmt.two_level else 'no'} scale of the tensor")
        if fmt.two_level and not np.finfo(np.float32).tiny <= self.tensor_scale <= np.finfo(np.float32).max:
            raise ValueError(f"the tensor's scale must be positive, normal and finite, not {self.tensor_scale}")

    @property
    def nan(self):
        """Blocks that are NaN: bool, the shape of `scales`."""
        return self.scales == self.format.nan_scale


def block_bytes(fmt):
    """Bytes of a block in memory: 17, 25, 25, 33 and 9, in the order of `FORMATS`."""
    fmt = lookup(fmt)
    return fmt.block * fmt.element.bits // 8 + 1


def pack(t):
    """Memory image: row by row, one record for each block.

    A record holds the codes, the first one in the lowest bits of the lowest byte, and one byte for the scale. Neither
    MX nor NVFP4 says how blocks lie in memory: the order is our choice. The scale of an NVFP4 tensor is not in it.

    Parameters
    ----------
    t : MxTensor

    Returns
    -------
    bytes
        ``block_bytes(t.format)`` for each block.
    """
    width, block = t.format.element.bits, t.format.block
    codes = t.codes.reshape(t.scales.size, block)
    if width == 4:
        octets = codes[:, ::2] | codes[:, 1::2] << 4
    elif width == 6:
        # Four codes in three bytes.
        a, b, c, d = (codes[:, at::4] for at in range(4))
        octets = np.stack([a | b << 6, b >> 2 | c << 4, c >> 4 | d << 2], axis=-1).reshape(len(codes), block * 3 // 4)
    else:
        octets = codes
    return np.concatenate([octets, t.scales.reshape(-1, 1)], axis=1).tobytes()


def unpack(data, shape, fmt, tensor_scale=None):
    """The tensor of a memory image.

    Parameters
    ----------
    data : bytes
        As `pack` gives.
    shape : sequence of int
        Shape (..., K) of what was quantized.
    fmt : str or Format
        Format.
    tensor_scale : float32, optional
        Of "nvfp4".

    Returns
    -------
    MxTensor

    Raises
    ------
    ValueError
        When the image has another size, or holds an illegal scale, or codes other than 0 beyond K.
    """
    fmt = lookup(fmt)
    *rows, k = shape
    if k < 1:
        raise ValueError(f"K must be 1 or more, not {k}")
    blocks, size = -(-k // fmt.block), block_bytes(fmt)
    records = math.prod(rows) * blocks
    if len(data) != records * size:
        raise ValueError(f"an image of shape {(*shape,)} in {fmt.name} has {records * size} bytes, not {len(data)}")
    image = np.frombuffer(data, np.uint8).reshape(records, size)
    octets, scales = image[:, :-1], image[:, -1].copy()
    if fmt.element.bits == 4:
        codes = np.stack([octets & 15, octets >> 4], axis=-1)
    elif fmt.element.bits == 6:
        a, b, c = (octets[:, at::3] for at in range(3))
        codes = np.stack([a & 63, (a >> 6 | b << 2) & 63, (b >> 4 | c << 4) & 63, c >> 2], axis=-1)
    else:
        codes = octets.copy()
    codes = codes.reshape(*rows, blocks * fmt.block)
    return MxTensor(fmt, codes, scales.reshape(*rows, blocks), k, tensor_scale)


def _legal(name, values, limit):
    """Refuse a value that is not below `limit`."""
    wrong = values >= limit
    if wrong.any():
        index = tuple(map(int, np.argwhere(wrong)[0]))
        raise ValueError(f"{name} must be 0 to {limit - 1}, not {values[index]} at index {index}")
