"""How results that are not as they must be are told: in one line."""

import numpy as np

__all__ = ["difference"]


def difference(wrong, expected, got):
    """The results of a matrix that differ, in one line.

    Parameters
    ----------
    wrong : ndarray of bool, shape (M, N)
        Which ones differ.
    expected, got : callable
        Called with a row and a column; give what a person reads of that result.

    Returns
    -------
    str or None
        How many differ, and the first one of them; None if none does.
    """
    if not wrong.any():
        return None
    at = tuple(np.argwhere(wrong)[0].tolist())
    return (
        f"{int(wrong.sum()):,} of {wrong.size:,} results differ, the first at {at}: "
        f"expected {expected(*at)}, got {got(*at)}"
    )
