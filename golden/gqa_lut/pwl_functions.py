"""The functions that piecewise-linear tables stand for, and expressions that a user gives.

GQA-LUT (DAC 2024) has GELU, HSWISH, EXP, DIV (1/x) and RSQRT (1/sqrt x); SiLU is in its public code. DIV and RSQRT span
the wide interval that the paper's multi-range scaling maps every input to. Their ``-normalized`` forms span one octave
and two: what a leading-one detector leaves (our choice; prior art: LUT-APP, DATE 2026). Slopes and intercepts have 5
fraction bits where they would not fit 8 bits otherwise, in DIV and RSQRT, else 6 as in the public code (our choice; the
paper's setup has 5 for all).
"""

import ast
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..checks import named, within

__all__ = ["FUNCTIONS", "GRID_STEP", "Function", "expression", "lookup"]

#: Distance of the points at which the genetic search compares (the paper's setup).
GRID_STEP = 0.01

_LONGEST = 200
_CONSTANTS = {"pi": math.pi, "e": math.e}
_CALLS = (
    "abs",
    "absolute",
    "add",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cbrt",
    "ceil",
    "clip",
    "cos",
    "cosh",
    "divide",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "floor",
    "heaviside",
    "hypot",
    "log",
    "log10",
    "log1p",
    "log2",
    "logaddexp",
    "logaddexp2",
    "maximum",
    "minimum",
    "multiply",
    "negative",
    "power",
    "reciprocal",
    "rint",
    "sign",
    "sin",
    "sinc",
    "sinh",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "trunc",
    "where",
)
# Of those that are no ufuncs.
_ARGUMENTS = {"clip": 3, "sinc": 1, "where": 3}
_OPERATORS = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
    ast.Pow: np.power,
    ast.Mod: np.mod,
    ast.FloorDiv: np.floor_divide,
    ast.USub: np.negative,
    ast.UAdd: np.positive,
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


@dataclass(frozen=True)
class Function:
    """A function of one real number, and the integer codes at which a table gives it.

    The code q stands for ``x = q * 2**-s``, or ``x = -q * 2**-s`` with `negate_input`; s is the scale.

    Parameters
    ----------
    name, text : str
        For people.
    call : callable
        Array of float64 to array of float64.
    low, high : float
        The interval of the genetic search.
    ends : tuple of float
        Outer ends of the outermost chords of the genetic search.
    bounds : tuple of float
        Where its breakpoints may be.
    first, last : int
        Smallest and largest code: -128 and 127, or within 0 to 255.
    scales : tuple of int
        Values of s that are of interest, 0 to 7.
    fraction_bits : int
        Fraction bits of slopes and intercepts.
    negate_input : bool
        As above.
    rounding : bool
        Whether the genetic search rounds breakpoints (rounding mutation); the paper does not for DIV and RSQRT.
    domain : tuple of float
        Codes whose x is outside count for nothing.
    """

    name: str
    text: str
    call: Callable
    low: float
    high: float
    ends: tuple
    bounds: tuple
    first: int = -128
    last: int = 127
    scales: tuple = tuple(range(8))
    fraction_bits: int = 6
    negate_input: bool = False
    rounding: bool = True
    domain: tuple = (-math.inf, math.inf)

    def __call__(self, x):
        """The function in float64."""
        return self.call(np.asarray(x, np.float64))

    def codes(self, s):
        """The codes that count at scale `s`, ascending, int64."""
        codes = np.arange(self.first, self.last + 1)
        x = self.inputs(codes, s)
        return codes[(self.domain[0] <= x) & (x <= self.domain[1])]

    def inputs(self, codes, s):
        """The real numbers that codes stand for at scale `s`."""
        return (-codes if self.negate_input else codes) * 2.0**-s

    def grid(self):
        """The points at which the genetic search compares: from `low` on in steps of `GRID_STEP`, without `high`."""
        return self.low + GRID_STEP * np.arange(math.ceil((self.high - self.low) / GRID_STEP - 1e-9))


def _gelu(x):
    # NumPy has no erf. This form has no cancellation in the negative tail.
    return 0.5 * x * np.vectorize(math.erfc, otypes=[np.float64])(x * -math.sqrt(0.5))


def _hswish(x):
    return x * np.clip(x + 3, 0, 6) / 6


def _silu(x):
    return x * np.exp(-np.logaddexp(0, -x))


def _rsqrt(x):
    return 1 / np.sqrt(x)


_TAILS = (-10000.0, 10000.0)
_UNSIGNED = {"first": 0, "last": 255}

#: By name. Intervals and bounds of the first six are those of the paper's public code, for 8 entries.
FUNCTIONS = {
    f.name: f
    for f in (
        Function("gelu", "x Phi(x)", _gelu, -4, 4, _TAILS, (-4, 4)),
        Function("hswish", "x min(max(x + 3, 0), 6) / 6", _hswish, -4, 4, _TAILS, (-4, 4)),
        Function("silu", "x / (1 + exp(-x))", _silu, -4, 4, _TAILS, (-4, 4)),
        Function("exp", "exp(x), x <= 0", np.exp, -8, 0, (-16, 0), (-8, 0), negate_input=True, **_UNSIGNED),
        Function(
            *("div", "1 / x, 0.5 <= x < 4", np.reciprocal, 0.5, 4, (0.5, 4), (0.625, 3.875)),
            **{"first": 16, "last": 127, "scales": (5,), "fraction_bits": 5, "rounding": False},
        ),
        Function(
            *("rsqrt", "1 / sqrt(x), 0.25 <= x < 4", _rsqrt, 0.25, 4, (0.25, 4), (0.25, 3.875)),
            **{"first": 8, "last": 127, "scales": (5,), "fraction_bits": 5, "rounding": False},
        ),
        Function(
            *("div-normalized", "1 / x, 1 <= x < 2", np.reciprocal, 1, 2, (1, 2), (1, 2)),
            **{"first": 128, "last": 255, "scales": (7,), "rounding": False},
        ),
        Function(
            *("rsqrt-normalized", "1 / sqrt(x), 1 <= x < 4", _rsqrt, 1, 4, (1, 4), (1, 4)),
            **{"first": 64, "last": 255, "scales": (6,), "rounding": False},
        ),
    )
}


def lookup(text, low=None, high=None, fraction_bits=None):
    """A known function by name, or an expression.

    Parameters
    ----------
    text : str
        A name in `FUNCTIONS`, or as of `expression`.
    low, high, fraction_bits : number, optional
        As of `expression`; a known function has its own.

    Raises
    ------
    ValueError
        As `expression`, and when a known function is given a range or fraction bits.
    """
    given = {"low": low, "high": high, "fraction_bits": fraction_bits}
    given = {name: value for name, value in given.items() if value is not None}
    if text not in FUNCTIONS:
        return expression(text, **given)
    if given:
        raise ValueError(f"{text} has a range and fraction bits of its own, only an expression takes others")
    return FUNCTIONS[text]


def expression(text, low=-4.0, high=4.0, fraction_bits=6):
    """A function from the text of a NumPy expression in ``x``.

    Allowed are numbers, ``x``, ``pi``, ``e``, arithmetic, comparisons, and a list of NumPy's elementwise functions,
    with or without ``np.`` before the name. Nothing else is looked up, so the text may come from anybody.

    Parameters
    ----------
    text : str
        At most 200 characters, such as ``np.tanh(x)`` or ``where(x > 0, x, 0.1 * x)``.
    low, high : float
        Range of x, within -128 to 127, or, where `low` is not negative, within 0 to 255. Input codes are signed where
        `low` is negative. Codes outside of the range count for nothing.
    fraction_bits : int
        Fraction bits of slopes and intercepts, 0 to 16: 8 bits with 6 of them reach from -2 to 1.98.

    Raises
    ------
    ValueError
        For another text, range or number of bits, and for a function that is not finite on its range, or beyond
        float32.
    """
    text = text.strip()
    call = _compiled(text)
    first, last = (-128, 127) if low < 0 else (0, 255)
    if not first <= low < high <= last:
        raise ValueError(f"the range must be within -128 to 127, or 0 to 255, and not empty, not {low} to {high}")
    if not 0 <= fraction_bits <= 16:
        raise ValueError(f"fraction bits must be 0 to 16, not {fraction_bits}")
    ends = (float(low), float(high))
    function = Function(text, text, call, *ends, ends, ends, first, last, fraction_bits=fraction_bits, domain=ends)
    scales = tuple(s for s in function.scales if function.codes(s).size)
    if not scales:
        raise ValueError(f"no 8-bit code is in the range {low} to {high} at any scale from 1 to 2**-7")
    for x in (np.array(ends), function.grid(), *(function.inputs(function.codes(s), s) for s in scales)):
        y = call(x)
        if not np.isfinite(y).all():
            at = np.flatnonzero(~np.isfinite(y))[0]
            raise ValueError(f"{text} must be finite on {low} to {high}, not {y[at]} at x = {x[at]:g}")
        # Its squares must be numbers, too.
        with named(f"{text} on {low} to {high}"):
            within(y, 0, np.finfo(np.float32).max)
    return Function(text, text, call, *ends, ends, ends, first, last, scales, fraction_bits, domain=ends)


def _compiled(text):
    """A callable of an array; it walks the syntax tree and evaluates only what `_check` lets pass."""
    refused = f"the function must be {', '.join(FUNCTIONS)} or a NumPy expression in x"
    if len(text) > _LONGEST:
        raise ValueError(f"{refused} of at most {_LONGEST} characters, not one of {len(text)}")
    try:
        with warnings.catch_warnings():
            # The parser warns of what it takes for a slip, such as ``1or x``.
            warnings.simplefilter("error")
            tree = ast.parse(text, mode="eval").body
        _check(tree)
        call = _caller(tree)
        call(np.ones(1))
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error) or type(error).__name__
        raise ValueError(f"{refused}, not {text!r}: {reason}") from None
    return call


def _caller(tree):
    def call(x):
        with np.errstate(all="ignore"):
            return np.broadcast_to(np.asarray(_evaluate(tree, x), np.float64), x.shape)

    return call


def _check(node):
    """Let a syntax tree pass that holds nothing but what `expression` allows."""
    operator, children = None, ()
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            if not abs(value) < 1 << 64:
                raise ValueError(f"the number {value:.3g} is too large")
        case ast.Name(id=name):
            if name != "x" and name not in _CONSTANTS:
                raise ValueError(f"the name {name!r} is unknown")
        case ast.Attribute(value=ast.Name(id="np" | "numpy"), attr=name) if name in _CONSTANTS:
            pass
        case ast.Call(func=function, args=children, keywords=[]):
            name = _called(function)
            if name not in _CALLS:
                raise ValueError(f"{ast.unparse(function)!r} is not a function that may be called")
            # One argument more would be the array that NumPy writes its result to.
            wanted = _ARGUMENTS.get(name) or getattr(np, name).nin
            if len(children) != wanted:
                raise ValueError(f"{name} takes {wanted} argument{'s' * (wanted > 1)}, not {len(children)}")
        case (
            ast.BinOp(left=left, op=operator, right=right) | ast.Compare(left=left, ops=[operator], comparators=[right])
        ):
            children = left, right
        case ast.UnaryOp(op=operator, operand=operand):
            children = (operand,)
        case _:
            raise ValueError(f"{ast.unparse(node)!r} is not allowed")
    if operator is not None and type(operator) not in _OPERATORS:
        raise ValueError(f"{ast.unparse(node)!r} is not allowed")
    for child in children:
        _check(child)


def _called(function):
    """Name of a called function, without ``np.``; None for any other form."""
    match function:
        case ast.Name(id=name) | ast.Attribute(value=ast.Name(id="np" | "numpy"), attr=name):
            return name
    return None


def _evaluate(node, x):
    match node:
        case ast.Constant(value=value):
            return np.float64(value)
        case ast.Name(id="x"):
            return x
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return np.float64(_CONSTANTS[name])
        case ast.Call(func=function, args=arguments):
            return getattr(np, _called(function))(*(_evaluate(argument, x) for argument in arguments))
        case ast.UnaryOp(op=op, operand=operand):
            return _OPERATORS[type(op)](_evaluate(operand, x))
        case ast.BinOp(left=left, op=op, right=right) | ast.Compare(left=left, ops=[op], comparators=[right]):
            return _OPERATORS[type(op)](_evaluate(left, x), _evaluate(right, x))
