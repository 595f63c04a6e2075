"""The rows of the comparison: one entry a system and format."""

import runpy
from collections.abc import Callable
from dataclasses import dataclass, replace

from ...olive import ovp
from .blocks import MxScheme
from .floats import AndaScheme, HalfScheme
from .groups import FlatScheme, HgqScheme
from .integers import IntegerScheme, flint4
from .lowrank import SevedoScheme
from .pairs import PairScheme
from .searched import SearchedAnda
from .sparse import SparseScheme

__all__ = ["ROWS", "Row", "lookup", "table"]


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes
    ----------
    name : str
    summary : str
        One line.
    scheme : callable
        Makes the `Scheme`.
    size : dict
        Parameters of the core beside `CoreScheme.parameters`: how large it is. Empty without a core.
    trained : str or None
        A folder with weights that were trained for the row, in place of the model's own.
    """

    name: str
    summary: str
    scheme: Callable
    size: dict
    trained: str | None = None


# 64 multipliers of each, but for Anda: 16 processing elements make 64 / (M + 1) products each in a cycle. Additions in
# floating point take as many cycles as blocks leave them, and dot products are pipelined: for clocks of FPGAs.
_ARRAY = {"rows": 8, "cols": 8, "block": 2, "pipeline": "free-running"}
_GROUPS = {"rows": 2, "cols": 2, "dot": 2, "adder": 5}
_SHORT = {"rows": 4, "cols": 2, "dot": 2, "adder": 3}
_BLOCKS = {"rows": 4, "cols": 4, "lanes": 4, "dot": 2}
_SERIAL = {"rows": 4, "cols": 4, "adder": 4}
_FLOATING = _SERIAL | {"adder": 3}
_MERGED = {"rows": 2, "cols": 2, "dot": 2, "adder": 5, "multiplier": "blocks"}


def _integers(name, summary, tile_format):
    return Row(name, summary, lambda: IntegerScheme(tile_format), _ARRAY)


def _pairs(name, summary, fmt):
    return Row(name, summary, lambda: PairScheme(fmt, 32), {})


_ALL = (
    Row("fp16", "FP16 activations, INT4 weights in groups of 128, FP32 sums, as on a GPU", HalfScheme, _FLOATING),
    _integers("int8", "8-bit integers, a step an output channel and a tensor", "int8"),
    _integers("int4", "4-bit integers, a step an output channel and a tensor", "int4"),
    Row("int4-g128", "4-bit integers, an FP16 scale for 128", lambda: FlatScheme(128), _GROUPS),
    Row("int4-g32", "4-bit integers, an FP16 scale for 32", lambda: FlatScheme(32, 8), _SHORT),
    Row("flint4", "flint4 without pairs (ANT's type)", lambda: IntegerScheme("ovp-flint4", flint4()), _ARRAY),
    _integers("ovp-int4", "outlier-victim pairs of INT4 (OliVe)", "ovp-int4"),
    _integers("ovp-flint4", "outlier-victim pairs of flint4 (OliVe)", "ovp-flint4"),
    _integers("ovp-int8", "outlier-victim pairs of INT8 (OliVe)", "ovp-int8"),
    _pairs("ovp-int4-g32", "outlier-victim pairs of INT4, an FP16 scale for 32", ovp.INT4),
    _pairs("ovp-flint4-g32", "outlier-victim pairs of flint4, an FP16 scale for 32", ovp.FLINT4),
    Row("anda", "mantissas by kind of layer that the search finds for 1 % (Anda)", SearchedAnda, _SERIAL),
    Row("anda-4", "mantissas of 4 bits, INT4 weights in groups of 128 (Anda)", lambda: AndaScheme(4), _SERIAL),
    Row("anda-8", "mantissas of 8 bits, INT4 weights in groups of 128 (Anda)", lambda: AndaScheme(8), _SERIAL),
    Row("hgq", "hierarchical groups of 128 and 16 (SeVeDo)", HgqScheme, _GROUPS),
    Row("sevedo", "hierarchical groups beside a low-rank path of rank 32, SVD-MP (SeVeDo)", SevedoScheme, _MERGED),
    Row("2:4", "INT8, 2 of 4 weights kept (SAT)", lambda: SparseScheme(2, 4), _ARRAY),
    Row("2:8", "INT8, 2 of 8 weights kept (SAT)", lambda: SparseScheme(2, 8), _ARRAY),
    Row("mxfp4", "OCP Microscaling, E2M1", lambda: MxScheme("mxfp4"), _BLOCKS | {"adder": 5}),
    Row("mxint8", "OCP Microscaling, 8-bit integers", lambda: MxScheme("mxint8"), _BLOCKS | {"adder": 5}),
    Row("nvfp4", "NVFP4", lambda: MxScheme("nvfp4"), _BLOCKS | {"adder": 3}),
)

#: The rows by name.
ROWS = {row.name: row for row in _ALL}


def table(more=None):
    """All rows by name.

    Parameters
    ----------
    more : str or Path, optional
        A user's Python file with a list `ROWS` of `Row`; it is run. A name that there is already stands for the user's.

    Returns
    -------
    dict of str to Row

    Raises
    ------
    ValueError
        When the file has no such list, or fails; names it.
    """
    if more is None:
        return ROWS
    try:
        rows = runpy.run_path(str(more))["ROWS"]
        return ROWS | {row.name: row for row in rows}
    except OSError:
        raise
    except KeyError:
        raise ValueError(f"{more} has no list ROWS of rows") from None
    except Exception as error:
        raise ValueError(f"{more}: {type(error).__name__}: {error}") from None


def lookup(name, more=None):
    """The row of a name.

    Parameters
    ----------
    name : str
        Of `table`; or ``ROW=FOLDER``, which is row ``ROW-trained``: ROW with the weights of FOLDER.
    more : str or Path, optional
        As of `table`.

    Returns
    -------
    Row

    Raises
    ------
    ValueError
        When there is no such row, and as `table`.
    """
    known, (base, _, folder) = table(more), name.partition("=")
    if base not in known:
        raise ValueError(f"unknown row {base!r}: there are {', '.join(known)}")
    row = known[base]
    if not folder:
        return row
    return replace(row, name=f"{base}-trained", summary=f"{row.summary}, trained: {folder}", trained=folder)
