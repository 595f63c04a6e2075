"""A safetensors file's weight matrices as codes."""

from .. import strict_json
from ..checks import finite, named
from . import layouts, safetensors
from . import quantize as formats

__all__ = ["codes_file", "quantize", "weights", "write"]


def weights(path, **patterns):
    """The weight matrices of a file, output channels first.

    Parameters
    ----------
    path : path-like
        A safetensors file.
    patterns : sequence of str
        `take`, `skip` and `transposed`, as of `layouts.choose`.

    Returns
    -------
    found : dict of str to ndarray, shape (N, K)
        By name, sorted.
    choices : dict of str to layouts.Choice
        What became of every tensor of the file and why, by name, sorted.

    Raises
    ------
    ValueError
        For a file that is not a safetensors file or holds no weight matrix, for NaN or Inf, naming the tensor, and for
        patterns that match nothing.
    """
    tensors = dict(sorted(safetensors.load(path).items()))
    with named(path):
        choices = layouts.choose(tensors, **patterns)
        taken = [name for name, choice in choices.items() if choice.taken]
        if not taken:
            raise ValueError(f"it holds no weight matrix: {layouts.summary(choices) or 'it is empty'}")
        for name in taken:
            with named(f"tensor {name!r}"):
                finite(tensors[name])
    return {name: tensors[name].T if choices[name].transposed else tensors[name] for name in taken}, choices


def codes_file(file, ending):
    """Where the codes of a safetensors file go if nobody says: its name may hold dots, of versions for instance.

    Parameters
    ----------
    file : Path
    ending : str
        In place of "safetensors".

    Returns
    -------
    Path
    """
    return file.with_name(f"{file.name.removesuffix('.safetensors')}.{ending}")


def quantize(path, fmt, progress=lambda done, total: None, **patterns):
    """Quantize every weight matrix of a file.

    Parameters
    ----------
    path : path-like
        A safetensors file.
    fmt : WeightFormat, HgqFormat or BlockFormat
        Format.
    progress : callable, optional
        Called with (done, total) in matrices.
    patterns : sequence of str
        As of `weights`.

    Returns
    -------
    report : dict
        `tensors`, one a matrix: `name`, `shape` and `transposed` as in the file, `why` it was taken, and what
        `quantize.error_report` gives; `left`, one for every other tensor: `name`, `shape` and `why`.
    tensors : dict
        `NAME.codes` and `NAME.steps`, or whatever `quantize.quantize_with_report` gives, of the matrix (N, K): of the
        transpose where the file holds (K, N).

    Raises
    ------
    ValueError
        As `weights`, and as `quantize.quantize_with_report`, naming the tensor.
    """
    matrices, choices = weights(path, **patterns)
    report, tensors = {"tensors": [], "left": []}, {}
    for name, choice in choices.items():
        row = {"name": name, "shape": [*choice.shape], "why": choice.why}
        if not choice.taken:
            report["left"].append(row)
            continue
        progress(len(report["tensors"]), len(matrices))
        with named(f"{path}: tensor {name!r} as {fmt.name}"):
            parts, errors = formats.quantize_with_report(matrices[name], fmt)
        report["tensors"].append({**row, "transposed": choice.transposed, **errors})
        tensors |= {f"{name}.{part}": tensor for part, tensor in parts.items()}
    progress(len(matrices), len(matrices))
    return report, tensors


def write(path, tensors, fmt, transposed=()):
    """Write codes and scales as a safetensors file.

    Its metadata hold the format's name, and as a JSON list the names of the matrices of which the codes are the
    transpose, if there are any.
    """
    about = {"bitloom.format": fmt.name, "bitloom.summary": fmt.summary}
    if transposed:
        about["bitloom.transposed"] = strict_json.dumps([*transposed])
    safetensors.save(path, tensors, about)
