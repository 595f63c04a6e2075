"""What the scores of a model are called, and whether more or less is better."""

from dataclasses import dataclass

__all__ = ["Measure", "measure"]


@dataclass(frozen=True)
class Measure:
    """A measure of accuracy.

    Attributes
    ----------
    about : str
        One line.
    less : bool
        Whether less is better.
    """

    about: str
    less: bool = False


_MEASURES = {
    "cosine": Measure("mean cosine similarity of embeddings with those of FP32"),
    "lee": Measure("correlation of documents' similarities with people's ratings"),
    "perplexity": Measure("perplexity of a text", less=True),
    "nats": Measure("loss a token, natural logarithm of the perplexity", less=True),
    "correlation": Measure("correlation of saliency maps with those of FP32"),
    "iou": Measure("overlap of salient areas with those of FP32, intersection over union"),
}


def measure(name):
    """The measure of a score's name; of a name that is not known, more is better."""
    return _MEASURES.get(name, Measure(name))
