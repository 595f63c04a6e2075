"""The product: against exact rational arithmetic with one rounding at a time, and the special values."""

from fractions import Fraction

import numpy as np
import pytest

from bitloom.golden import mx
from bitloom.golden.mx.product import NAN, flush

RNG = np.random.default_rng(27)


def to_float32(value):
    """A rational number as float32: to the nearest, ties to even, +0 below 2**-126; by integers alone."""
    if not value:
        return np.float32(0)
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    exponent -= size < Fraction(2) ** exponent
    unit = Fraction(2) ** (exponent - 23)
    rounded = round(size / unit) * unit  # Python rounds halves to even.
    if rounded < Fraction(2) ** -126:
        return np.float32(0)
    if rounded >= Fraction(2) ** 128:
        return np.float32(np.inf if value > 0 else -np.inf)
    return np.float32(float(rounded if value > 0 else -rounded))


def slow(x, w):
    """The product as the specification says it, one result at a time."""
    values = [mx.dequantize(t) / (1 if t.tensor_scale is None else np.float64(t.tensor_scale)) for t in (x, w)]
    block = x.format.block
    result = np.empty((len(values[0]), len(values[1])), np.float32)
    for m, row in enumerate(values[0]):
        for n, column in enumerate(values[1]):
            total = np.float32(0)
            for start in range(0, len(row), block):
                pairs = zip(row[start : start + block].tolist(), column[start : start + block].tolist(), strict=True)
                term = to_float32(sum((Fraction(a) * Fraction(b) for a, b in pairs), Fraction(0)))
                total = to_float32(Fraction(float(total)) + Fraction(float(term)))
            if x.tensor_scale is not None:
                scale = to_float32(Fraction(float(x.tensor_scale)) * Fraction(float(w.tensor_scale)))
                total = to_float32(Fraction(float(total)) * Fraction(float(scale)))
            result[m, n] = total
    return result


@pytest.mark.parametrize("spread", (0, 10))
@pytest.mark.parametrize("name", mx.FORMATS)
def test_against_rational_numbers(name, spread):
    x, w = (
        mx.quantize((RNG.normal(0, 1, (n, 150)) * np.exp2(RNG.integers(-spread, spread + 1, 150))), name)
        for n in (5, 6)
    )
    if x.tensor_scale is not None:
        # Their quotient by the tensor's scale would be rounded.
        x, w = (mx.MxTensor(t.format, t.codes, t.scales, t.k, np.float32(2.0**-9)) for t in (x, w))
    assert (mx.matmul(x, w) == slow(x, w)).all()


def test_tensor_scales_multiply_the_finished_sum_once():
    x, w = (mx.quantize(RNG.normal(0, 1, (4, 64)), "nvfp4") for _ in range(2))
    one = [mx.MxTensor(t.format, t.codes, t.scales, t.k, np.float32(1)) for t in (x, w)]
    scale = np.float32(x.tensor_scale * w.tensor_scale)
    assert (mx.matmul(x, w) == mx.matmul(*one) * scale).all()


@pytest.mark.parametrize("name", mx.FORMATS)
def test_nan_on_either_side(name):
    x, w = (mx.quantize(RNG.normal(0, 1, (3, 100)), name) for _ in range(2))
    scales = x.scales.copy()
    scales[1, 1] = x.format.nan_scale
    bad = mx.MxTensor(x.format, x.codes, scales, x.k, x.tensor_scale)
    assert np.isnan(mx.dequantize(bad)[1, x.format.block : 2 * x.format.block]).all()
    for result, good in ((mx.matmul(bad, w), mx.matmul(x, w)), (mx.matmul(w, bad).T, mx.matmul(w, x).T)):
        assert (result.view(np.uint32)[1] == 0x7FC00000).all()
        assert (np.delete(result, 1, 0) == np.delete(good, 1, 0)).all()


def test_small_and_large_numbers():
    fmt = mx.FORMATS["mxfp4"]
    codes = np.zeros((1, 64), np.uint8)
    codes[0, [0, 32]] = 2, 10  # 1 and -1

    def tensor(*scales):
        return mx.MxTensor(fmt, codes, np.array([scales], np.uint8), 64)

    assert mx.matmul(tensor(64, 127), tensor(64, 0))[0, 0] == 2.0**-126 and mx.matmul(tensor(63, 0), tensor(64, 0)) == 0
    assert mx.matmul(tensor(254, 0), tensor(254, 0)) == np.inf
    # Infinity less infinity.
    both = mx.MxTensor(fmt, np.where(codes == 10, 2, codes).astype(np.uint8), np.array([[254, 254]], np.uint8), 64)
    assert mx.matmul(tensor(254, 254), both).view(np.uint32) == 0x7FC00000
    zero = mx.matmul(tensor(127, 127), both.__class__(fmt, both.codes, np.array([[127, 127]], np.uint8), 64))
    assert zero == 0 and not np.signbit(zero)
    assert not np.signbit(flush(np.float32(-1e-39))) and np.isnan(NAN)


@pytest.mark.parametrize(
    ("x", "w"),
    [
        (((2, 32), "mxfp4"), ((2, 32), "mxint8")),
        (((2, 32), "mxfp4"), ((2, 31), "mxfp4")),
        (((2, 32), "mxfp4"), ((2, 2, 32), "mxfp4")),
    ],
)
def test_what_does_not_fit(x, w):
    with pytest.raises(
        ValueError, match="format and K of activations and of 2-axis weights must agree, not mxfp4 with"
    ):
        mx.matmul(*(mx.quantize(np.ones(shape), name) for shape, name in (x, w)))


def test_more_axes():
    x, w = mx.quantize(RNG.normal(0, 1, (2, 3, 40)), "mxfp6-e2m3"), mx.quantize(RNG.normal(0, 1, (4, 40)), "mxfp6-e2m3")
    flat = mx.MxTensor(x.format, x.codes.reshape(6, -1), x.scales.reshape(6, -1), x.k)
    assert (mx.matmul(x, w) == mx.matmul(flat, w).reshape(2, 3, 4)).all()
