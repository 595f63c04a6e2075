"""Models that are compared, by the name that a user gives."""

from pathlib import Path

from ..transformer import Encoder
from .subject import Sentences

__all__ = ["MODELS", "subject"]

#: Words that stand for models of installed wheels.
MODELS = ("minilm",)


def subject(name, inputs=None):
    """The model of a name.

    Parameters
    ----------
    name : str
        One of `MODELS`, or a folder with config.json and model.safetensors.
    inputs : int, optional
        So many of the inputs are measured on, the first ones; None: all.

    Returns
    -------
    Subject

    Raises
    ------
    ValueError, OSError
        As the model's `load`; and for a number of inputs that there are not.
    """
    if name not in MODELS and not Path(name).is_dir():
        raise ValueError(f"no model {name!r}: give {', '.join(MODELS)}, or a folder with config.json")
    return Sentences(Encoder.load(None if name in MODELS else name)).limited(inputs)
