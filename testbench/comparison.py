"""A row of the comparison on its Verilated core: products of a model, each checked against the golden model."""

from dataclasses import dataclass, field

from ..cores.catalogue import lookup
from ..cores.generate import generate
from ..cores.interface import layouts
from ..hdl.stream import codec
from . import compare, drive, payloads

__all__ = ["Engine", "Product"]


@dataclass(frozen=True)
class Product:
    """A product that went through a core.

    Attributes
    ----------
    place : str
        Name of the operation in the model.
    shape : (int, int, int)
        M, K and N.
    cycles : int
        From the first input transfer to the last result, both included.
    seconds : float
        Of the simulation.
    """

    place: str
    shape: tuple
    cycles: int
    seconds: float


@dataclass
class Engine:
    """A core that takes the place of `Scheme.product` in `golden.workloads.comparison.operations`.

    Parameters
    ----------
    scheme : Scheme
    config : Config
        Of the scheme's core.
    design : Design, optional
        Run this in place of what `generate` gives.

    Attributes
    ----------
    products : list of Product
        In the order in which they went through.
    failures : list of str
        One line each: a product whose results or cycles are not those of the golden model, and how.
    """

    scheme: object
    config: object
    design: object = None
    products: list = field(default_factory=list)
    failures: list = field(default_factory=list)

    def __post_init__(self):
        core = lookup(self.scheme.core)
        self._layouts = layouts(core.component(self.config))
        self.design = self.design or generate(core, self.config)
        drive.build(self.design)

    def __call__(self, place, a, w):
        """The core's product; where it did not give all of it, the golden model's, so that the others are still seen.

        Parameters
        ----------
        place : str
        a, w : object
            As of `Scheme.product`.

        Returns
        -------
        ndarray, shape (M, N)
        """
        scheme, config = self.scheme, self.config
        wanted = scheme.product(a, w)
        m = len(wanted)
        driven = drive.drive(
            self.design,
            payloads.rows(self._layouts, scheme.transfers(a, w, config)),
            {"o": scheme.result_count(m, w, config)},
            constants=scheme.ports(w),
            quiet=1000,
        )
        n, k = scheme.shape(w)
        self.products.append(Product(place, (m, k, n), driven.cycles, driven.seconds))
        if driven.failure:
            self.failures.append(f"{place}: {driven.failure}")
            return wanted
        fields = codec.unpack(self._layouts["o"], driven.outputs["o"])
        result = scheme.results(fields, m, w, config)
        wrong = _bits(result) != _bits(wanted)
        if wrong.any():
            told = compare.difference(wrong, lambda *at: repr(wanted[at]), lambda *at: repr(result[at]))
            self.failures.append(f"{place}: {told}")
        elif not scheme.right_cycles(driven.cycles, config, m, w):
            expected = scheme.cycles(config, m, w)
            self.failures.append(f"{place}: it took {driven.cycles:,} cycles, expected {expected:,}")
        return result


def _bits(values):
    """Numbers as integers, so that a NaN is what it is."""
    return values.view(f"u{values.itemsize}") if values.dtype.kind == "f" else values
