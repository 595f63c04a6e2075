"""What a pass of a model costs in a scheme: products, bits and cycles, place by place."""

from dataclasses import dataclass, field, replace

from ..quantize import sqnr_db
from .apply import operations
from .powers import Powers

__all__ = ["Account", "Entry", "account"]


@dataclass(frozen=True)
class Entry:
    """All products of a place.

    Attributes
    ----------
    place : str
    shape : (int, int, int)
        M, K and N of the first one.
    products : int
        Dense multiply-accumulates.
    cycles : int or None
        Of the core, without stalls; one product after the other. None without a core.
    peak : float or None
        Products a cycle of a core that is busy all over.
    weight_bits, activation_bits : float
        Bits in memory of the second operand's and of the activations' values, once each.
    weights : int
        Values of the second operand that are weights; 0 in attention.
    signal, noise : float
        As of `powers.Powers`.
    """

    place: str
    shape: tuple
    products: int
    cycles: int | None
    peak: float | None
    weight_bits: float
    activation_bits: float
    weights: int
    signal: float = 0.0
    noise: float = 0.0

    @property
    def sqnr_db(self):
        """Signal to quantization noise ratio of all products, as `quantize.sqnr_db`."""
        return sqnr_db(self.signal, self.noise)

    @property
    def utilization(self):
        """Share of the multipliers' cycles that make products; None without a core."""
        return self.products / (self.cycles * self.peak) if self.cycles else None


@dataclass
class Account:
    """Counts as `Scheme.product` works; for `operations`.

    Parameters
    ----------
    prepared : Prepared
    config
        Of the scheme's core; None without one.

    Attributes
    ----------
    entries : dict of str to Entry
        By place, in the order of execution.
    """

    prepared: object
    config: object
    entries: dict = field(default_factory=dict)

    def __call__(self, place, a, w):
        scheme = self.prepared.scheme
        result = scheme.product(a, w)
        m, (n, k) = len(result), scheme.shape(w)
        known, (second, first) = place in self.prepared.weights, scheme.bits(w)
        if not known:
            second = first
        before = self.entries.get(place)
        entry = Entry(
            place,
            before.shape if before else (m, k, n),
            m * k * n + (before.products if before else 0),
            scheme.cycles(self.config, m, w) + (before.cycles if before else 0) if scheme.core else None,
            scheme.peak(self.config, w) if scheme.core else None,
            n * k * second + (before.weight_bits if before and not known else 0),
            m * k * first + (before.activation_bits if before else 0),
            n * k if known else 0,
        )
        self.entries[place] = entry
        return result


def account(subject, prepared, config):
    """Entries of one pass on the inputs that are measured.

    Returns
    -------
    scores : dict
        As of `Subject.scores`.
    entries : list of Entry
    """
    counted, powers = Account(prepared, config), Powers()
    scores = subject.scores(operations(subject, prepared, counted, powers))
    entries = counted.entries.values()
    return scores, [replace(e, signal=powers.signal[e.place], noise=powers.noise[e.place]) for e in entries]
