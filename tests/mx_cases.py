"""What the tests of MX compare with: two libraries that decode and round by themselves."""

import gfloat.formats
import ml_dtypes

from bitloom.golden.mx import formats

__all__ = ["ELEMENTS", "THEIRS"]

#: Element, ml_dtypes' type if it has one, gfloat's format.
ELEMENTS = {
    "e2m1": (formats.E2M1, ml_dtypes.float4_e2m1fn, gfloat.formats.format_info_ocp_e2m1),
    "e2m3": (formats.E2M3, ml_dtypes.float6_e2m3fn, gfloat.formats.format_info_ocp_e2m3),
    "e3m2": (formats.E3M2, ml_dtypes.float6_e3m2fn, gfloat.formats.format_info_ocp_e3m2),
    "int8": (formats.INT8, None, gfloat.formats.format_info_ocp_int8),
}
#: gfloat's block formats.
THEIRS = {
    "mxfp4": gfloat.formats.format_info_mxfp4_e2m1,
    "mxfp6-e2m3": gfloat.formats.format_info_mxfp6_e2m3,
    "mxfp6-e3m2": gfloat.formats.format_info_mxfp6_e3m2,
    "mxint8": gfloat.formats.format_info_mxint8,
}
