"""The arithmetic of every row against plain products of the numbers that its codes stand for, and what a pass costs."""

from dataclasses import replace

import numpy as np
import pytest

from bitloom.cores.catalogue import lookup
from bitloom.golden import anda, mx
from bitloom.golden.anda import tile as anda_tile
from bitloom.golden.olive import ovp
from bitloom.golden.sevedo import hgq, lvc
from bitloom.golden.sevedo import layer as sevedo
from bitloom.golden.workloads.comparison import account, apply, histogram, pairs, rows, subject
from bitloom.golden.workloads.quantize import sqnr_db
from bitloom.golden.workloads.transformer import Ops

RNG = np.random.default_rng(12)
#: Shapes (M, K, N): less than a group, a group and one more, several.
SHAPES = ((1, 5, 1), (3, 17, 5), (5, 130, 9), (4, 384, 40))
#: Schemes that are the same for every model and have no other path beside their codes.
PLAIN = [name for name in rows.ROWS if name not in ("anda", "sevedo")]


def drawn(m, k, n):
    """Activations with channels that stand out, and weights."""
    x = RNG.normal(size=(m, k)) * np.exp2(RNG.integers(-2, 3, k))
    return x.astype(np.float32), RNG.normal(scale=0.05, size=(n, k)).astype(np.float32)


def integers(codes, scheme):
    """What integer codes stand for, in units of their steps."""
    paired = scheme.parameters["a_format"].startswith("ovp-")
    values = ovp.values(codes.codes, ovp.FORMATS[scheme.parameters["a_format"][4:]]) if paired else codes.codes
    return values[:, : codes.shape[1]] * np.float64(codes.steps)[..., None]


def left(a, w, scheme):
    """What the codes of the activations stand for, float64."""
    if isinstance(a, pairs.GroupedPairs):
        values = ovp.values(a.codes, scheme.fmt) * a.scales[..., None].astype(float)
        return values.reshape(len(a.codes), -1)[:, : a.shape[1]]
    if isinstance(a, hgq.HgqTensor):
        return hgq.dequantize(a).astype(float)
    if isinstance(a, mx.MxTensor):
        return mx.dequantize(a).astype(float)
    if scheme.core == "anda-tile":
        return (anda.decode(anda.encode(a, w.mantissa)) if w.mantissa else a).astype(float)
    return integers(a, scheme)


def right(w, scheme):
    """What the codes of the second operand stand for, float64."""
    if scheme.core == "anda-tile":
        repeated = np.repeat(w.scales.astype(float), 128, axis=1)[:, : w.codes.shape[1]]
        return anda_tile.dequantize(w.codes, w.scales).astype(float) if w.mantissa is None else w.codes * repeated
    return left(w, None, scheme)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", PLAIN)
def test_products_are_those_of_the_numbers(name, shape):
    """The only difference is the rounding of sums to FP32 or FP16; where sums are integers there is none."""
    scheme = rows.ROWS[name].scheme()
    x, weight = drawn(*shape)
    step = scheme.step(x)
    kinds = [lambda: scheme.weights(weight, x, "qkv"), lambda: scheme.operand(weight, scheme.step(weight))]
    for make in kinds[: 1 + scheme.attends]:
        w = make()
        a = scheme.encode(x, step)
        y = scheme.restore(scheme.product(a, w), a, w)
        first, other = left(a, w, scheme)[:, : shape[1]], right(w, scheme)
        exact, size = first @ other.T, np.abs(first) @ np.abs(other).T
        allowed = 2.0**-10 * np.abs(exact) if scheme.core == "anda-tile" else 0
        assert y.dtype == np.float32 and y.shape == (shape[0], shape[2])
        assert (np.abs(y - exact) <= allowed + 2.0**-20 * size).all()
        assert scheme.shape(w) == (shape[2], shape[1])


@pytest.mark.parametrize("name", PLAIN)
def test_code_values_are_the_numbers_without_their_scales(name):
    scheme = rows.ROWS[name].scheme()
    x, weight = drawn(3, 130, 9)
    w = scheme.weights(weight, x, "qkv")
    values, numbers = scheme.code_values(w) * scheme.unit, right(w, scheme)[:, :130]
    assert values.shape == (9, 130) and ((values == 0) == (numbers == 0)).all()
    # What is left is the same in all of a row, or of each group along K.
    size = {"systolic-tile": 130, "nm-tile": 130, "anda-tile": 128, "hgq-tile": 16}.get(scheme.core)
    size = size or (scheme.format.block if scheme.core else scheme.group)
    for start in range(0, 130, size):
        top = np.abs(values[:, start : start + size]).max(axis=1)
        scales = np.abs(numbers[:, start : start + size]).max(axis=1) / np.maximum(top, 1e-9)
        part = np.abs(values[:, start : start + size] * scales[:, None])
        # Dequantized weights of fp16 are rounded.
        allowed = 2.0**-10 if name == "fp16" else 1e-6
        assert np.allclose(part, np.abs(numbers[:, start : start + size]), rtol=allowed, atol=0)


def test_histogram_counts_every_weight_and_keeps_the_small_values():
    class Wide:
        unit = 0.5

        def code_values(self, w):
            return w

    values = np.concatenate([np.arange(-200, 201), [-1000, 1000, 1000]])
    prepared = apply.Prepared(Wide(), {"first": values[:100].reshape(2, 50), "second": values[100:][None]}, {})
    bins = histogram.histogram(prepared)
    assert [value for value, _ in bins] == [value / 2 for value in range(-128, 128)]
    assert [bins[0], bins[-1]] == [(-64.0, 74), (63.5, 76)] and {count for _, count in bins[1:-1]} == {1}
    assert histogram.histogram(apply.Prepared(Wide(), {}, {})) == []


def test_sevedo_is_its_own_layer_and_without_ranks_plain_groups():
    scheme = rows.ROWS["sevedo"].scheme()
    x, weight = drawn(6, 96, 40)
    layer = scheme.weights(weight, x, "qkv")
    a = scheme.encode(x, None)
    residual = sevedo.residual(sevedo.arrange(a, layer), layer)
    term = lvc.product(sevedo.arrange(a, layer), layer.low_rank)
    assert (scheme.product(a, layer) == sevedo.to_half(residual + term)).all()
    w = scheme.operand(weight, None)
    wanted = hgq.matmul(hgq.quantize(sevedo.to_half(x)), hgq.quantize(sevedo.to_half(weight)))
    assert (scheme.product(a, w) == sevedo.to_half(wanted)).all()
    assert layer.low_rank.rank == 32 and w.low_rank.rank == 0
    # A rank that the layer cannot have is the largest that it can.
    assert scheme.weights(weight[:8], x, "qkv").low_rank.rank == 8


def test_flint4_without_pairs_has_no_outlier_and_no_victim():
    scheme = rows.ROWS["flint4"].scheme()
    x = np.linspace(-40, 40, 162, dtype=np.float32).reshape(2, 81)
    a = scheme.encode(x, np.float32(1))
    values = ovp.values(a.codes, ovp.FLINT4)[:, :81]
    grid = np.array([0, 1, 2, 3, 4, 6, 8, 16])
    assert (ovp.kinds(a.codes, ovp.FLINT4) == 0).all()
    # Each is a value of the type, and no other is nearer.
    assert np.isin(np.abs(values), grid).all() and (values * x >= 0).all()
    nearest = np.abs(np.minimum(np.abs(x), 16)[..., None] - grid).min(axis=-1)
    assert (np.abs(np.abs(values) - np.minimum(np.abs(x), 16)) == nearest).all()


class Layers(subject.Subject):
    """Two linear layers and an attention product between them."""

    def __init__(self):
        self.bias = np.ones(24, np.float32)
        self.linears = {name: subject.Linear(drawn(1, 24, 24)[1], self.bias, "qkv") for name in ("first", "second")}
        self.inputs, self.seen = drawn(10, 24, 1)[0], None

    def limited(self, inputs):
        return self

    def fingerprint(self):
        return ""

    def run(self, ops):
        first, second = self.linears.values()
        y = ops.linear("first", self.inputs, first.weight, first.bias)
        heads = y.reshape(10, 2, 12).transpose(1, 0, 2)
        scores = ops.matmul("scores", heads, heads.transpose(0, 2, 1))
        y = ops.matmul("context", scores, heads).transpose(1, 0, 2).reshape(10, 24)
        return ops.linear("second", ops.linear("outside", y, second.weight, self.bias), second.weight, second.bias)

    calibrate = run

    def scores(self, ops):
        self.seen = self.run(ops)
        return {"mean": float(np.mean(self.seen))}


def one(scheme, prepared, place, x):
    """A layer's product in a scheme."""
    a, w = scheme.encode(x, prepared.steps[place][0]), prepared.weights[place]
    return scheme.restore(scheme.product(a, w), a, w)


def test_a_product_without_noise_has_no_finite_ratio():
    entry = account.Entry("first", (1, 1, 1), 1, 1, 1, 8, 8, 1, signal=2.0, noise=0.0)
    assert entry.sqnr_db is None
    assert replace(entry, noise=0.02).sqnr_db == pytest.approx(20)


@pytest.mark.parametrize("name", ["int8", "hgq", "fp16", "2:8"])
def test_a_model_in_a_scheme_and_what_it_costs(name):
    scheme, model = rows.ROWS[name].scheme(), Layers()
    config = lookup(scheme.core).config(**scheme.parameters | rows.ROWS[name].size)
    prepared = apply.prepare(model, scheme)
    scores, entries = account.account(model, prepared, config)
    by_place = {entry.place: entry for entry in entries}
    attention = ["scores", "context"] if scheme.attends else []
    # A layer that is not compared is not counted.
    assert [*by_place] == ["first", *attention, "second"]
    assert by_place["first"].shape == (10, 24, 24) and by_place["first"].products == 5760
    if scheme.attends:
        # Two heads each.
        assert by_place["scores"].products == 2 * 10 * 12 * 10 and by_place["scores"].weights == 0
        codes = scheme.encode(drawn(10, 12, 1)[0], np.float32(1))
        w = scheme.operand(drawn(1, 12, 10)[1], np.float32(1))
        assert by_place["scores"].cycles == 2 * scheme.cycles(config, len(scheme.product(codes, w)), w)
    assert all(0 < entry.utilization <= 1 for entry in entries)
    # The same numbers without a count, and not those of floating point.
    assert model.scores(apply.operations(model, prepared)) == scores
    exact, got = model.run(Ops()), model.seen
    assert 0 < np.linalg.norm(got - exact) < (2 if name == "2:8" else 0.5) * np.linalg.norm(exact)
    # Noise is that of the products alone: the first one's, and, of attention, over both heads.
    first = model.linears["first"]
    plain, y = model.inputs @ first.weight.T, one(scheme, prepared, "first", model.inputs)
    assert by_place["first"].sqnr_db == pytest.approx(sqnr_db(np.sum(plain**2), np.sum((y - plain) ** 2)))
    if scheme.attends:
        heads = (y + model.bias).reshape(10, 2, 12).transpose(1, 0, 2)
        assert by_place["scores"].signal == pytest.approx(np.sum((heads @ heads.transpose(0, 2, 1)) ** 2))


def test_pairs_in_groups_have_a_searched_scale_each():
    scheme = rows.ROWS["ovp-int4-g32"].scheme()
    x = drawn(3, 70, 1)[0]
    codes = scheme.encode(x, None)
    assert codes.scales.shape == (3, 3) and codes.codes.shape == (3, 3, 16)
    groups = np.pad(x, ((0, 0), (0, 26))).reshape(3, 3, 32)
    for group, scale, packed in zip(
        groups.reshape(9, 32), codes.scales.ravel(), codes.codes.reshape(9, 16), strict=True
    ):
        assert scale == np.float16(ovp.search_scale(group, ovp.INT4))
        assert (packed == ovp.encode(group / float(scale), ovp.INT4)).all()
    # What is too small for an FP16 scale has the smallest.
    assert (scheme.encode(np.full((1, 40), 1e-9, np.float32), None).scales[0, 0]) == np.float16(2.0**-24)


def test_a_scheme_without_a_core_has_accuracy_alone():
    model = Layers()
    _, entries = account.account(model, apply.prepare(model, rows.ROWS["ovp-flint4-g32"].scheme()), None)
    assert [entry.place for entry in entries] == ["first", "scores", "context", "second"]
    assert {(e.cycles, e.peak, e.utilization) for e in entries} == {(None, None, None)}
    assert entries[0].products == 5760 and entries[0].weight_bits == 24 * 24 * 4.5


def test_a_product_may_be_made_by_somebody_else():
    scheme, model, seen = rows.ROWS["int8"].scheme(), Layers(), []
    prepared = apply.prepare(model, scheme)

    def product(place, a, w):
        seen.append(place)
        return 0 * scheme.product(a, w)

    model.run(apply.operations(model, prepared, product))
    assert seen == ["first", "scores", "scores", "context", "context", "second"]


def test_what_a_system_does_not_take_is_refused_by_name():
    class Wide(Layers):
        def run(self, ops):
            return ops.linear("first", np.full((2, 24), 1e6, np.float32), self.linears["first"].weight, self.bias)

    model = Wide()
    prepared = apply.prepare(model, rows.ROWS["hgq"].scheme())
    with pytest.raises(ValueError, match=r"^activations of first: .*65504"):
        model.run(apply.operations(model, prepared))
    with pytest.raises(NotImplementedError, match="anda-tile"):
        rows.ROWS["fp16"].scheme().operand(np.ones((1, 1)), None)
