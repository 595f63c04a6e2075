"""Numbers in what people type: plain decimal digits, where Python also takes ``1_0``, `` 1``, ``+1`` and ``١``."""

import re

__all__ = ["real", "whole"]

_WHOLE = re.compile(r"-?[0-9]+")
_REAL = re.compile(r"-?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")


def whole(text: str) -> int:
    """Read a whole number.

    Parameters
    ----------
    text : str
        The digits 0 to 9, one or more, after a minus sign for a negative number.

    Raises
    ------
    ValueError
        For anything else.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"a whole number must be written with the digits 0 to 9, not {text!r}")
    return int(text)


def real(text: str) -> float:
    """Read a number with a point, an exponent, both or neither: ``-1.5e-3``.

    Parameters
    ----------
    text : str
        Digits as for `whole`; neither ``nan`` nor ``inf``.

    Raises
    ------
    ValueError
        For anything else.
    """
    if not _REAL.fullmatch(text):
        raise ValueError(f"a number must be written with the digits 0 to 9, not {text!r}")
    return float(text)
