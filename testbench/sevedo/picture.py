"""The picture of a comparison of 4-bit formats: the error of every linear layer's output."""

import numpy as np

from ...tools.pictures import picture

__all__ = ["draw"]

_BASELINES = (("#000000", "v"), ("#cc79a7", "s"), ("#009e73", "D"), ("#e69f00", "^"))
# A rank is a colour; hollow is without SVD-MP, filled is with it.
_RANKS = ("#56b4e9", "#0072b2", "#d55e00", "#999999")


def draw(path, rows, methods):
    """Save one panel for each kind of layer.

    Parameters
    ----------
    path : path
        Its suffix, one of `pictures.SUFFIXES`, decides the kind of picture.
    rows : list of dict
        As `golden.workloads.sevedo_model.compare` gives.
    methods : dict
        Method to its name in the legend, in the order of drawing: the baselines, then for each rank without and with
        SVD-MP. The same rows and methods give the same bytes.
    """
    kinds = {}
    for row in rows:
        kinds.setdefault(row["kind"], []).append(row)
    with picture(path, 11, 7) as figure:
        widths = [max(len(part) for part in list(kinds.values())[i::2] or [[0]]) + 2 for i in range(2)]
        panels = figure.subplots(-(-len(kinds) // 2), 2, squeeze=False, width_ratios=widths, sharey=True).ravel()
        for axes, (kind, part) in zip(panels, kinds.items(), strict=False):
            for index, (method, label) in enumerate(methods.items()):
                style = _style(index)
                # As an array: where there is no ratio, None becomes NaN, which is not drawn.
                axes.plot(np.array([row["sqnr_db"][method] for row in part], float), label=label, **style)
            axes.set_title(kind, loc="left", fontweight="bold")
            axes.set_xticks(range(len(part)), [_short(row["name"]) for row in part], rotation=45, ha="right")
            axes.set_ylabel("SQNR of the output, dB")
            axes.set_xmargin(0.04)
            axes.grid(axis="y", color="0.9", linewidth=0.8)
            axes.set_axisbelow(True)
        for axes in panels[len(kinds) :]:
            axes.set_axis_off()
        names = {"loc": "outside lower center", "ncols": 5, "frameon": False}
        figure.legend(*panels[0].get_legend_handles_labels(), **names)
        title = "4-bit weights and activations: error of every linear layer's output"
        figure.suptitle(f"{title}\nrR: SeVeDo of rank R with 8-bit low-rank path; MP: with SVD-MP", fontsize=10)


def _style(index):
    common = {"linewidth": 0.8, "markersize": 5}
    if index < len(_BASELINES):
        colour, marker = _BASELINES[index]
        return {"color": colour, "marker": marker, "linestyle": ":", **common}
    rank, mixed = divmod(index - len(_BASELINES), 2)
    colour = _RANKS[rank % len(_RANKS)]
    return {"color": colour, "marker": "o", "markerfacecolor": colour if mixed else "white", **common}


def _short(name):
    """`layer.3.attention.query` as `3 query`."""
    words = name.split(".")
    return f"{words[1]} {words[-1]}" if len(words) > 2 else name
