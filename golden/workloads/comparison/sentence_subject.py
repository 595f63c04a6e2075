"""A sentence encoder as a subject of the comparison: where its embeddings point."""

import hashlib
from dataclasses import replace

import numpy as np

from ...checks import integer
from .. import lee, machine_losses, machine_model, machine_steps, sentences
from ..evaluate import mean_cosine
from ..transformer import Encoder
from .subject import Subject

__all__ = ["Sentences"]

#: Entries of the tables of the integer units.
_ENTRIES = 16


class Sentences(Subject):
    """A sentence encoder: mean cosine similarity of its embeddings with its own, or another one's, in float32.

    On all inputs, there is also the correlation of its similarities of documents with people's, as of `lee.pearson`.

    Parameters
    ----------
    encoder : Encoder
    texts, calibration : sequence of str, optional
    rated : bool
        Whether the documents that people have rated are among the inputs.
    original : Encoder, optional
        Whose embeddings are the measure; by default those of `encoder`.
    """

    def __init__(
        self, encoder, texts=sentences.SENTENCES, calibration=sentences.CALIBRATION, rated=True, original=None
    ):
        self.rated, self.original = rated, original or encoder
        self.encoder, self.texts, self.calibration = encoder, texts, calibration
        self.linears = encoder.linears
        self._reference = self._machine = None

    def limited(self, inputs, tokens):
        if tokens is not None:
            raise ValueError("tokens are for language models: a sentence has as many as it has")
        count = integer("inputs", inputs or len(self.texts), 1, len(self.texts))
        return Sentences(self.encoder, self.texts[:count], self.calibration, inputs is None, self.original)

    def trained(self, folder):
        encoder = Encoder.load(folder)
        width, wanted = encoder.words.shape[1], self.original.words.shape[1]
        if width != wanted:
            raise ValueError(f"{folder}: hidden_size must be {wanted}, as the compared model's, not {width}")
        return Sentences(encoder, self.texts, self.calibration, self.rated, self.original)

    def judged(self):
        return Sentences(self.encoder, self.texts, self.calibration, False, self.original) if self.rated else self

    def on_calibration(self):
        return Sentences(self.encoder, self.calibration, self.calibration, rated=False)

    def fingerprint(self):
        digest = hashlib.sha256(repr((self.texts, self.calibration, self.rated)).encode())
        for encoder in (self.encoder, self.original):
            digest.update(repr((encoder.heads, encoder.eps)).encode())
            tables = [encoder.words, encoder.positions]
            tables += [part for layer in encoder.linears.values() for part in (layer.weight, layer.bias)]
            tables += [part for norm in encoder.norms.values() for part in (norm.gamma, norm.beta)]
            for part in tables:
                digest.update(np.ascontiguousarray(part))
        return digest.hexdigest()

    def calibrate(self, ops):
        self.encoder.embed(self.calibration, ops, batch=len(self.calibration))

    def integer(self, ops, unit=None):
        if self._machine is None:
            try:
                machine_model.check(self.encoder)
            except ValueError:
                return None
            steps = machine_steps.calibrate(self.encoder, self.calibration)
            self._machine = machine_model.quantize(self.encoder, steps, _ENTRIES), steps
        units = machine_losses.operations(*self._machine, machine_losses.TABLED, unit)
        return replace(ops, softmax=units.softmax, gelu=units.gelu, layernorm=units.layernorm)

    def scores(self, ops):
        if self._reference is None:
            self._reference = self.original.embed(self.texts)
        measured = {"cosine": mean_cosine(self._reference, self.encoder.embed(self.texts, ops))}
        if self.rated:
            measured["lee"] = lee.pearson(self.encoder.embed(lee.documents(), ops))
        return measured
