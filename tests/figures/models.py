"""How fast the golden models are: beside a copy of their numbers, and beside the same product in floating point."""

import time
from types import SimpleNamespace

import numpy as np

from bitloom.golden import mx
from bitloom.golden.anda import planes
from bitloom.golden.gqa_lut import pwl
from bitloom.golden.olive import ovp
from bitloom.golden.sat import sparse
from bitloom.golden.sevedo import hgq
from bitloom.golden.systolic import tile

from .tables import Table, seconds

#: Rows and numbers in a row of a tensor, which is larger than the caches.
_SHAPE = 2048, 2048
#: M, K and N of the products.
_PRODUCT = 1024, 1024, 1024
_SHORT_PRODUCT = 128, 384, 384


def model_rates():
    """A row for each operation of each model, in processor time, so that other work on the machine counts little."""
    rng = np.random.default_rng(0)
    x = rng.normal(scale=4, size=_SHAPE).astype(np.float16)
    for operations in (_ovp, _anda, _hgq, _mx, _sparse, _pwl):
        for name, work, copied in operations(x, rng):
            taken, beside = _taken(work), _taken(lambda copied=copied: [numbers.copy() for numbers in copied])
            yield name, f"{x.size / taken / 1e6:.0f}", "copy", f"{taken / beside:.1f}"
    for name, work, shape in _products(rng):
        m, k, n = shape
        a, w = rng.normal(size=(m, k)), rng.normal(size=(n, k))
        taken, beside = _taken(work), _taken(lambda a=a, w=w: a @ w.T)
        yield f"{name} {m} x {k} x {n}", f"{m * k * n / taken / 1e6:.0f}", "BLAS", f"{taken / beside:.2f}"


def _taken(function):
    return seconds(function, time.process_time)


def _ovp(x, _):
    x = x.astype(np.float64)
    for fmt in ovp.FORMATS.values():
        yield f"ovp {fmt.name} encode", lambda fmt=fmt: ovp.encode(x, fmt), [x]
        codes = ovp.encode(x, fmt)
        yield f"ovp {fmt.name} decode", lambda fmt=fmt, codes=codes: ovp.decode(codes, fmt), ovp.decode(codes, fmt)
        yield f"ovp {fmt.name} round trip", lambda fmt=fmt: ovp.round_trip(x, fmt), [x]


def _anda(x, _):
    for mantissa in (5, 11):
        for rounding in planes.ROUNDINGS:
            name = f"anda, {mantissa} bits, encode, {rounding}"
            yield name, lambda m=mantissa, rounding=rounding: planes.encode(x, m, rounding), [x]
        t = planes.encode(x, mantissa)
        for decode, kind in ((planes.decode, "float64"), (planes.to_float16, "float16")):
            yield f"anda, {mantissa} bits, decode, {kind}", lambda t=t, decode=decode: decode(t), [decode(t)]


def _hgq(x, _):
    t = hgq.quantize(x)
    yield "hgq quantize", lambda: hgq.quantize(x), [x]
    yield "hgq dequantize", lambda: hgq.dequantize(t), [hgq.dequantize(t)]


def _mx(x, _):
    x = x.astype(np.float32)
    for name in mx.FORMATS:
        t = mx.quantize(x, name)
        yield f"{name} quantize", lambda name=name: mx.quantize(x, name), [x]
        yield f"{name} dequantize", lambda t=t: mx.dequantize(t), [mx.dequantize(t)]


def _sparse(x, rng):
    w = rng.integers(-128, 128, x.shape).astype(np.int8)
    for n, m in ((2, 4), (2, 8)):
        yield f"nm {n}:{m} select", lambda n=n, m=m: sparse.select(w, n, m), [w]
        kept = sparse.select(w, n, m)
        yield f"nm {n}:{m} expand", lambda kept=kept, m=m: sparse.expand(*kept, m), [sparse.expand(*kept, m)]


def _pwl(x, rng):
    narrow = pwl.shipped("gelu-8")[5]
    for width, table, s in ((8, narrow, 5), (16, pwl.widened(narrow, 5, 12), 12)):
        q = rng.integers(-1 << (width - 1), 1 << (width - 1), x.shape)
        shift = table.fraction_bits + s - 4
        yield (
            f"pwl int{width} evaluate",
            lambda q=q, table=table, s=s, shift=shift: pwl.evaluate(q, table, s, shift, -128, 127),
            [q],
        )


def _products(rng):
    for accumulator, shape in ((32, _PRODUCT), (24, _PRODUCT), (16, _SHORT_PRODUCT)):
        m, k, n = shape
        config = SimpleNamespace(a_format="int8", w_format="int8", accumulator=accumulator)
        a, w = (rng.integers(-128, 128, size).astype(np.int8) for size in ((m, k), (n, k)))
        yield f"int8 matmul, {accumulator} bits,", lambda a=a, w=w, config=config: tile.matmul(a, w, config), shape
    m, k, n = _PRODUCT
    x, weights = rng.normal(size=(m, k)).astype(np.float16), rng.normal(size=(n, k)).astype(np.float16)
    for fmt in ovp.FORMATS.values():
        a, w = ovp.encode(x, fmt), ovp.encode(weights, fmt)
        yield f"ovp {fmt.name} matmul", lambda a=a, w=w, fmt=fmt: ovp.matmul(a, fmt, w, fmt), _PRODUCT
    codes, scales = rng.integers(-8, 8, (n, k)), np.ones((n, k // planes.WEIGHT_GROUP), np.float16)
    yield "anda matmul", lambda: planes.encoded_matmul(x, 5, codes, scales), _PRODUCT
    left, right = hgq.quantize(x), hgq.quantize(weights)
    yield "hgq matmul", lambda: hgq.matmul(left, right), _PRODUCT
    for name in mx.FORMATS:
        pair = mx.quantize(x, name), mx.quantize(weights, name)
        yield f"{name} matmul", lambda pair=pair: mx.matmul(*pair), _PRODUCT
    kept = sparse.select(rng.integers(-128, 128, (m, k)).astype(np.int8), 2, 8)
    dense = rng.integers(-128, 128, (k, n)).astype(np.int8)
    yield "nm 2:8 matmul", lambda: sparse.matmul(*kept, dense), _PRODUCT


RATES = Table(
    "models",
    "golden models: million numbers or multiplications a second; in times of a NumPy copy, or of BLAS in float64",
    ("golden model", "million/s", "beside", "times"),
    model_rates,
    timed=("million/s", "times"),
)
