"""Models that are compared: what they are run on, and what tells how good a run is."""

import hashlib
from abc import ABC, abstractmethod
from dataclasses import replace

import numpy as np

from .. import machine_losses, machine_model, machine_steps, sentences
from ..evaluate import mean_cosine
from ..transformer import Linear, Ops

__all__ = ["Linear", "Sentences", "Subject"]


#: Entries of the tables of the integer units.
_ENTRIES = 16


class Subject(ABC):
    """A model with inputs to calibrate on and inputs to measure on.

    Attributes
    ----------
    linears : dict of str to Linear
        The layers that are compared, by name, in the order of execution; others stay in floating point.
    ops
        Class of its operations: `linear` and `matmul` as `transformer.Ops` has them.
    """

    linears: dict
    ops = Ops

    @abstractmethod
    def limited(self, inputs):
        """The same model, measured on the first `inputs` inputs only; None: on all.

        Raises
        ------
        ValueError
            When there are not so many.
        """

    @abstractmethod
    def fingerprint(self):
        """SHA-256 of the model and its inputs, as hexadecimal digits."""

    @abstractmethod
    def calibrate(self, ops):
        """Run on the calibration inputs, for what `ops` sees."""

    def integer(self, ops):
        """`ops` with softmax, GELU and LayerNorm on the integer units of GQA-LUT; None where these cannot do them."""
        return None

    @abstractmethod
    def scores(self, ops):
        """Run on the inputs to measure on.

        Returns
        -------
        dict of str to float
            By measure; the first one is the one that rows are judged by, more is better.
        """


class Sentences(Subject):
    """A sentence encoder: mean cosine similarity of its embeddings with its own in float32.

    Parameters
    ----------
    encoder : Encoder
    texts, calibration : sequence of str, optional
    """

    def __init__(self, encoder, texts=sentences.SENTENCES, calibration=sentences.CALIBRATION):
        self.encoder, self.texts, self.calibration = encoder, texts, calibration
        self.linears = encoder.linears
        self._reference = self._units = None

    def limited(self, inputs):
        if inputs is None:
            return self
        if not 1 <= inputs <= len(self.texts):
            raise ValueError(f"inputs must be 1 to {len(self.texts)} for this model, not {inputs}")
        return Sentences(self.encoder, self.texts[:inputs], self.calibration)

    def fingerprint(self):
        digest = hashlib.sha256(repr((self.texts, self.calibration, self.encoder.heads, self.encoder.eps)).encode())
        tables = [self.encoder.words, self.encoder.positions]
        tables += [part for layer in self.encoder.linears.values() for part in (layer.weight, layer.bias)]
        tables += [part for norm in self.encoder.norms.values() for part in (norm.gamma, norm.beta)]
        for part in tables:
            digest.update(np.ascontiguousarray(part))
        return digest.hexdigest()

    def calibrate(self, ops):
        self.encoder.embed(self.calibration, ops, batch=len(self.calibration))

    def integer(self, ops):
        if self._units is None:
            try:
                machine_model.check(self.encoder)
            except ValueError:
                return None
            steps = machine_steps.calibrate(self.encoder, self.calibration)
            model = machine_model.quantize(self.encoder, steps, _ENTRIES)
            self._units = machine_losses.operations(model, steps, machine_losses.TABLED)
        return replace(ops, softmax=self._units.softmax, gelu=self._units.gelu, layernorm=self._units.layernorm)

    def scores(self, ops):
        if self._reference is None:
            self._reference = self.encoder.embed(self.texts)
        return {"cosine": mean_cosine(self._reference, self.encoder.embed(self.texts, ops))}
