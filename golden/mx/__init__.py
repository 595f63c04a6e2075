"""OCP Microscaling (MX v1.0) and NVFP4: the formats that industry uses, bit for bit.

Examples
--------
The largest number of a block, 12, gives its scale 2**(128 - 127); the elements are E2M1 numbers, 6 at most.

>>> from bitloom.golden import mx
>>> tensor = mx.quantize([1, -0.4, 3, 5.2, 12, 0.1], mx.lookup("mxfp4"))
>>> tensor.scales.tolist(), tensor.codes[:6].tolist()
([128], [1, 8, 3, 5, 7, 0])
>>> mx.dequantize(tensor).tolist()
[1.0, -0.0, 3.0, 6.0, 12.0, 0.0]
"""

from .formats import FORMATS, Format, lookup
from .product import flush, matmul
from .quantizer import SMALLEST_TOP, dequantize, quantize
from .storage import MxTensor, block_bytes, pack, unpack

__all__ = [
    "FORMATS",
    "SMALLEST_TOP",
    "Format",
    "MxTensor",
    "block_bytes",
    "dequantize",
    "flush",
    "lookup",
    "matmul",
    "pack",
    "quantize",
    "unpack",
]
