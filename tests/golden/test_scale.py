"""golden.scale: the step is that of every candidate tried in float64, bit for bit."""

from functools import partial

import numpy as np
import pytest

from bitloom.golden import scale, uniform
from bitloom.golden.olive import ovp
from bitloom.golden.workloads.comparison.integers import flint4
from bitloom.golden.workloads.quantize import FORMATS

RNG = np.random.default_rng(21)
#: Of a format: largest normal code, complete quantizer, whether the largest magnitude is tried.
FLINT = flint4()
QUANTIZERS = {
    **{f"int{bits}": ((1 << (bits - 1)) - 1, partial(uniform.round_trip, bits=bits), True) for bits in (4, 8)},
    **{f"ovp-{name}": (fmt.max_normal, partial(ovp.round_trip, fmt=fmt), False) for name, fmt in ovp.FORMATS.items()},
    "flint4": (ovp.FLINT4.max_normal, FLINT.round_trip, True),
}
SEARCHES = {name: FORMATS[name].search for name in QUANTIZERS if name in FORMATS} | {"flint4": FLINT.search}


def tried(row, top, round_trip, largest):
    """The step of one tensor: every candidate in float64, one after the other."""
    exponent = np.frexp(np.abs(row).max())[1]
    row = np.ldexp(row, -exponent)
    deviation = row.std(ddof=1) if row.size > 1 else 0.0
    bound = max(abs(row.mean() + 3 * deviation), abs(row.mean() - 3 * deviation))
    best, least = 1.0, np.inf
    for candidate in [np.abs(row).max()] * largest + [bound * percent / 100 for percent in scale.CANDIDATES]:
        step = candidate / top if candidate > 0 else 1.0
        error = np.square(round_trip(row / step)[..., : row.shape[-1]] * step - row).mean()
        if error < least:
            best, least = step, error
    return np.ldexp(best, exponent) if bound > 0 else 1.0


def rows(kind, shape):
    """Rows that make candidates close to each other, or on the borders of the quantizers."""
    if kind == "outliers":
        return RNG.normal(size=shape) * np.where(RNG.random(shape) < 0.02, 20, 1)
    if kind == "float32":
        return (RNG.normal(size=shape) * np.exp2(RNG.integers(-4, 5, shape[-1]))).astype(np.float32)
    if kind == "halves":
        return RNG.integers(-40, 41, shape) / 2
    if kind == "constant":
        return np.full(shape, 0.3) * RNG.integers(1, 9, (shape[0], *[1] * (len(shape) - 1)))
    if kind == "one":
        return np.where(np.arange(shape[-1]) == 1, 1e-30, 0.0) + np.zeros(shape)
    return RNG.normal(size=shape) * np.exp2(RNG.integers(-300, 300, (shape[0], *[1] * (len(shape) - 1))))


@pytest.mark.parametrize("kind", ["outliers", "float32", "halves", "constant", "one", "wide"])
@pytest.mark.parametrize("name", QUANTIZERS)
def test_the_step_is_that_of_float64(name, kind):
    for shape in ((4, 129), (2, 5, 16)):
        x = rows(kind, shape)
        wanted = [tried(row, *QUANTIZERS[name]) for row in x.astype(np.float64)]
        assert SEARCHES[name](x, 0).tolist() == wanted
    # A tensor of more than one part.
    x = rows(kind, (60, 300))
    assert SEARCHES[name](x, None) == tried(x.astype(np.float64), *QUANTIZERS[name])


def test_a_number_on_the_border_of_outliers_is_decided_in_float64():
    """One that is nearer to it than float32 tells: the candidate stays, however large its error is."""
    _, round_trip, _ = QUANTIZERS["ovp-int4"]
    border, steps = ovp.INT4.outlier_threshold, np.array([[1.0], [1.5]])
    x = np.ones((1, 1, 64))
    for number, stays in ((border * (1 + 2.0**-40), True), (border * (1 - 2.0**-40), True), (border + 0.5, False)):
        x[0, 0, 0] = 1.5 * number
        assert scale._contenders(x, steps, round_trip, border).tolist() == [[True], [stays]]
        assert scale._contenders(x, steps, round_trip, None).tolist() == [[True], [False]]


def test_the_oracle_tells_a_search_that_rounds_otherwise():
    x = rows("outliers", (7, 129))
    quantizer = QUANTIZERS["int4"]
    wrong = scale.search(x, quantizer[0], quantizer[1], 0, try_maximum=True, rough=lambda m: np.minimum(np.ceil(m), 7))
    assert wrong.tolist() != [tried(row, *quantizer) for row in x]
