"""Models that are compared, by the name that a user gives."""

from pathlib import Path

from ..causal import CausalModel
from ..saliency import SaliencyModel
from ..transformer import Encoder
from .causal_subject import CausalSubject
from .saliency_subject import SaliencySubject
from .sentence_subject import Sentences

__all__ = ["MODELS", "subject"]

# What reads a model of the installed wheel, or a user's of the same form.
_ENCODER = Encoder, Sentences
_CAUSAL = CausalModel, CausalSubject
_SALIENCY = SaliencyModel, SaliencySubject

#: Words that stand for models of installed wheels.
MODELS = {"minilm": _ENCODER, "smollm2": _CAUSAL, "vit-s": _SALIENCY}
_SUFFIXES = {".gguf": _CAUSAL, ".onnx": _SALIENCY}


def subject(name, inputs=None, tokens=None):
    """The model of a name.

    Parameters
    ----------
    name : str
        One of `MODELS`; a folder with config.json, model.safetensors and the tokenizer of a sentence encoder; a .gguf
        file of a language model; an .onnx file of a saliency model.
    inputs, tokens : int, optional
        As of `Subject.limited`.

    Returns
    -------
    Subject

    Raises
    ------
    ValueError, OSError
        As the model's `load`, and as `Subject.limited`.
    """
    path = Path(name)
    if name in MODELS:
        (reader, made), path = MODELS[name], None
    elif path.is_dir():
        reader, made = _ENCODER
    elif path.suffix in _SUFFIXES and path.exists():
        reader, made = _SUFFIXES[path.suffix]
    else:
        raise ValueError(
            f"no model {name!r}: give {', '.join(MODELS)}, a folder with config.json, a .gguf or an .onnx file"
        )
    return made(reader.load(path)).limited(inputs, tokens)
