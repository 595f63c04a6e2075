"""A float encoder as a program of the machine, and sentences that go through it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..machine.compiler import compile_encoder
from ..machine.executor import Executor
from . import machine_model, machine_steps, transformer
from .sentences import CALIBRATION

__all__ = ["Run", "integer_encoder", "load", "program"]


def load(model):
    """The float encoder of a name: minilm, or a folder."""
    return transformer.Encoder.load(None if model == "minilm" else Path(model))


def integer_encoder(encoder, sizes, calibration=CALIBRATION):
    """The integer encoder that a machine runs: with its format, its scale of logits, its tables and its epsilon.

    Parameters
    ----------
    encoder : transformer.Encoder
    sizes : machine.Sizes
    calibration : sequence of str

    Returns
    -------
    machine.Encoder

    Raises
    ------
    ValueError
        As `machine_model.quantize`.
    """
    steps = machine_steps.calibrate(encoder, calibration, sizes.format)
    steps |= {f"layer.{i}.attention.logits": 2.0**-sizes.logit_scale for i in range(encoder.layers)}
    model = machine_model.quantize(encoder, steps, sizes.entries, sizes.format)

    def fixed(norm):
        return replace(norm, epsilon=sizes.epsilon)

    norms = ("attention_norm", "feed_forward_norm")
    layers = tuple(replace(layer, **{name: fixed(getattr(layer, name)) for name in norms}) for layer in model.layers)
    return replace(model, norm=fixed(model.norm), layers=layers)


def program(encoder, sizes, calibration=CALIBRATION):
    """`integer_encoder`, compiled."""
    return compile_encoder(integer_encoder(encoder, sizes, calibration), sizes)


def _begin(sentence, most=40):
    """A sentence that a message can name."""
    return sentence if len(sentence) <= most else f"{sentence[: most - 1]}…"


class Run:
    """Sentences on their way through a program.

    Parameters
    ----------
    program : Program
    model : str
        As of `load`: that of which the program was made.
    sentences : sequence of str
    batch : int
        Sentences of a pass, at most; fewer where they have too many tokens together.
    encoder : transformer.Encoder, optional
        What `load` gives for the model, where that is known.

    Attributes
    ----------
    passes : list of list of ndarray of int
        Token ids.

    Raises
    ------
    ValueError
        For a sentence that is longer than the machine's maximum, and a model that is another one.
    """

    def __init__(self, program, model, sentences, batch=1, encoder=None):
        self.program, self.encoder, self.sentences = program, encoder or load(model), list(sentences)
        shape = self.encoder.words.shape
        if shape != (program.vocabulary, program.channels):
            made = f"{program.vocabulary} x {program.channels}"
            raise ValueError(f"{model} has a table of {shape[0]} x {shape[1]}, the program was made of one of {made}")
        ids, mask = self.encoder.tokenizer.encode(self.sentences, self.encoder.max_length)
        rows = [row[kept == 1] for row, kept in zip(ids, mask, strict=True)]
        self.passes, groups, sizes = [], 0, program.sizes
        for sentence, row in zip(self.sentences, rows, strict=True):
            try:
                program.check_length(len(row))
            except ValueError as error:
                raise ValueError(f"{_begin(sentence)!r}: {error}") from None
            needed = sizes.groups_of(len(row))
            if not self.passes or len(self.passes[-1]) == batch or groups + needed > sizes.groups:
                self.passes.append([])
                groups = 0
            self.passes[-1].append(row)
            groups += needed

    def golden(self):
        """Sums of all sentences on the golden machine, (sentences, channels)."""
        executor = Executor(self.program)
        return np.concatenate([executor(each) for each in self.passes])

    def report(self, sums):
        """What the embeddings are, sentence by sentence.

        Parameters
        ----------
        sums : ndarray, shape (sentences, channels)

        Returns
        -------
        dict
            `sentences`, for each: `sentence`, `tokens`, `cosine` with float32, `nearest` of the others and its
            `similarity`, or None.
        """
        made = sums / np.linalg.norm(sums, axis=1, keepdims=True)
        exact = self.encoder.embed(self.sentences)
        similarity = made @ made.T
        np.fill_diagonal(similarity, -2)
        rows, counts = [], [len(row) for each in self.passes for row in each]
        for index, sentence in enumerate(self.sentences):
            nearest = int(similarity[index].argmax()) if len(self.sentences) > 1 else None
            rows.append(
                {
                    "sentence": sentence,
                    "tokens": counts[index],
                    "cosine": float(made[index] @ exact[index] / np.linalg.norm(exact[index])),
                    "nearest": None if nearest is None else self.sentences[nearest],
                    "similarity": None if nearest is None else float(similarity[index, nearest]),
                }
            )
        return {"sentences": rows, "mean_cosine": float(np.mean([row["cosine"] for row in rows]))}
