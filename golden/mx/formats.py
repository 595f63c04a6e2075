"""The elements, the scales and the formats that are made of them.

E2M1, E2M3, E3M2 and INT8 with E8M0 scales for blocks of 32 are those of the OCP Microscaling Formats (MX) v1.0; E2M1
with E4M3 scales for blocks of 16 and an FP32 scale for the tensor is NVIDIA's NVFP4.
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["E8M0_BIAS", "E8M0_NAN", "FORMATS", "Element", "Format", "lookup"]

#: What is subtracted from an E8M0 code to have its exponent, and the code that is NaN.
E8M0_BIAS, E8M0_NAN = 127, 255


@dataclass(frozen=True)
class Element:
    """A narrow floating-point number: sign, exponent and mantissa, without infinity.

    Attributes
    ----------
    name : str
        Such as "e2m1".
    exponent_bits, mantissa_bits : int
        Fields below the sign. Without exponent it is an integer in two's complement, 64 of which are 1.
    bias : int
        Of the exponent; the field 0 means subnormal numbers, with the exponent of the field 1.
    largest_code : int
        Code of the largest magnitude.
    """

    name: str
    exponent_bits: int
    mantissa_bits: int
    bias: int
    largest_code: int

    @property
    def bits(self):
        """Bits of a code."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def fraction_bits(self):
        """A value is an integer times ``2**-fraction_bits``."""
        return self.mantissa_bits + self.bias - 1 if self.exponent_bits else 6

    @property
    def emax(self):
        """Exponent of the largest number."""
        return int(np.log2(self.magnitudes[self.largest_code]))

    @property
    def magnitudes(self):
        """Magnitude of each code without its sign, float64."""
        codes = np.arange(1 << (self.bits - 1))
        if not self.exponent_bits:
            return codes / 64
        field, mantissa = codes >> self.mantissa_bits, codes & ((1 << self.mantissa_bits) - 1)
        significand = mantissa + np.where(field, 1 << self.mantissa_bits, 0)
        return np.ldexp(significand.astype(float), np.maximum(field, 1) - self.bias - self.mantissa_bits)

    @property
    def integers(self):
        """Value of each code, sign included, times ``2**fraction_bits``: int16, exact."""
        codes = np.arange(1 << self.bits)
        if not self.exponent_bits:
            return codes.astype(np.uint8).view(np.int8).astype(np.int16)
        half = 1 << (self.bits - 1)
        magnitudes = np.ldexp(self.magnitudes, self.fraction_bits).astype(np.int16)
        return np.where(codes < half, magnitudes[codes % half], -magnitudes[codes % half])


E2M1 = Element("e2m1", 2, 1, 1, 7)
E2M3 = Element("e2m3", 2, 3, 1, 31)
E3M2 = Element("e3m2", 3, 2, 3, 31)
INT8 = Element("int8", 0, 7, 0, 127)
#: The block scale of NVFP4; its code 127 is NaN, and its sign is never set.
E4M3 = Element("e4m3", 4, 3, 7, 126)


@dataclass(frozen=True)
class Format:
    """Elements in blocks along K, with a scale for each block.

    Attributes
    ----------
    name : str
        On the command line.
    element : Element
    block : int
        Values that share a scale.
    two_level : bool
        The scale of a block is an E4M3 number beside an FP32 scale of the tensor; otherwise a power of two, E8M0.
    """

    name: str
    element: Element
    block: int
    two_level: bool = False

    @property
    def bits(self):
        """Bits of a value in memory, its share of the block's scale included."""
        return self.element.bits + 8 / self.block

    @property
    def largest_scale(self):
        """Largest code of a scale that is a number."""
        return E4M3.largest_code if self.two_level else E8M0_NAN - 1

    @property
    def nan_scale(self):
        """The code of a scale that makes its block NaN."""
        return self.largest_scale + 1


#: The formats by name.
FORMATS = {
    fmt.name: fmt
    for fmt in (
        Format("mxfp4", E2M1, 32),
        Format("mxfp6-e2m3", E2M3, 32),
        Format("mxfp6-e3m2", E3M2, 32),
        Format("mxint8", INT8, 32),
        Format("nvfp4", E2M1, 16, two_level=True),
    )
}


def lookup(fmt):
    """The format of that name; a `Format` is given back.

    Raises
    ------
    ValueError
        If there is none; the message lists those that there are.
    """
    if isinstance(fmt, Format):
        return fmt
    try:
        return FORMATS[fmt]
    except (KeyError, TypeError):
        raise ValueError(f"unknown format {fmt!r}: there are {', '.join(FORMATS)}") from None
