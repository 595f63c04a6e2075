"""Pictures: one style, and the same picture as the same bytes. Here because `synth` and `testbench` both draw."""

import contextlib
import io
import os
from pathlib import Path

from . import caches, variables
from .files import atomic_write

__all__ = ["STYLE", "SUFFIXES", "check_suffix", "picture"]

# What makes the same picture the same bytes: no date, and names that are not drawn at random.
_METADATA = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
#: Kinds of picture.
SUFFIXES = tuple(_METADATA)
#: Matplotlib's settings.
STYLE = {"svg.hashsalt": "bitloom", "axes.spines.top": False, "axes.spines.right": False, "font.size": 9}


def check_suffix(path):
    """Refuse a picture that could not be drawn, before the work is done for it.

    Raises
    ------
    ValueError
        For another kind of picture.
    ModuleNotFoundError
        Without Matplotlib.
    """
    if Path(path).suffix not in SUFFIXES:
        raise ValueError(f"a plot must end in {', '.join(SUFFIXES)}, not {Path(path).name!r}")
    _matplotlib()


def _matplotlib():
    """Matplotlib, imported whatever the environment says; here, because it takes a second and few commands need it."""
    with variables.unset("MPL", "MATPLOTLIB"):
        # It keeps a list of the fonts.
        os.environ["MPLCONFIGDIR"] = str(caches.cache_dir("matplotlib"))
        import matplotlib.figure
    return matplotlib


@contextlib.contextmanager
def picture(path, width, height):
    """A Matplotlib figure to draw on in a `with` block; it is saved at the block's end, whole or not at all.

    Parameters
    ----------
    path : path
        Its suffix, one of `SUFFIXES`, decides the kind of picture.
    width, height : float
        Inches, 130 dots each.

    Raises
    ------
    ValueError
        For another suffix.
    """
    check_suffix(path)
    matplotlib = _matplotlib()
    with matplotlib.rc_context():
        # Whatever the user's own file of settings says.
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        figure = matplotlib.figure.Figure(figsize=(width, height), layout="constrained")
        yield figure
        buffer = io.BytesIO()
        suffix = Path(path).suffix
        figure.savefig(buffer, format=suffix[1:], dpi=130, metadata=_METADATA[suffix])
    atomic_write(path, buffer.getvalue())
