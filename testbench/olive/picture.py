"""The demo's picture: a layer's values, coloured by what the outlier-victim pairs made of them."""

import numpy as np

from ...golden.olive import ovp
from ...tools.pictures import picture

__all__ = ["histogram"]

_KINDS = (("normal", "#4477aa"), ("victim", "#ccbb44"), ("outlier", "#ee6677"))


def histogram(path, name, weight, codes, steps, fmt):
    """Save a picture of a weight matrix' values in scale steps, and of the values they are decoded to.

    Parameters
    ----------
    path : path-like
        Its suffix, one of `pictures.SUFFIXES`, decides the kind of picture.
    name : str
        The layer's, for the title.
    weight : ndarray, shape (N, K)
        Original values.
    codes : ndarray of uint8
        Packed pairs.
    steps : ndarray, shape (N,)
        Scale steps.
    fmt : OvpFormat
        Format.
    """
    scaled = (weight / steps[:, None]).ravel()
    kinds = ovp.kinds(codes, fmt)[:, : weight.shape[1]].ravel()
    decoded = ovp.values(codes, fmt)[:, : weight.shape[1]].ravel()
    limit = max(np.abs(scaled).max(), fmt.max_normal + 1)
    edges = np.linspace(-limit, limit, 161)
    with picture(path, 9, 6.5) as figure:
        above, below = figure.subplots(2, 1, sharex=True)
        for kind, (label, color) in enumerate(_KINDS):
            chosen = scaled[kinds == kind]
            share = f"{label} ({len(chosen) / len(scaled):.2%})"
            above.hist(chosen, edges, color=color, alpha=0.8, label=share)
            levels, counts = np.unique(decoded[kinds == kind], return_counts=True)
            if kind != 1:
                below.bar(levels, counts, width=max(0.5, limit / 160), color=color, alpha=0.8, label=share)
        above.set_ylabel("original values")
        title = f"{name}: {weight.shape[0]} x {weight.shape[1]} weights as ovp-{fmt.name}"
        # Dollar signs of a name are no formula.
        above.set_title(title, parse_math=False)
        above.axvspan(-fmt.outlier_threshold, fmt.outlier_threshold, color="0.93", zorder=0)
        below.set_ylabel("decoded values")
        below.set_xlabel("value in scale steps (grey: normal range)")
        below.axvspan(-fmt.outlier_threshold, fmt.outlier_threshold, color="0.93", zorder=0)
        for axes in (above, below):
            axes.set_yscale("log")
            axes.legend(frameon=False)
