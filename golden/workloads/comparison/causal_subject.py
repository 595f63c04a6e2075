"""A causal language model as a subject of the comparison: how well it foretells a text."""

import hashlib

import numpy as np

from ...checks import integer
from .. import causal, lee
from .subject import Subject

__all__ = ["CausalSubject"]

#: Windows of the text that is measured on, and tokens of one.
WINDOWS, LENGTH = 8, 512


class CausalSubject(Subject):
    """A language model: its perplexity on windows of a text, and how far its loss is from its own in float32.

    The text is gensim's `lee_background.cor`; steps are found on one window of other documents, `lee.cor`.

    Parameters
    ----------
    model : CausalModel
    windows, length : int, optional
        As of `CausalModel.loss`; by default windows of 512 tokens, or of as many as the model takes.
    text : sequence of int, optional
        Tokens in place of that text's.
    """

    ops = causal.Ops

    def __init__(self, model, windows=WINDOWS, length=None, text=None):
        longest = min(LENGTH, model.longest)
        self.model, self.windows, self.length = model, windows, length or longest
        self.linears = {name: model.linears[name] for name in model.compared}
        self.baseline = _baseline(model.file)
        self.text = model.tokenizer.encode(lee.background()) if text is None else text
        self.calibration = model.tokenizer.encode("\n".join(lee.documents()))[:longest]

    def limited(self, inputs, tokens):
        windows = integer("inputs", inputs or self.windows, 1, WINDOWS)
        length = integer("tokens", tokens or self.length, 2, self.model.longest)
        return CausalSubject(self.model, windows, length, self.text)

    def on_calibration(self):
        return CausalSubject(self.model, 1, min(len(self.calibration), self.model.longest), self.calibration)

    def kept(self, reference, scores):
        # What is lost is the share by which the perplexity grows, as the papers have it.
        return 2 - scores["perplexity"] / reference["perplexity"]

    def fingerprint(self):
        digest = hashlib.sha256(repr((self.windows, self.length)).encode())
        for ids in (self.text, self.calibration):
            digest.update(np.ascontiguousarray(ids, "<i8"))
        digest.update(self.model.file.path.read_bytes())
        return digest.hexdigest()

    def calibrate(self, ops):
        self.model(self.calibration, ops)

    def scores(self, ops):
        loss = self.model.loss(self.text, self.windows, self.length, ops)
        return {"perplexity": loss.perplexity, "nats": loss.nats}


def _baseline(file):
    """FP32; where the weights of the file are codes already, that is said, as all rows begin with what these mean."""
    kinds = sorted({tensor.kind for tensor in file.tensors.values()} - {"F16", "F32"})
    return f"FP32 with the file's own weights, dequantized {' and '.join(kinds)}" if kinds else "FP32"
