"""OCP Microscaling (MX v1.0) and NVFP4: the formats that industry uses, bit for bit."""

from .formats import FORMATS, Format, lookup
from .product import matmul
from .quantizer import dequantize, quantize
from .storage import MxTensor, block_bytes, pack, unpack

__all__ = [
    "FORMATS",
    "Format",
    "MxTensor",
    "block_bytes",
    "dequantize",
    "lookup",
    "matmul",
    "pack",
    "quantize",
    "unpack",
]
