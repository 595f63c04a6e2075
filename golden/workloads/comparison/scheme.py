"""What a system does with the products of a model: how operands become codes, and codes the numbers that a core takes.

A product has activations ``a`` of shape (M, K) and a second operand of shape (N, K), both along K: weights, which are
known before, or, in attention, activations too. Its result has shape (M, N).
"""

from abc import ABC, abstractmethod

import numpy as np

__all__ = ["CoreScheme", "Scheme"]


class Scheme(ABC):
    """The arithmetic of one system.

    Between `encode` and `restore` stands what hardware does: `product` takes codes.

    Attributes
    ----------
    core : str or None
        Name in the catalogue, of a `CoreScheme`; None where no core takes the codes: then there is accuracy alone.
    attends : bool
        Whether the core takes products of two activations.
    weight_bits, activation_bits : float
        Bits of a value in memory, scales in groups included; a scale of a whole row or tensor is left out.
    unit : float
        What 1 in `code_values` is in units of the step or scale.
    """

    core: str | None = None
    attends = True
    weight_bits: float
    activation_bits: float
    unit = 1

    #: What was chosen for a model, by name: numbers that a reader may want to know.
    chosen = {}

    def fitted(self, subject):
        """This scheme with what it chooses for a model, from its calibration inputs alone; by default nothing.

        Parameters
        ----------
        subject : Subject

        Returns
        -------
        Scheme
        """
        return self

    def step(self, x):
        """What is known of activations before the model runs: from calibration, one number or None (nothing).

        Parameters
        ----------
        x : ndarray of float32, shape (..., K)
            Activations of calibration inputs.
        """
        return None

    @abstractmethod
    def weights(self, weight, seen, kind):
        """Weights as second operand.

        Parameters
        ----------
        weight : ndarray of float32, shape (N, K)
        seen : ndarray of float32, shape (tokens, K)
            Activations that calibration met in this place.
        kind : str
            Of the layer, as of `transformer.Linear`.

        Returns
        -------
        object
            As `product` takes it.
        """

    def operand(self, b, step):
        """Activations as second operand, shape (N, K); `step` is that of `step`. Only where `attends`."""
        raise NotImplementedError(f"{self.core} takes no product of two activations")

    @abstractmethod
    def encode(self, x, step):
        """Activations as first operand, shape (M, K); `step` is that of `step`."""

    @abstractmethod
    def product(self, a, w):
        """What hardware gives: one ndarray of shape (M, N)."""

    @abstractmethod
    def restore(self, raw, a, w):
        """The product as float32: what is left to do with the core's results, such as to multiply by steps."""

    def bits(self, w):
        """Bits of a value of the second operand, and of the activations that meet it."""
        return self.weight_bits, self.activation_bits

    def shape(self, w):
        """(N, K) of a second operand."""
        return np.shape(w.codes)

    def code_values(self, w):
        """What the codes of a second operand stand for, without steps and scales: integers, shape (N, K)."""
        return w.codes[:, : self.shape(w)[1]]


class CoreScheme(Scheme):
    """The arithmetic of a system that has a core here.

    `product` gives what the core named by `core` gives, to the bit: so a product of a simulated core can take its
    place.

    Attributes
    ----------
    parameters : dict
        Of the core, as far as the scheme decides them.
    shares : bool
        Whether the core does work that all outputs of a token share, or all tokens of a layer: so a product of a few of
        them tells little of a whole one.
    """

    core: str
    parameters: dict
    shares = False

    @abstractmethod
    def cut(self, operand, part):
        """Some rows of an operand, first or second: the same numbers as in the whole one.

        Parameters
        ----------
        operand : object
            As of `encode`, `weights` or `operand`.
        part : slice
            Of its M or N rows.
        """

    @abstractmethod
    def transfers(self, a, w, config):
        """What goes through the core's streams: dict of str to `golden.transfers.Transfers`."""

    @abstractmethod
    def results(self, fields, m, w, config):
        """What `product` gives, out of the fields of all payloads of the core's stream `o`."""

    @abstractmethod
    def result_count(self, m, w, config):
        """Payloads of the stream `o`."""

    def ports(self, w):
        """Values of the core's inputs that are no streams."""
        return {}

    @abstractmethod
    def peak(self, config, w):
        """Products of a dense (M, K) x (K, N) product in a cycle in which the core is busy all over."""

    @abstractmethod
    def cycles(self, config, m, w):
        """Cycles of a product without stalls.

        Parameters
        ----------
        config
            Of the core.
        m : int
            Rows of the activations.
        w
            Second operand, as `weights` and `operand` give it.
        """

    def right_cycles(self, taken, config, m, w):
        """Whether a run may have taken so many cycles."""
        return taken == self.cycles(config, m, w)
