"""golden.lvc, sevedo, decompose and sevedo_model: worked numbers, oracles in integers and fractions, files, MiniLM."""

import dataclasses
import io
import json
import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import toy_encoder
from click.testing import CliRunner
from oracles import float32, nearest

from bitloom.cli import program as cli
from bitloom.golden.sevedo import decompose, hgq, lvc
from bitloom.golden.sevedo import layer as sevedo
from bitloom.golden.workloads import safetensors, sevedo_model
from bitloom.golden.workloads.sentences import CALIBRATION, SENTENCES
from bitloom.golden.workloads.transformer import Encoder
from bitloom.testbench.sevedo import picture as sevedo_plot


def half(*codes):
    """FP16 numbers of bit patterns."""
    return np.array(codes, np.uint16).view(np.float16)


@pytest.fixture(scope="module")
def encoder():
    """The first layer of MiniLM."""
    whole = Encoder.load()
    linears = {name: linear for name, linear in whole.linears.items() if name.startswith("layer.0.")}
    return dataclasses.replace(whole, layers=1, linears=linears)


@pytest.fixture(scope="module")
def quantized(encoder):
    """Its SeVeDo layers, with one smoothing, and their report."""
    return sevedo_model.quantize(encoder, CALIBRATION, SENTENCES[:6], 32, smoothings=((0.6, 0),))


# -- oracles, from the text and not from the code ----------------------------------------------------------------------


def exact_half(value):
    """The rule of `to_half` (section 2.4)."""
    if abs(value) < Fraction(1, 1 << 14):
        return Fraction(0)
    return nearest(min(max(value, Fraction(-65504)), Fraction(65504)), 11, -24)


def fractions(row):
    """The values of FP16 numbers as the hardware takes them (section 7)."""
    values = []
    for number in row.tolist():
        number = 0.0 if math.isnan(number) else max(min(number, 65504.0), -65504.0)
        values.append(Fraction(0) if abs(number) < 2.0**-14 else Fraction(number))
    return values


def binary_exponent(value):
    """floor(log2(value)), exactly."""
    e = value.numerator.bit_length() - value.denominator.bit_length()
    return e - (value < Fraction(2) ** e)


def oracle_lvc(x, t):
    """(kx, qx, z, zq, u, t_lr) of one token (section 2.3)."""
    least = Fraction(1, 1 << 14)
    wide, narrow = x[: t.wide_channels], x[t.wide_channels :]
    a_n, a_w = (max([least, *map(abs, part)]) for part in (narrow, wide))
    kx = max(binary_exponent(a_n) - 6, binary_exponent(a_w) - 14)
    qx = []
    for k, value in enumerate(x):
        limit = 32767 if k < t.wide_channels else 127
        qx.append(min(max(round(value / Fraction(2) ** kx), -limit), limit))
    z = [sum(q * int(l1) for q, l1 in zip(qx, column, strict=True)) for column in t.l1.T.tolist()]
    zq = []
    for j, value in enumerate(z):
        h = t.shift + int(t.extra[j])
        limit = 32767 if j < t.wide_ranks else 127
        zq.append(min(max(math.floor(Fraction(value, 1 << h) + Fraction(1, 2)) if h else value, -limit), limit))
    u = [sum((q << int(c)) * l2 for q, c, l2 in zip(zq, t.extra, column, strict=True)) for column in t.l2.T.tolist()]
    scales = [Fraction(float(s)) for s in t.scales]
    terms = [float32(float32(Fraction(a)) * s) * Fraction(2) ** (kx + t.gain) for a, s in zip(u, scales, strict=True)]
    return kx, qx, z, zq, u, terms


def oracle_hgq(values, w, threshold):
    """(scales, shifts, codes) of a row of activations with the group sizes of `w` (section 3.3)."""
    values = values + [Fraction(0)] * (-len(values) % w.coarse)
    top = (1 << w.shift_bits) - 1
    scales, shifts, codes = [], [], []
    for start in range(0, len(values), w.coarse):
        group = values[start : start + w.coarse]
        a_c = max(map(abs, group))
        scales.append(max(nearest(a_c / 7, 11, -24), Fraction(1, 1 << 14)))
        for first in range(0, w.coarse, w.fine):
            part = group[first : first + w.fine]
            a_f = max(map(abs, part))
            e = sum(4 * a_f * 2**j <= threshold * a_c for j in range(1, top + 1))
            shifts.append(top - e)
            codes += [min(max(round(value * 2**e / scales[-1]), -7), 7) for value in part]
    return scales, shifts, codes


def oracle_linear(x, layer):
    """Output of one token (sections 2.2 to 2.4 and 3): smoothing, both paths, merge."""
    x = fractions(x)
    x = [x[channel] for channel in layer.order.tolist()]
    smooth = [exact_half(value * Fraction(float(s))) for value, s in zip(x, layer.smoothing, strict=True)]
    w = layer.residual
    scales, shifts, codes = oracle_hgq(smooth, w, layer.threshold)
    low = oracle_lvc(x, layer.low_rank)[-1]
    outputs = []
    for n in range(layer.shape[0]):
        y = Fraction(0)
        for c, scale in enumerate(scales):
            acc = 0
            for f in range(c * w.coarse // w.fine, (c + 1) * w.coarse // w.fine):
                part = slice(f * w.fine, (f + 1) * w.fine)
                dot = sum(a * int(b) for a, b in zip(codes[part], w.codes[n, part], strict=True))
                acc += dot << shifts[f] + int(w.shifts[n, f])
            y = float32(y + float32(acc * scale * Fraction(float(w.scales[n, c]))) / 4 ** ((1 << w.shift_bits) - 1))
        y = float32(y + low[n])
        outputs.append(exact_half(float32(y + Fraction(float(layer.bias[n])))))
    return outputs


# -- the worked example of section 8 -----------------------------------------------------------------------------------

X = np.array([7, -3.5, 0.5, 2, 0.875, -0.3125, 0.1875, 0, -1, 3, 0.25, -2.5, 0, 0, 0, 0], np.float16)
R = np.array(
    [
        [0.75, -0.5, 0.25, 0, 1.75, 0.625, -1.125, 0.375, 0.125, -0.25, 0.5, 0.0625, -0.875, 0.4375, 0.21875, 1],
        [-1, 0.3, 0.6, -0.2, 0.05, -0.1, 0.12, 0.02, 2, -1.5, 0.7, 0.1, 0.3, 0.2, -0.4, 0.25],
    ],
    np.float16,
)
L1 = np.array(
    [[127, -20, 5, 0, 3, 0, 0, 1, 10, -7, 2, 0, 0, 0, 4, 9], [-3, 40, 8, 1, 0, 0, 2, 0, 0, 25, 0, -12, 6, 0, 0, 0]]
).T.astype(np.int8)


def worked_tables():
    return lvc.LowRank(
        l1=L1,
        l2=np.array([[100, -64], [-30, 127]], np.int8),
        scales=np.array([1.5 * 2.0**-10, 1.25 * 2.0**-11], np.float16),
        extra=np.array([0, 2], np.uint8),
        shift=2,
        gain=-4,
        wide_channels=1,
        wide_ranks=1,
    )


def worked_layer(**changes):
    parts = {
        "order": np.arange(16, dtype=np.int32),
        "smoothing": np.ones(16, np.float16),
        "residual": hgq.quantize(R, 8, 4),
        "low_rank": worked_tables(),
        "bias": np.array([0.5, -0.25], np.float16),
    }
    return sevedo.SevedoLayer(**parts | changes)


def test_worked_example_of_the_low_rank_path():
    t = worked_tables()
    qx, kx = lvc.quantize_input(X, t.wide_channels)
    assert kx == -5
    assert qx.tolist() == [224, -112, 16, 64, 28, -10, 6, 0, -32, 96, 8, -80, 0, 0, 0, 0]
    z, zq = lvc.project(qx, t)
    assert z.tolist() == [29876, -1588] and zq.tolist() == [7469, -99]
    assert (zq << t.extra).tolist() == [7469, -396]
    assert ((zq << t.extra) @ t.l2.astype(int)).tolist() == [758780, -528308]
    terms = lvc.product(X, t)
    assert terms.dtype == np.float32 and terms.tolist() == [2.170886993408203, -0.6297922134399414]
    told = oracle_lvc(fractions(X), t)
    assert told[:5] == (-5, qx.tolist(), [29876, -1588], [7469, -99], [758780, -528308])


def test_worked_example_of_the_merge():
    layer = worked_layer()
    y = sevedo.residual(X[None], layer)
    assert [f"{code:08x}" for code in y.view(np.uint32)[0]] == ["40eea5c1", "c1612ec8"]
    merged = y + lvc.product(X[None], layer.low_rank) + layer.bias.astype(np.float32)
    # The specification prints 10.1286206, the sum before it is rounded to float32.
    assert merged[0].tolist() == [10.128620147705078, -14.953713417053223]
    assert merged[0].tolist() == pytest.approx([10.1286206, -14.9537134], abs=5e-7)
    outputs = sevedo.linear(X, layer)
    assert outputs.view(np.uint16).tolist() == [0x4910, 0xCB7A] and outputs.tolist() == [10.125, -14.953125]


# -- against the oracle ------------------------------------------------------------------------------------------------


def random_layer(rng, n, k, rank, wide_channels, wide_ranks, groups=(16, 4, 2), threshold=5):
    extra = rng.integers(0, 9, rank).astype(np.uint8)
    extra[:wide_ranks] = 0
    scale = 2.0 ** rng.uniform(-6, 6, (n, 1))
    return sevedo.SevedoLayer(
        order=rng.permutation(k).astype(np.int32),
        smoothing=(2.0 ** rng.uniform(-13, 13, k)).astype(np.float16),
        residual=hgq.quantize((rng.normal(size=(n, k)) * scale).astype(np.float16), *groups),
        low_rank=lvc.LowRank(
            l1=rng.integers(-127, 128, (k, rank)).astype(np.int8),
            l2=rng.integers(-127, 128, (rank, n)).astype(np.int8),
            scales=(2.0 ** rng.uniform(-13, 8, n)).astype(np.float16),
            extra=extra,
            shift=int(rng.integers(0, 17)),
            gain=int(rng.integers(-20, 4)),
            wide_channels=wide_channels,
            wide_ranks=wide_ranks,
        ),
        bias=sevedo.to_half(rng.normal(size=n)),
        threshold=threshold,
    )


@pytest.mark.parametrize(
    "sizes",
    [(5, 37, 4, 3, 2), (7, 32, 0, 0, 0), (6, 40, 6, 0, 0), (4, 33, 4, 33, 4), (3, 20, 3, 16, 1), (2, 1, 1, 0, 1)],
)
def test_layers_equal_exact_fractions(sizes):
    n, k, *_ = sizes
    rng = np.random.default_rng(sum(sizes))
    x = np.concatenate(
        [
            rng.integers(0, 1 << 16, (6, k)).astype(np.uint16).view(np.float16),
            rng.normal(size=(6, k)).astype(np.float16),
            (rng.normal(size=(4, k)) * 2.0 ** rng.integers(-9, 9, (4, k))).astype(np.float16),
            np.zeros((1, k), np.float16),
        ]
    )
    for threshold in (4, 5):
        layer = random_layer(rng, *sizes, threshold=threshold)
        outputs = sevedo.linear(x, layer)
        assert outputs.shape == (len(x), n) and outputs.dtype == np.float16
        terms = lvc.product(sevedo.arrange(x, layer), layer.low_rank)
        for row, values in enumerate(x):
            ordered = [fractions(values)[channel] for channel in layer.order]
            assert [Fraction(float(term)) for term in terms[row]] == oracle_lvc(ordered, layer.low_rank)[-1]
            assert [Fraction(float(value)) for value in outputs[row]] == oracle_linear(values, layer)
        assert not np.signbit(outputs[outputs == 0]).any()


# -- corner cases of section 7, by name --------------------------------------------------------------------------------


def test_nan_inf_and_subnormal_numbers_are_sanitized_for_both_paths():
    layer = worked_layer()
    odd, plain = X.copy(), X.copy()
    odd[[1, 2, 3, 4]] = half(0x7E00, 0x7C00, 0x03FF, 0xFC00)
    plain[[1, 2, 3, 4]] = 0, 65504, 0, -65504
    np.testing.assert_array_equal(sevedo.linear(odd, layer), sevedo.linear(plain, layer))


def test_smoothing_product_flushes_before_rounding_and_saturates():
    # 2**-13 * (0.5 - 2**-12) is below 2**-14, but would be rounded up to it.
    product = np.float32(half(0x0800)[0]) * np.float32(half(0x37FF)[0])
    assert product < 2.0**-14
    assert sevedo.to_half(product) == 0 and not np.signbit(sevedo.to_half(-product))
    assert sevedo.to_half(np.float32(2.0**-14)) == 2.0**-14
    assert sevedo.to_half(np.float32(60000) * np.float32(2)) == 65504


def test_rounding_right_shift_rounds_halves_up_also_for_negative_sums():
    t = dataclasses.replace(worked_tables(), shift=4, extra=np.zeros(2, np.uint8))
    qx = np.zeros((3, 16), np.int64)
    qx[0, 7], qx[1, 7], qx[2, 7] = -1592, -1588, 1592
    assert lvc.project(qx, t)[1][:, 0].tolist() == [-99, -99, 100]
    none = dataclasses.replace(t, shift=0)
    assert lvc.project(qx, none)[1][:, 0].tolist() == [-1592, -1588, 1592]


def test_zq_saturates_symmetrically():
    t = dataclasses.replace(worked_tables(), shift=0, extra=np.zeros(2, np.uint8))
    qx = np.zeros((2, 16), np.int64)
    qx[:, 0] = 32767, -32767
    assert lvc.project(qx, t)[1].tolist() == [[32767, -127], [-32767, 127]]


def test_an_outlier_beyond_256_times_the_narrow_values_costs_their_low_bits_only():
    x = np.array([512, 1, 0.25, -1], np.float16)
    qx, kx = lvc.quantize_input(x, 1)
    assert kx == -5 and qx.tolist() == [16384, 32, 8, -32]
    qx, kx = lvc.quantize_input(np.array([16, 1, 0.25, -1], np.float16), 1)
    assert kx == -6 and qx.tolist() == [1024, 64, 16, -64]


def test_rounding_up_to_a_power_of_two_saturates():
    qx, kx = lvc.quantize_input(half(0x3C00, 0x3FFF, 0xBFFF), 0)
    assert kx == -6 and qx.tolist() == [64, 127, -127]
    qx, kx = lvc.quantize_input(half(0x3FFF, 0x0000), 1)
    assert kx == -14 and qx.tolist() == [32752, 0]
    assert lvc.WIDE == 32767 and lvc.NARROW == 127


def test_all_narrow_or_all_wide_channels_zero():
    qx, kx = lvc.quantize_input(np.array([[4, 0, 0], [0, 4, 0], [0, 0, 0]], np.float16), 1)
    assert kx.tolist() == [2 - 14, 2 - 6, -14 - 6]
    assert qx.tolist() == [[16384, 0, 0], [0, 64, 0], [0, 0, 0]]
    extremes = lvc.quantize_input(np.array([[65504], [0]], np.float16), 0)[1]
    assert extremes.tolist() == [9, -20]


def test_the_integer_sum_is_rounded_to_float32_to_even():
    t = dataclasses.replace(
        worked_tables(),
        l1=np.eye(16, 2, dtype=np.int8),
        l2=np.array([[127, 127], [0, 1]], np.int8),
        scales=np.ones(2, np.float16),
        extra=np.zeros(2, np.uint8),
        shift=0,
        gain=0,
        wide_channels=2,
        wide_ranks=2,
    )
    ranks = 8
    wide = dataclasses.replace(
        t,
        l1=np.eye(16, ranks, dtype=np.int8),
        l2=np.array([[127] * 7 + [0], [127] * 7 + [3]], np.int8).T.copy(),
        extra=np.zeros(ranks, np.uint8),
        wide_channels=8,
        wide_ranks=ranks,
    )
    x = np.array([[2.0**15 - 16] * 7 + [1] + [0] * 8], np.float16)
    # The unit is 1, as the largest value is below 2**15.
    qx, kx = lvc.quantize_input(x, 8)
    assert kx == 0 and qx[0, :8].tolist() == [32752] * 7 + [1]
    exact = 32752 * 127 * 7
    assert exact > 1 << 24
    assert lvc.product(x, wide).tolist() == [[float(np.float32(exact)), float(np.float32(exact + 3))]]
    assert float(np.float32(exact + 3)) == exact + 4


def test_the_low_rank_path_makes_neither_subnormal_numbers_nor_inf():
    for gain, x in ((-32, 2.0**-14), (31, 65504)):
        t = dataclasses.replace(worked_tables(), gain=gain, shift=0, scales=np.array([2.0**-14, 65504], np.float16))
        terms = lvc.product(np.full((1, 16), x, np.float16), t)
        smallest = np.abs(terms[terms != 0]).min()
        assert np.isfinite(terms).all() and smallest >= np.finfo(np.float32).tiny


def test_zero_is_never_negative():
    layer = worked_layer(bias=np.zeros(2, np.float16))
    outputs = sevedo.linear(np.stack([np.zeros(16), -np.zeros(16)]).astype(np.float16), layer)
    assert outputs.view(np.uint16).tolist() == [[0, 0], [0, 0]]
    assert sevedo.to_half(np.array([-(2.0**-15), -0.0])).view(np.uint16).tolist() == [0, 0]


def test_output_overflow_saturates():
    assert sevedo.to_half(np.array([65520, 1e30, -1e30], np.float32)).tolist() == [65504, 65504, -65504]


def test_output_underflow_is_flushed_before_rounding():
    below = np.nextafter(np.float32(2.0**-14), np.float32(0))
    assert np.float16(below) == 2.0**-14
    assert sevedo.to_half(np.array([below, 2.0**-14, -below], np.float32)).tolist() == [0, 2.0**-14, 0]


def test_rank_0_has_no_low_rank_term():
    rng = np.random.default_rng(1)
    weight, x = rng.normal(size=(24, 40)), rng.normal(size=(9, 40)).astype(np.float16)
    layer = decompose.decompose(weight, np.zeros(24), x, 0, smoothings=((0, 0),), coarse=16, fine=4)
    assert layer.low_rank.rank == 0 and not lvc.product(x, layer.low_rank).any()
    y = hgq.matmul(hgq.quantize(x, 16, 4), hgq.quantize(weight.astype(np.float16), 16, 4))
    np.testing.assert_array_equal(sevedo.linear(x, layer), sevedo.to_half(y))


def test_the_order_of_the_sums_is_residual_low_rank_bias():
    # The low-rank term is below half a unit of the residual's sum, which the bias then cancels.
    one = np.eye(1, 16, dtype=np.float16)
    t = dataclasses.replace(
        worked_tables(),
        l1=np.ones((16, 2), np.int8),
        l2=np.array([[1], [0]], np.int8),
        scales=np.ones(1, np.float16),
        extra=np.zeros(2, np.uint8),
        shift=0,
        gain=-21,
        wide_channels=0,
    )
    layer = worked_layer(residual=hgq.quantize(28 * one, 8, 4), low_rank=t, bias=np.array([-6272], np.float16))
    assert sevedo.residual(224 * one, layer) == 6272 and lvc.product(224 * one, t) == 112 * 2.0**-20
    assert sevedo.linear(224 * one, layer) == 0


# -- proof of size -----------------------------------------------------------------------------------------------------


def tables_of(k, rank, wide_channels, shift=0):
    zeros = {"l1": np.zeros((k, rank), np.int8), "l2": np.zeros((rank, 1), np.int8), "extra": np.zeros(rank, np.uint8)}
    return lvc.LowRank(
        **zeros,
        scales=np.ones(1, np.float16),
        shift=shift,
        gain=0,
        wide_channels=wide_channels,
        wide_ranks=0,
    )


def test_sums_of_32_bits_are_proved():
    # The specification's examples; it prints 4.44e8 for the first, which is with K narrow channels, not K - 64.
    largest = tables_of(11008, 64, 64)
    assert (largest.l1.shape[0] - 64) * 127**2 + 64 * 32767 * 127 == 442_845_952
    assert pytest.approx(2.66e8, rel=2e-3) == 64 * 32767 * 127
    with pytest.raises(ValueError, match=r"the sums of x l1 must stay below 2\*\*31, not reach 2498904832"):
        tables_of(11008, 4, 560)
    with pytest.raises(ValueError, match=r"the sums of z l2 must stay below 2\*\*31, not reach 2151"):
        tables_of(64, 517, 0)
    tables_of(64, 516, 0)


# -- decomposition -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outliers():
    """A weight, and activations with 8 channels of 30 times the others' size."""
    rng = np.random.default_rng(7)
    n, k = 192, 256
    weight = rng.normal(size=(n, 12)) @ rng.normal(size=(12, k)) * 0.02 + rng.normal(size=(n, k)) * 0.02
    x = rng.normal(size=(96, k))
    channels = rng.choice(k, 8, replace=False)
    x[:, channels] *= 30
    return weight, x.astype(np.float16), channels


def test_the_parts_of_a_split_make_up_the_weight(outliers):
    weight, x, channels = outliers
    for smoothing in ((0, 0), (0.5, 0), (0.6, 0.4)):
        parts = decompose.split(weight, x, 16, (smoothing,))
        assert sorted(parts.order.tolist()) == list(range(256))
        assert set(channels) <= set(parts.order[:16].tolist()) and (np.diff(parts.order[16:]) > 0).all()
        smooth = parts.smoothing.astype(np.float64)
        whole = (parts.l1 @ parts.l2).T + parts.residual * smooth
        np.testing.assert_allclose(whole, weight[:, parts.order], atol=1e-12)
        peaks = np.take_along_axis(parts.l2, np.abs(parts.l2).argmax(axis=1)[:, None], axis=1)
        assert (peaks > 0).all()
        energy = np.linalg.svd(weight[:, parts.order] / smooth, compute_uv=False)
        assert np.square(parts.residual).sum() == pytest.approx(np.square(energy[16:]).sum())
        sizes = np.linalg.norm(parts.l2, axis=1)
        np.testing.assert_allclose(sizes, np.sqrt(energy[:16]))


def test_smoothing_is_the_rule_of_svdquant():
    weight = np.array([[1.0, -8, 0, 2], [0.5, 4, 0, 1]])
    x = np.array([[4, 1, 1, 0], [-16, 1, 2, 0]], np.float16)
    # A channel without activations has lambda 0, which counts as 1.
    assert decompose.split(weight, x, 0, ((0.5, 0),)).smoothing.tolist() == [0.25, 1, np.float16(0.5**0.5), 1]
    # A channel without weights makes lambda infinite: then there is no smoothing at all.
    assert decompose.split(weight, x, 0, ((0.5, 0.5),)).smoothing.tolist() == [1, 1, 1, 1]


def test_searched_smoothing_is_no_worse_than_none(outliers):
    weight, x, _ = outliers
    bias = np.zeros(len(weight))
    reference = x.astype(np.float64) @ weight.T
    errors = []
    for smoothings in (((0, 0),), decompose.SMOOTHINGS):
        layer = decompose.decompose(weight, bias, x, 16, smoothings=smoothings)
        errors.append(np.square(sevedo.linear(x, layer) - reference).sum() / np.square(reference).sum())
    assert errors[1] < 0.8 * errors[0] < 0.01


def test_wide_channels_matter_and_narrow_ranks_are_almost_free(outliers):
    # The specification's measurement in small: an exact low-rank path, 16 wide channels and 8 wide ranks, no wide one.
    weight, x, _ = outliers
    reference = x.astype(np.float64) @ weight.T
    parts = decompose.split(weight, x, 16, ((0, 0),))
    codes = hgq.quantize(sevedo.to_half(parts.residual))
    errors = {}
    for precision in decompose.PRECISIONS:
        tables = decompose.tables(parts, x, precision)
        assert (tables.wide_channels > 0, tables.wide_ranks > 0) == decompose.PRECISIONS[precision]
        layer = sevedo.SevedoLayer(parts.order, parts.smoothing, codes, tables, np.zeros(len(weight), np.float16))
        arranged = sevedo.arrange(x, layer)
        rest = sevedo.residual(arranged, layer)
        errors[precision] = np.linalg.norm(rest + lvc.product(arranged, tables) - reference)
    exact = np.linalg.norm(rest + arranged.astype(np.float64) @ parts.l1 @ parts.l2 - reference)
    assert exact < errors["both"] < 1.1 * exact
    assert errors["both"] < errors["channel"] < 1.1 * errors["both"]
    assert errors["int8"] > 1.3 * exact and errors["rank"] > 1.3 * exact


def test_tables_fit_their_calibration(outliers):
    weight, x, _ = outliers
    parts = decompose.split(weight, x, 16, ((0, 0),))
    for precision in decompose.PRECISIONS:
        t = decompose.tables(parts, x, precision)
        qx, _ = lvc.quantize_input(x[:, parts.order], t.wide_channels)
        z, zq = lvc.project(qx, t)
        shift = t.shift + t.extra.astype(int)
        unclipped = (z + (1 << shift >> 1)) >> shift
        np.testing.assert_array_equal(zq, unclipped)
        # One bit less would not fit: the shifts are the least.
        tight = (np.abs(z).max(axis=0) + (1 << np.maximum(shift - 1, 0) >> 1)) >> np.maximum(shift - 1, 0)
        limits = np.where(np.arange(16) < t.wide_ranks, 32767, 127)
        assert (tight[t.extra > 0] > limits[t.extra > 0]).all()
        assert np.abs(t.l1).max(axis=0).tolist() == [127] * 16 and np.abs(t.l2).max() == 127


def test_a_weight_of_zeros_and_one_of_low_rank():
    x = np.random.default_rng(2).normal(size=(9, 20)).astype(np.float16)
    layer = decompose.decompose(np.zeros((5, 20)), np.zeros(5), x, 3)
    assert not sevedo.linear(x, layer).any()
    weight = np.outer(np.arange(1, 6), np.linspace(-1, 1, 20))
    layer = decompose.decompose(weight, np.zeros(5), x, 3)
    reference = x.astype(np.float64) @ weight.T
    assert np.abs(sevedo.linear(x, layer) - reference).max() < 0.02 * np.abs(reference).max()


# -- files -------------------------------------------------------------------------------------------------------------


def small_layers():
    rng = np.random.default_rng(4)
    return {"b.c": random_layer(rng, 5, 37, 4, 3, 2), "a": worked_layer(), "r0": random_layer(rng, 3, 16, 0, 0, 0)}


def test_a_file_holds_layers_bit_for_bit(tmp_path):
    layers = small_layers()
    data = sevedo.to_bytes(layers)
    assert sevedo.to_bytes(dict(reversed(layers.items()))) == data
    file = tmp_path / "layers.npz"
    file.write_bytes(data)
    found = sevedo.load(file)
    assert sorted(found) == sorted(layers) and sevedo.to_bytes(found) == data
    x = np.random.default_rng(5).normal(size=(3, 37)).astype(np.float16)
    np.testing.assert_array_equal(sevedo.linear(x, found["b.c"]), sevedo.linear(x, layers["b.c"]))
    assert sevedo.linear(X, sevedo.load(io.BytesIO(data))["a"]).tolist() == [10.125, -14.953125]
    with np.load(file) as entries:
        assert entries["version"] == 1 and len(str(entries["sha256"])) == 64
        assert entries["a.residual"].tobytes() == hgq.pack(hgq.quantize(R, 8, 4))


def rewritten(file, hashed=True, **changes):
    """The file with other entries, its hash made right unless told otherwise."""
    with np.load(file) as entries:
        content = {key: entries[key] for key in entries.files}
    told = content.pop("sha256")
    content |= changes
    content = {key: table for key, table in content.items() if table is not None}
    sha256 = np.array(sevedo.content_hash(content)) if hashed else told
    np.savez(file, **content, sha256=sha256)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"a.gain": np.array(99)}, r"layer 'a': the gain must be -32 to 31, not 99"),
        ({"a.l1": np.zeros((16, 2), np.int16)}, "layer 'a': l1 must be int8, not int16"),
        ({"a.l1": np.full((16, 2), -128, np.int8)}, "layer 'a': l1 must hold -127 to 127"),
        ({"a.order": np.zeros(16, np.int32)}, "layer 'a': order must be a permutation of 0 to 15"),
        ({"a.smoothing": np.zeros(16, np.float16)}, r"layer 'a': a smoothing factor must be 2\*\*-14 to 65504"),
        ({"a.bias": np.full(2, np.nan, np.float16)}, "layer 'a': a bias must be"),
        ({"a.scales": np.zeros(2, np.float16)}, "layer 'a': a scale must be"),
        ({"a.extra": np.array([1, 2], np.uint8)}, "layer 'a': an extra shift must be 0 to 8, that of a wide rank 0"),
        ({"a.coarse": np.array(10)}, "layer 'a': the coarse group must be a multiple of the fine group 4, not 10"),
        ({"a.residual": np.zeros((2, 14), np.uint8)}, "layer 'a': a scale must be"),
        ({"a.wide_channels": np.array(17)}, "layer 'a': wide channels must be 0 to 16, not 17"),
        ({"a.threshold": np.array(9)}, "layer 'a': threshold must be 4 to 7, not 9"),
        ({"a.shift": None}, "layer 'a': 'a.shift"),
        ({"version": np.array(2)}, "has version 2 of the layer format, not 1"),
        ({"version": np.array("1_0")}, "is not a file of SeVeDo layers: 1_0 is not a whole number"),
        ({"a.shift": np.array(1.5)}, r"layer 'a': 1\.5 is not a whole number"),
        ({"version": None}, "is not a file of SeVeDo layers: 'version"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_files_with_illegal_layers_are_refused(tmp_path, changes, message):
    file = tmp_path / "layers.npz"
    file.write_bytes(sevedo.to_bytes(small_layers()))
    rewritten(file, **changes)
    with pytest.raises(ValueError, match=message) as error:
        sevedo.load(file)
    assert "layers.npz" in str(error.value) and "\n" not in str(error.value)


def test_a_file_that_does_not_match_its_hash_is_refused(tmp_path):
    file = tmp_path / "layers.npz"
    file.write_bytes(sevedo.to_bytes(small_layers()))
    rewritten(file, hashed=False, **{"a.gain": np.array(-3)})
    with pytest.raises(ValueError, match=r"layers.npz does not match its hash: its content has [0-9a-f]{64}, not "):
        sevedo.load(file)


def test_other_files_are_refused(tmp_path):
    file = tmp_path / "layers.npz"
    whole = sevedo.to_bytes(small_layers())
    flipped = bytearray(whole)
    flipped[whole.index(hgq.pack(hgq.quantize(R, 8, 4)))] ^= 1
    array = io.BytesIO()
    np.save(array, np.zeros(3))
    for data in (b"", b"no archive", whole[:-30], bytes(flipped), array.getvalue()):
        file.write_bytes(data)
        with pytest.raises(
            ValueError, match=r"layers\.npz is not a file of SeVeDo layers|does not match its hash"
        ) as error:
            sevedo.load(file)
        assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError):
        sevedo.load(tmp_path / "none.npz")


def test_output_channels_of_a_layer_are_those_of_the_whole():
    layer = random_layer(np.random.default_rng(6), 9, 37, 4, 3, 2)
    x = np.random.default_rng(7).normal(size=(5, 37)).astype(np.float16)
    part = sevedo.take(layer, slice(2, 5))
    assert part.shape == (3, 37)
    np.testing.assert_array_equal(sevedo.linear(x, part), sevedo.linear(x, layer)[:, 2:5])


# -- wrong requests ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"rank": 9}, "^the rank must be 0 to 8, the smaller side of 8 x 20, not 9$"),
        ({"rank": -1}, "^the rank must be 0 to 8, the smaller side of 8 x 20, not -1$"),
        ({"weight": np.full((8, 20), np.nan)}, r"^x must be finite, not nan at index \(0, 0\)$"),
        ({"bias": np.full(8, np.inf)}, r"^x must be finite, not inf at index \(0,\)$"),
        ({"bias": np.full(8, 7e4)}, "^bias: values from 7e.04 to 7e.04: the largest magnitude must be at most 65504"),
        ({"weight": np.full((8, 20), 7e4)}, "^values from 7e.04 to 7e.04: .* must be 0 or 6.10352e-05 to 65504, not"),
        ({"weight": np.full((8, 20), 1e-5)}, "^values from 1e-05 to 1e-05: .* must be 0 or 6.10352e-05 to 65504, not"),
        ({"bias": np.zeros(9)}, r"^bias must have shape \(8,\), not \(9,\)$"),
        ({"weight": np.zeros(20)}, r"^a weight must have two axes and a value, not shape \(20,\)$"),
        ({"weight": np.zeros((8, 0))}, r"^a weight must have two axes and a value, not shape \(8, 0\)$"),
        ({"x": np.zeros((0, 20), np.float16)}, r"^calibration activations must have 20 channels and a row"),
        ({"x": np.zeros((2, 20))}, "^x must be float16, not float64$"),
        ({"precision": "fp16"}, "^precision must be int8, rank, channel, both, not 'fp16'$"),
        ({"coarse": 100}, "^the coarse group must be a multiple of the fine group 16, not 100$"),
    ],
)
def test_wrong_requests_name_the_value(changes, message):
    parts = {"weight": np.ones((8, 20)), "bias": np.zeros(8), "x": np.ones((2, 20), np.float16), "rank": 2}
    with pytest.raises(ValueError, match=message):
        decompose.decompose(**parts | changes)


def test_activations_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"x must have 16 channels in its last axis, not shape \(3, 15\)"):
        sevedo.linear(np.zeros((3, 15), np.float16), worked_layer())


# -- MiniLM ------------------------------------------------------------------------------------------------------------


def test_query_key_and_value_are_stacked(encoder):
    assert sevedo_model.stacks(encoder) == {
        "layer.0.attention.qkv": [f"layer.0.attention.{part}" for part in ("query", "key", "value")],
        "layer.0.attention.output": ["layer.0.attention.output"],
        "layer.0.feed_forward.up": ["layer.0.feed_forward.up"],
        "layer.0.feed_forward.down": ["layer.0.feed_forward.down"],
    }


def test_activations_are_what_the_layers_see(encoder):
    seen = sevedo_model.activations(encoder, CALIBRATION[:2])
    assert list(seen) == list(encoder.linears)
    assert all(seen[name].shape[1] == layer.weight.shape[1] for name, layer in encoder.linears.items())
    assert seen["layer.0.attention.query"] is seen["layer.0.attention.key"]


def test_minilm_layers_keep_their_outputs(encoder, quantized):
    layers, report = quantized
    assert [row["name"] for row in report] == list(layers) == list(sevedo_model.stacks(encoder))
    assert [row["shape"] for row in report] == [[1152, 384], [384, 384], [1536, 384], [384, 1536]]
    assert [row["sqnr_db"] for row in report] == pytest.approx([20.2, 20.9, 23.8, 32.2], abs=0.5)
    name = "layer.0.feed_forward.up"
    x, layer = sevedo_model.activations(encoder, SENTENCES[:1])[name], layers[name]
    linear = encoder.linears[name]
    reference = x.astype(np.float64) @ linear.weight.T + linear.bias
    error = np.square(sevedo.linear(x.astype(np.float16), layer) - reference).mean()
    assert error < 0.01 * np.square(reference).mean()
    row = x[:1].astype(np.float16)
    part = sevedo.take(layer, slice(4))
    assert [Fraction(float(v)) for v in sevedo.linear(row, layer)[0, :4]] == oracle_linear(row[0], part)


def test_comparison_on_a_layer_of_minilm(encoder):
    told = []
    rows = sevedo_model.compare(
        encoder,
        CALIBRATION[:4],
        SENTENCES[:4],
        (16, 32),
        progress=lambda done, total, text: told.append((done, total)),
        smoothings=((0.6, 0),),
    )
    assert [row["name"] for row in rows] == list(encoder.linears) and told[-1] == (4, 4)
    methods = [*sevedo_model.BASELINES] + [
        sevedo_model.method(rank, precision) for rank in (16, 32) for precision in decompose.PRECISIONS
    ]
    for row in rows:
        assert list(row["sqnr_db"]) == list(row["bits"]) == methods
        assert row["sqnr_db"]["int4"] < row["sqnr_db"]["flat-128"] < row["sqnr_db"]["hgq-128/16"]
        assert row["sqnr_db"]["hgq-128/16"] < row["sqnr_db"]["flat-16"]
    means = {row["method"]: row for row in sevedo_model.summary(rows)}
    assert [means[name]["bits"] for name in ("flat-128", "hgq-128/16", "flat-16")] == pytest.approx([4.125, 4.25, 5])
    assert means["flat-16"]["sqnr_db"] < means["sevedo-r32-int8"]["sqnr_db"] < means["sevedo-r32-both"]["sqnr_db"]
    assert list(means["int4"]["kinds"]) == ["qkv", "attention_output", "feed_forward_up", "feed_forward_down"]
    ratios = [row["sqnr_db"]["flat-16"] for row in rows]
    assert means["flat-16"]["sqnr_db"] == pytest.approx(sum(ratios) / 6)
    assert means["flat-16"]["kinds"]["qkv"] == pytest.approx(sum(ratios[:3]) / 3)


def test_inputs_beyond_fp16_name_their_layer():
    loud = np.array([[1, -70000]], np.float32)
    model = SimpleNamespace(embed=lambda sentences, ops, batch: ops.linear("a.b", loud, np.ones((3, 2)), np.ones(3)))
    wanted = r"^inputs of a\.b: values from -7e.04 to 1: the largest magnitude must be at most 65504, not 7e.04$"
    with pytest.raises(ValueError, match=wanted):
        sevedo_model.activations(model, ["One."])


def test_ratios_that_do_not_exist_count_for_no_mean():
    rows = [
        {"kind": kind, "shape": [1, 2], "bits": {"a": 4}, "sqnr_db": {"a": ratio}}
        for kind, ratio in (("up", 20.0), ("up", None), ("down", None))
    ]
    assert sevedo_model.summary(rows) == [
        {"method": "a", "bits": 4, "sqnr_db": 20.0, "kinds": {"up": 20.0, "down": None}}
    ]


def test_weights_that_are_not_finite_and_ranks_that_are_too_large_name_their_layer(encoder):
    name = "layer.0.attention.key"
    weight = encoder.linears[name].weight.copy()
    weight[3, 5] = np.nan
    broken = dataclasses.replace(
        encoder, linears=encoder.linears | {name: dataclasses.replace(encoder.linears[name], weight=weight)}
    )
    for call in (
        lambda model, rank: sevedo_model.quantize(model, CALIBRATION[:1], SENTENCES[:1], rank),
        lambda model, rank: sevedo_model.compare(model, CALIBRATION[:1], SENTENCES[:1], (rank,)),
    ):
        with pytest.raises(
            ValueError, match=r"^layer.0.attention.key: weight: x must be finite, not nan at index \(3, 5\)$"
        ):
            call(broken, 16)
        with pytest.raises(ValueError, match=r"^layer.0.attention.qkv: the rank must be 0 to 384"):
            call(encoder, 385)


# -- command line ------------------------------------------------------------------------------------------------------


def bitloom(*words, status=0):
    """Run the command line in this process; its standard output, or the error's line."""
    result = CliRunner().invoke(cli.bitloom, [*map(str, words)], standalone_mode=False)
    if status == 0:
        assert result.exception is None, result.exception
        return result.output
    assert isinstance(result.exception, ValueError | cli.click.ClickException), result.exception
    assert "\n" not in str(result.exception)
    return str(result.exception)


def test_quantize_to_hgq(tmp_path):
    weight = np.random.default_rng(0).normal(size=(4, 200)).astype(np.float32)
    file, output = tmp_path / "w.safetensors", tmp_path / "q.safetensors"
    safetensors.save(file, {"a.weight": weight})
    text = bitloom("quantize", file, "--format", "hgq", "-o", output, "--json", tmp_path / "q.json")
    assert "an FP16 scale for 128, a 2-bit shift for 16" in text and "our choice" in text
    stored = safetensors.load(output)
    t = hgq.HgqTensor(*(stored[f"a.weight.{part}"] for part in ("codes", "shifts", "scales")), 200)
    assert t.codes.shape == (4, 256)
    noise = np.square(hgq.dequantize(t) - weight, dtype=np.float64).mean()
    report = json.loads((tmp_path / "q.json").read_text())
    assert report["format"] == "hgq" and report["tensors"][0]["mse"] == pytest.approx(noise)
    assert 18 < report["tensors"][0]["sqnr_db"] < 21
    first = output.read_bytes()
    bitloom("quantize", file, "--format", "hgq", "-o", output)
    assert output.read_bytes() == first
    bitloom("quantize", file, "--format", "hgq", "--coarse", "64", "--fine", "8", "-o", output)
    assert safetensors.load(output)["a.weight.scales"].shape == (4, 4)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--format", "hgq", "--coarse", "100"], "the coarse group must be a multiple of the fine group 16, not 100"),
        (["--format", "hgq", "--fine", "0"], "the fine group must be 1 or more, not 0"),
        (["--format", "hgq", "--rank", "8"], "--rank needs --format sevedo"),
        (["--format", "int4", "--coarse", "8"], "--coarse needs --format hgq or sevedo"),
        (["--format", "mxfp4", "--fine", "8"], "--fine needs --format hgq or sevedo"),
        (["--format", "sevedo"], "the format sevedo needs a model: there is no config.json beside"),
        (
            ["--format", "int3"],
            "unknown format 'int3': there are ovp-int4, ovp-flint4, ovp-int8, int4, int8, hgq, sevedo",
        ),
    ],
)
def test_wrong_requests_on_the_command_line(tmp_path, words, message):
    file = tmp_path / "w.safetensors"
    safetensors.save(file, {"a.weight": np.ones((4, 8), np.float32)})
    assert message in bitloom("quantize", file, *words, status=2)
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_weights_with_nan_on_the_command_line(tmp_path):
    file = tmp_path / "w.safetensors"
    safetensors.save(file, {"a.weight": np.full((4, 8), np.nan, np.float32)})
    message = bitloom("quantize", file, "--format", "hgq", status=2)
    assert "tensor 'a.weight': x must be finite, not nan at index (0, 0)" in message


def test_quantize_to_sevedo_and_compare_on_the_command_line(tmp_path):
    small = toy_encoder.write(tmp_path / "toy", layers=1) / "model.safetensors"
    encoder = Encoder.load(small.parent)
    output, report = tmp_path / "m.npz", tmp_path / "m.json"
    text = bitloom("quantize", small, "--format", "sevedo", "--rank", "8", "-o", output, "--json", report)
    assert "layer.0.attention.qkv" in text
    layers = sevedo.load(output)
    assert {layer.low_rank.rank for layer in layers.values()} == {8}
    told = json.loads(report.read_text())
    assert (told["rank"], told["precision"], told["coarse"], told["fine"]) == (8, "both", 128, 16)
    assert [row["name"] for row in told["layers"]] == [*sevedo_model.stacks(encoder)]
    assert "the rank must be 0 to 32" in bitloom(
        "quantize", small, "--format", "sevedo", "--rank", "500", "-o", tmp_path / "no.npz", status=2
    )
    assert not (tmp_path / "no.npz").exists()

    plot, measured = tmp_path / "c.png", tmp_path / "c.json"
    text = bitloom("evaluate", "formats", small, "--rank", "8", "--plot", plot, "--json", measured)
    assert "r8 MP" in text and "layer.0.feed_forward.down" in text and "attention_output" in text
    found = json.loads(measured.read_text())
    assert [row["name"] for row in found["layers"]] == list(encoder.linears)
    assert [row["method"] for row in found["means"]] == list(found["layers"][0]["sqnr_db"])
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert "a plot must end in .png, .svg, .pdf, not 'c.jpg'" in bitloom(
        "evaluate", "formats", small, "--plot", "c.jpg", status=2
    )

    names = {name: name for name in found["layers"][0]["sqnr_db"]}
    twice = [tmp_path / f"{i}.svg" for i in range(2)]
    for path in twice:
        sevedo_plot.draw(path, found["layers"], names)
    assert twice[0].read_bytes() == twice[1].read_bytes()


@pytest.mark.long
def test_whole_minilm_in_every_format():
    rows = sevedo_model.compare(Encoder.load(), CALIBRATION, SENTENCES)
    means = {row["method"]: row["sqnr_db"] for row in sevedo_model.summary(rows)}
    assert len(rows) == 36
    expected = {"int4": 12.2, "flat-128": 14.9, "hgq-128/16": 18.1, "flat-16": 19.6}
    expected |= {"sevedo-r16-both": 20.5, "sevedo-r32-both": 21.2, "sevedo-r64-both": 22.5}
    assert {name: means[name] for name in expected} == pytest.approx(expected, abs=0.15)
