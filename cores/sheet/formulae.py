"""Latency and interval of every core as formulae in its parameters, for people; a test holds them to the catalogue.

A formula is an expression over the fields of the core's configuration. It may use `ceil`, `max`, `log2`, and `bits`,
the number of bits that a natural number takes; and the names that the sheet defines beside it.
"""

import math
from dataclasses import dataclass, field

__all__ = ["FORMULAE", "Case", "Cycles", "Formulae", "evaluate"]

_FUNCTIONS = {"ceil": math.ceil, "max": max, "log2": math.log2, "bits": int.bit_length}


@dataclass(frozen=True)
class Case:
    """A formula, and the condition under which it holds; the first case whose condition is true counts."""

    formula: str
    when: str = ""


@dataclass(frozen=True)
class Cycles:
    """A number of cycles: what it counts, in words, and its cases."""

    about: str
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Formulae:
    """Latency and initiation interval of a core, without stalls.

    Attributes
    ----------
    latency, interval : Cycles
    where : dict of str to tuple of Case
        Names that the formulae use beside the configuration's fields, in an order in which each needs only those
        before it.
    """

    latency: Cycles
    interval: Cycles
    where: dict[str, tuple[Case, ...]] = field(default_factory=dict)


def evaluate(cases, config, where=None):
    """Value of a formula for a configuration.

    Parameters
    ----------
    cases : sequence of Case
    config : Config
    where : dict of str to sequence of Case, optional
        As of `Formulae`.

    Raises
    ------
    ValueError
        If no case holds.
    """
    known = dict(config.to_dict())
    for name, definition in (where or {}).items():
        known[name] = _first(definition, known)
    return _first(cases, known)


def _first(cases, known):
    for case in cases:
        # The text is this file's own.
        if not case.when or eval(case.when, {"__builtins__": {}}, _FUNCTIONS | known):
            return eval(case.formula, {"__builtins__": {}}, _FUNCTIONS | known)
    raise ValueError(f"no case holds for {known}")


def _always(formula):
    return (Case(str(formula)),)


_TRANSFERS = Cycles("from a transfer on `i` to the next one", _always(1))
_INTEGERS = "a_format in ('int8', 'int4')"
_STATIONARY = "dataflow == 'weight-stationary'"
_PRODUCT = (Case("2", _INTEGERS), Case("4", "a_format == 'ovp-int8'"), Case("3"))
_RUNS = (Case("0", "pipeline == 'stalling' or pipeline == 'auto' and target not in ('ecp5', 'gowin')"), Case("1"))
_RESULTS = "edge + product + 2 + 2 * runs + ceil(rows / block) + ceil(cols / block)"
_LAST = "from the last transfer of a reduction to the `valid` of its first result"

FORMULAE = {
    "ovp-decoder": Formulae(Cycles("from a transfer on `i` to the `valid` of its values", _always(1)), _TRANSFERS),
    "ovp-encoder": Formulae(
        Cycles("from a transfer on `i` to the `valid` of its codes", (Case("4", "normal == 'int8'"), Case("3"))),
        _TRANSFERS,
    ),
    "systolic-tile": Formulae(
        Cycles(
            f"{_LAST}; weight-stationary: from a transfer on `a` in a reduction's last block to its results' `valid`",
            (Case("edge + product + rows + ceil(cols / block) + 1", _STATIONARY), Case(_RESULTS)),
        ),
        Cycles(
            "from a transfer on `a` to the next one",
            (Case("1", f"{_STATIONARY} or {_INTEGERS}"), Case("2")),
        ),
        {
            "product": _PRODUCT,
            "edge": (Case("0", _INTEGERS), Case("1", _STATIONARY), Case("2")),
            "runs": (Case("0", _STATIONARY), *_RUNS),
        },
    ),
    "gemm": Formulae(
        Cycles(
            "from a job of one step, or the last transfer that it loads, to the `valid` of its first result",
            _always(f"2 + {_RESULTS}"),
        ),
        Cycles("from a transfer on `a` or `w` that goes into a memory to the next one", _always(1)),
        {"product": _PRODUCT, "edge": (Case("0", _INTEGERS), Case("2")), "runs": _RUNS},
    ),
    "anda-compressor": Formulae(
        Cycles(
            "from the last transfer of a set to the `valid` of its first plane",
            (Case("group // width + 9", "rounding == 'nearest'"), Case("5")),
        ),
        _TRANSFERS,
    ),
    "anda-decompressor": Formulae(
        Cycles("from the last plane of a set to the `valid` of its first values", _always(5)), _TRANSFERS
    ),
    "anda-buffer": Formulae(
        Cycles("from a command that reads to the `valid` of its first plane", _always(3)),
        Cycles("from a command for one set with one plane to the next command", _always(3)),
    ),
    "anda-tile": Formulae(
        Cycles(_LAST, _always("term + adder + 2 + narrow")),
        Cycles(
            "from a transfer on `a` to the next one of its group, or of the next group where each has only one",
            (Case("1", "transfers > 1"), Case("max(transfers, share, adder + 1)")),
        ),
        {
            "term": (
                Case("12 + adder * ceil(log2(lanes))", "pe == 'fp16'"),
                Case("12"),
            ),
            "narrow": (Case("3", "output == 'fp16'"), Case("0")),
            "transfers": (
                Case("max_mantissa + 1", "pe == 'anda' and signs == 'inline'"),
                Case("max_mantissa", "pe == 'anda'"),
                Case("group // lanes", "pe == 'figna'"),
                Case("share"),
            ),
        },
    ),
    "hgq-quantizer": Formulae(
        Cycles(
            "from the last transfer of a coarse group to the `valid` of its first fine group",
            _always("levels + fine // lanes + 5"),
        ),
        _TRANSFERS,
        {"levels": _always("max(1, ceil(log2(lanes)))")},
    ),
    "hgq-dequantizer": Formulae(
        Cycles(_LAST, (Case("8 + adder", "scheme == 'hgq'"), Case("8"))),
        _TRANSFERS,
    ),
    "hgq-tile": Formulae(
        Cycles(
            _LAST,
            (Case("dot + 8 + adder", "scheme == 'hgq'"), Case("dot + 9", "scheme == 'flat'"), Case("dot + 8")),
        ),
        Cycles("from a transfer on `x` and `w` to the next one", _always(1)),
    ),
    "nm-selector": Formulae(
        Cycles("from the last transfer of a group to the `valid` of its first slot", _always(4)), _TRANSFERS
    ),
    "nm-tile": Formulae(
        Cycles(
            "from the last slot of a reduction to the `valid` of its first result",
            _always("4 + 2 * runs + ceil(rows / block) + ceil(cols / block)"),
        ),
        Cycles("from a slot on `w` to the next one", _always(1)),
        {"runs": _RUNS},
    ),
    "lvc": Formulae(
        Cycles(
            "from the last weights of a group of outputs to the `valid` of the first of them",
            _always("11 + ceil(log2(lanes) / 2)"),
        ),
        Cycles("from the weights of one block of ranks to those of the next group of outputs", _always("columns")),
    ),
    "sevedo-core": Formulae(
        Cycles(
            "from the last weights of a block of outputs to the `valid` of its first result, where the low-rank terms "
            "are there",
            _always("dot + adder + 23"),
        ),
        Cycles("from a transfer of the residual's weights on `w` to the next one", _always(1)),
    ),
    "pwl-unit": Formulae(
        Cycles(
            "from a code on `i` to the `valid` of its output",
            (
                Case("11", "kind == 'fp32' and specials"),
                Case("9", "kind == 'fp32'"),
                Case("1", "kind == 'rom'"),
                Case("4", "wide > 0"),
                Case("7", "table == 'none'"),
                Case("5"),
            ),
        ),
        _TRANSFERS,
    ),
    "softmax-unit": Formulae(
        Cycles(
            "from the only logit of a row to the `valid` of its probability; a row of length L takes L - 1 more",
            _always(22),
        ),
        _TRANSFERS,
    ),
    "layernorm-unit": Formulae(
        Cycles(
            "from the last element of a row to the `valid` of its first output",
            _always(24),
        ),
        _TRANSFERS,
    ),
    "mx-quantizer": Formulae(
        Cycles("from the last transfer of a block to the `valid` of its first codes", _always("levels + 6")),
        _TRANSFERS,
        {"levels": _always("max(1, ceil(log2(lanes)))")},
    ),
    "mx-tile": Formulae(
        Cycles(_LAST, (Case("dot + term + 4", "one"), Case("dot + term + sum + 3"))),
        Cycles("from a transfer on `x` and `w` to the next one", _always(1)),
        {
            "steps": (Case("16 // lanes", "format == 'nvfp4'"), Case("32 // lanes")),
            "one": _always("steps == 1 and share in (None, 1)"),
            "term": (Case("3", "format == 'nvfp4'"), Case("2")),
            "sum": (Case("adder", "adder"), Case("3", "steps > 3"), Case("steps - 1", "steps > 1"), Case("1")),
        },
    ),
    "requantizer": Formulae(
        Cycles("from a transfer of sums to the `valid` of its codes, where those of `residual` wait", _always(8)),
        _TRANSFERS,
    ),
    "machine": Formulae(
        Cycles("from the token of a pass with one job, the sum of `lanes` channels, to its first sum", _always(19)),
        Cycles("from such a token to the next one; real passes take thousands", _always("21 + lanes")),
    ),
}
