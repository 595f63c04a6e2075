"""What is compared: a model, what it is run on, and what tells how good a run is."""

from abc import ABC, abstractmethod

from ..transformer import Linear, Ops

__all__ = ["Linear", "Subject"]


class Subject(ABC):
    """A model with inputs to calibrate on and inputs to measure on.

    Attributes
    ----------
    linears : dict of str to Linear
        The layers that are compared, by name, in the order of execution; others stay in floating point.
    ops
        Class of its operations: `linear` and `matmul` as `transformer.Ops` has them.
    baseline : str
        What the model is before it is in any row's arithmetic.
    """

    linears: dict
    ops = Ops
    baseline = "FP32"

    @abstractmethod
    def limited(self, inputs, tokens):
        """The same model, measured on fewer inputs.

        Parameters
        ----------
        inputs : int or None
            The first ones, from 1; None: as many as there are.
        tokens : int or None
            Of an input, where that may be chosen; None: all.

        Raises
        ------
        ValueError
            When there are not so many.
        """

    def trained(self, folder):
        """The model of a folder, with the same inputs, measured by what this one gives.

        Raises
        ------
        ValueError, OSError
            When the folder holds no model that can stand in this one's place.
        """
        raise ValueError(f"trained weights, {folder}, are for a sentence encoder")

    def judged(self):
        """The same model with the inputs of its first measure alone: those that a pass is counted on."""
        return self

    def on_calibration(self):
        """The same model, measured on its calibration inputs: for what is chosen before it runs."""
        raise NotImplementedError(f"{type(self).__name__} is not measured on its calibration inputs")

    def kept(self, reference, scores):
        """Share of the quality of a reference that is kept, by the first measure; both as of `scores`."""
        first = next(iter(reference))
        return scores[first] / reference[first]

    @abstractmethod
    def fingerprint(self):
        """SHA-256 of the model and its inputs, as hexadecimal digits."""

    @abstractmethod
    def calibrate(self, ops):
        """Run on the calibration inputs, for what `ops` sees."""

    def integer(self, ops, unit=None):
        """`ops` with softmax, GELU and LayerNorm on the integer units of GQA-LUT; None where these cannot do them.

        Parameters
        ----------
        ops
        unit : callable, optional
            As of `machine_losses.operations`: units that are simulated.
        """
        return None

    @abstractmethod
    def scores(self, ops):
        """Run on the inputs to measure on.

        Returns
        -------
        dict of str to float
            By measure; the first one is the one that rows are judged by.
        """
