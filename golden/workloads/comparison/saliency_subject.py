"""A vision transformer as a subject of the comparison: whether its maps are those of float32."""

import hashlib

import numpy as np

from ...checks import integer
from .. import images, saliency_scores
from .subject import Subject

__all__ = ["SaliencySubject"]


class SaliencySubject(Subject):
    """A saliency model on the sample photographs of scikit-image and scikit-learn.

    Parameters
    ----------
    model : SaliencyModel
    pictures : sequence of Picture, optional
    """

    def __init__(self, model, pictures=None):
        self.model = model
        self.pictures = images.samples(side=model.side) if pictures is None else pictures
        self.linears = model.linears
        self._reference = None

    def limited(self, inputs, tokens):
        if tokens is not None:
            raise ValueError("tokens are for language models: an image has as many as it has patches")
        count = integer("inputs", inputs or len(self.pictures), 1, len(self.pictures))
        return SaliencySubject(self.model, self.pictures[:count])

    def on_calibration(self):
        return SaliencySubject(self.model, self._calibration())

    def fingerprint(self):
        digest = hashlib.sha256(repr((self.model.heads, self.model.eps)).encode())
        parts = [picture.pixels for picture in self.pictures]
        parts += [part for layer in self.linears.values() for part in (layer.weight, layer.bias)]
        parts += [self.model.positions, self.model.patches.weight, *self.model.scales.values()]
        for part in parts:
            digest.update(np.ascontiguousarray(part))
        return digest.hexdigest()

    def calibrate(self, ops):
        self.model.maps(self._calibration(), ops)

    def _calibration(self):
        return images.samples(images.CALIBRATION, self.model.side)

    def scores(self, ops):
        if self._reference is None:
            self._reference = self.model.maps(self.pictures)
        return saliency_scores.scores(self._reference, self.model.maps(self.pictures, ops))
