"""1/sqrt(x) on 1 to 4 in 192 segments of one width, for LayerNorm in 16 bits: our choice.

GQA-LUT's tables have a few segments wherever they are of use. With segments of one width the code's upper bits are the
number of the segment, so that a memory takes the place of the comparators, and the table may be as fine as the result.
"""

import functools

import numpy as np

__all__ = ["CODE_BITS", "DROP_BITS", "ENTRIES", "ROOT_FRACTION", "SEGMENT_BITS", "VALUE_BITS", "fine_root", "segments"]

#: Segments.
ENTRIES = 192
#: Bits of a code, 14 of them below the point; of those, bits within a segment.
CODE_BITS, SEGMENT_BITS = 16, 8
#: Fraction bits of the result.
ROOT_FRACTION = 16
#: Bits of what the memory has: the value at the begin of a segment, and by how much it drops up to its end.
VALUE_BITS, DROP_BITS = 18, 11

_MORE = 2  # fraction bits of both, beyond those of the result


@functools.cache
def segments():
    """Values and drops of the segments 0 to 255, of which those below 64 do not count.

    Values are less by half of what a chord is above the curve at most, so that errors are equal on both sides.

    Returns
    -------
    values, drops : ndarray of int64, shape (256,)
        In units of ``2**-18``.
    """
    x = np.maximum(np.arange(257), 64) / 64
    unit = 1 << (ROOT_FRACTION + _MORE)
    ends = unit / np.sqrt(x)
    middle = unit / np.sqrt(x[:-1] + 1 / 128)
    above = (ends[:-1] + ends[1:]) / 2 - middle
    values = np.rint(ends[:-1] - np.maximum(above, 0) / 2).astype(np.int64)
    return values, np.rint(ends[:-1] - ends[1:]).astype(np.int64)


def fine_root(codes):
    """1/sqrt(x), rounded half up.

    Parameters
    ----------
    codes : array_like of int
        2**14 to 2**16 - 1, which stand for 1 to just below 4.

    Returns
    -------
    ndarray of int64
        In units of ``2**-16``; 32768 to 65535.
    """
    codes = np.asarray(codes, np.int64)
    values, drops = segments()
    segment, place = codes >> SEGMENT_BITS, codes & ((1 << SEGMENT_BITS) - 1)
    exact = (values[segment] << SEGMENT_BITS) - drops[segment] * place
    dropped = SEGMENT_BITS + _MORE
    return (exact + (1 << (dropped - 1))) >> dropped
