"""Elements and scales: every code against two other decoders, and the table of the standard."""

import gfloat
import gfloat.formats
import ml_dtypes
import numpy as np
import pytest
from mx_cases import ELEMENTS

from bitloom.golden import mx
from bitloom.golden.mx import formats


@pytest.mark.parametrize("name", ELEMENTS)
def test_every_code_of_an_element(name):
    element, theirs, info = ELEMENTS[name]
    codes = np.arange(1 << element.bits)
    ours = np.ldexp(element.integers.astype(float), -element.fraction_bits)
    assert ours.tolist() == [gfloat.decode_float(info, int(code)).fval for code in codes]
    if theirs:
        assert (ours == codes.astype(np.uint8).view(theirs).astype(float)).all()
    assert (np.abs(ours)[: 1 << (element.bits - 1)] == element.magnitudes).all()
    assert element.name == name and element.bits == info.bits


def test_every_code_of_the_block_scales():
    codes = np.arange(127, dtype=np.uint8)
    assert (formats.E4M3.magnitudes[:127] == codes.view(ml_dtypes.float8_e4m3fn).astype(float)).all()
    info = gfloat.formats.format_info_ocp_e4m3
    assert formats.E4M3.magnitudes[:127].tolist() == [gfloat.decode_float(info, int(code)).fval for code in codes]
    powers = np.arange(255, dtype=np.uint8)
    assert (np.ldexp(1.0, powers.astype(int) - formats.E8M0_BIAS) == powers.view(ml_dtypes.float8_e8m0fnu)).all()


@pytest.mark.parametrize(
    ("name", "element", "bits", "largest", "emax", "block", "size"),
    [
        ("mxfp4", "e2m1", 4, 6, 2, 32, 4.25),
        ("mxfp6-e2m3", "e2m3", 6, 7.5, 2, 32, 6.25),
        ("mxfp6-e3m2", "e3m2", 6, 28, 4, 32, 6.25),
        ("mxint8", "int8", 8, 127 / 64, 0, 32, 8.25),
        ("nvfp4", "e2m1", 4, 6, 2, 16, 4.5),
    ],
)
def test_the_table(name, element, bits, largest, emax, block, size):
    fmt = mx.FORMATS[name]
    assert (fmt.element.name, fmt.element.bits, fmt.element.emax, fmt.block) == (element, bits, emax, block)
    assert fmt.element.magnitudes[fmt.element.largest_code] == largest and fmt.bits == size
    assert mx.lookup(name) is mx.lookup(fmt) is fmt


def test_unknown_format():
    with pytest.raises(ValueError, match=r"^unknown format 'mxfp8': there are mxfp4, mxfp6-e2m3, .*, nvfp4$"):
        mx.lookup("mxfp8")
