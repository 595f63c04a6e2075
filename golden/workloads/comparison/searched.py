"""Anda with the mantissas that the paper's search gives a model, on its calibration inputs."""

from dataclasses import replace

from .. import anda_search
from . import apply
from .floats import AndaScheme, HalfScheme

__all__ = ["SearchedAnda"]


class SearchedAnda(AndaScheme):
    """Mantissas by kind of layer: the cheapest that keep the quality of FP16 activations (Anda, Algorithm 1).

    Parameters
    ----------
    tolerance : float
        Share of the quality that may be lost, as of `anda_search.search`; the paper has 0.001 and 0.01.
    """

    def __init__(self, tolerance=0.01):
        super().__init__(None)
        self.tolerance = tolerance

    def fitted(self, subject):
        """An `AndaScheme`.

        Raises
        ------
        ValueError
            When no combination that the search meets is good enough.
        """
        tried = subject.on_calibration()
        # Weights are the same with all mantissas, and with none.
        half = apply.prepare(subject, HalfScheme())
        whole = tried.scores(apply.operations(tried, half))

        def quality(combination):
            mantissas = dict(zip(anda_search.MODULES, combination, strict=True))
            weights = {n: replace(w, mantissa=mantissas[subject.linears[n].kind]) for n, w in half.weights.items()}
            prepared = apply.Prepared(AndaScheme(mantissas), weights, half.steps)
            return subject.kept(whole, tried.scores(apply.operations(tried, prepared)))

        steps = [*anda_search.search(quality, 1.0, _products(subject), self.tolerance)]
        best = anda_search.last_accepted(steps)
        if best is None:
            raise ValueError(f"no mantissas up to {anda_search.HIGHEST} bits lose {self.tolerance} or less")
        return AndaScheme(dict(zip(anda_search.MODULES, best.combination, strict=True)))


def _products(subject):
    """Products of a token by kind of layer, as `anda_search.MODULES`."""
    sizes = dict.fromkeys(anda_search.MODULES, 0)
    for layer in subject.linears.values():
        sizes[layer.kind] += layer.weight.size
    return [*sizes.values()]
