"""Quantization: every threshold and its neighbours, every scale, and two oracles that know nothing of each other."""

import functools

import gfloat
import ml_dtypes
import numpy as np
import pytest
from benches import passes, rehearse
from mx_cases import ELEMENTS, THEIRS

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.cores.mx.quantizer import MxQuantizer, MxQuantizerConfig
from bitloom.golden import mx
from bitloom.golden.mx import formats
from bitloom.golden.mx.quantizer import scale_values
from bitloom.golden.mx.rounding import encode, magnitude_codes
from bitloom.hdl.stream import codec
from bitloom.testbench.drive import drive
from bitloom.testbench.formal import prove_no_path

CORE = lookup("mx-quantizer")
RNG = np.random.default_rng(26)
POWERS = [name for name, fmt in mx.FORMATS.items() if not fmt.two_level]


def thresholds(element, kind):
    """Numbers of a type: all elements, the middles of neighbours, what is next to these, and what is beyond."""
    values = element.magnitudes[: element.largest_code + 1]
    middles = np.concatenate([(values[1:] + values[:-1]) / 2, [1.5 * values[-1]]])
    x = np.concatenate([values, middles]).astype(kind)
    x = np.concatenate([x, np.nextafter(x, kind(np.inf)), np.nextafter(x, kind(-np.inf)), [100, 1e30]]).astype(kind)
    return np.concatenate([x, -x])


@pytest.mark.parametrize("kind", (np.float32, np.float64))
@pytest.mark.parametrize("name", ELEMENTS)
def test_thresholds_ties_and_their_neighbours(name, kind):
    element, theirs, info = ELEMENTS[name]
    x = np.concatenate([thresholds(element, kind), RNG.normal(0, 2, 2000).astype(kind)])
    codes = encode(x, element)
    modes = {"rnd": gfloat.RoundMode.TiesToEven, "sat": True}
    expected = [gfloat.encode_float(info, gfloat.round_float(info, float(v), **modes)) for v in x]
    magnitude = (1 << element.bits - 1) - 1
    if name == "int8":
        # The standard allows -128; we never make it.
        expected = np.where(np.array(expected) == 128, 129, expected)
        assert (codes == expected).all()
    else:
        assert (codes & magnitude == np.array(expected) & magnitude).all()
        assert (codes >> element.bits - 1 == np.signbit(x)).all()
        largest = element.magnitudes[element.largest_code]
        # ml_dtypes rounds from float32; a float64 that is no float32 would be rounded twice.
        if kind is np.float32:
            assert (codes == np.clip(x, -largest, largest).astype(theirs).view(np.uint8)).all()


def test_block_scales_of_nvfp4():
    x = np.abs(thresholds(formats.E4M3, np.float64))
    x = np.concatenate([x, np.abs(RNG.normal(0, 60, 5000))])
    ours = magnitude_codes(x, formats.E4M3)
    info = gfloat.formats.format_info_ocp_e4m3
    modes = {"rnd": gfloat.RoundMode.TiesToEven, "sat": True}
    assert ours.tolist() == [
        gfloat.encode_float(info, gfloat.round_float(info, min(float(v), 448), **modes)) for v in x
    ]
    exact = x.astype(np.float32) == x
    theirs = np.minimum(x[exact], 448).astype(np.float32).astype(ml_dtypes.float8_e4m3fn)
    assert (ours[exact] == theirs.view(np.uint8)).all()


def test_worked_numbers():
    x = [0, 0.3, -0.5, 1, 1.25, 1.75, 2.5, -5, 7] + [0] * 23
    t = mx.quantize(x, "mxfp4")
    assert t.scales.tolist() == [127]
    assert t.codes[:10].tolist() == [0, 1, 9, 2, 2, 4, 4, 14, 7, 0] and not t.codes[10:].any()


@pytest.mark.parametrize("name", POWERS)
@pytest.mark.parametrize("kind", (np.float16, np.float32))
def test_scales_are_powers_that_are_floors(name, kind):
    """Every exponent that the type has, subnormal numbers too, and the numbers just below the next one."""
    fmt = mx.FORMATS[name]
    info = np.finfo(kind)
    least = int(np.log2(info.smallest_subnormal))
    powers = np.ldexp(kind(1), np.arange(least, info.maxexp)).astype(kind)
    largest = np.concatenate([powers, np.nextafter(powers[1:], kind(0)), [info.max]])
    x = np.zeros((len(largest), fmt.block), kind)
    x[:, 5] = largest * RNG.choice([-1, 1], len(largest)).astype(kind)
    t = mx.quantize(x, name)
    exponents = np.clip(np.frexp(largest.astype(np.float64))[1] - 1 - fmt.element.emax, -127, 127)
    assert (t.scales[:, 0] == exponents + 127).all()
    quotients = largest / np.ldexp(1.0, exponents)
    assert (quotients < 2 ** (fmt.element.emax + 1)).all()
    assert (mx.quantize(np.zeros(32, kind), name).scales == 0).all()


@pytest.mark.parametrize("name", POWERS)
def test_blocks_as_gfloat_has_them(name):
    """Its own scale, from the largest magnitude, and its own values."""
    info, fmt = THEIRS[name], mx.FORMATS[name]
    x = (RNG.normal(0, 1, (200, fmt.block)) * np.exp2(RNG.integers(-20, 20, (200, 1)))).astype(np.float32)
    values = mx.dequantize(mx.quantize(x, name))
    modes = {"compute_scale": gfloat.compute_scale_amax, "round": gfloat.RoundMode.TiesToEven}
    theirs = np.array([gfloat.quantize_block(info, row.astype(float), **modes) for row in x])
    # The standard allows the integer -128, which is -2; we never make it.
    power = np.exp2(np.floor(np.log2(np.abs(x).max(axis=1, keepdims=True))))
    theirs = np.where((name == "mxint8") & (theirs == -2 * power), -127 / 64 * power, theirs)
    assert (values == theirs).all()


@pytest.mark.parametrize("name", mx.FORMATS)
def test_every_code_with_every_scale(name):
    fmt = mx.FORMATS[name]
    element, theirs, _ = ELEMENTS[fmt.element.name]
    scales = np.arange(fmt.nan_scale + 1, dtype=np.uint8)
    codes = np.arange(1 << element.bits, dtype=np.uint8)
    codes = np.resize(codes, -(-len(codes) // fmt.block) * fmt.block)
    shape = len(scales), len(codes)
    tensor_scale = np.float32(0.37) if fmt.two_level else None
    whole = mx.MxTensor(
        fmt,
        np.broadcast_to(codes, shape),
        np.repeat(scales[:, None], shape[1] // fmt.block, 1),
        len(codes),
        tensor_scale,
    )
    values = mx.dequantize(whole)
    kind = ml_dtypes.float8_e4m3fn if fmt.two_level else ml_dtypes.float8_e8m0fnu
    factors = scales.view(kind).astype(float) * (1 if tensor_scale is None else np.float64(tensor_scale))
    single = codes.view(theirs).astype(float) if theirs else codes.view(np.int8) / 64
    assert np.array_equal(values, factors[:, None] * single, equal_nan=True)
    assert np.isnan(values[-1]).all() and not np.isnan(values[:-1]).any()
    assert np.array_equal(np.signbit(values[:-1]), np.signbit(factors[:-1, None] * single))
    # What is quantized again is the same, where the block holds its largest element and the scale is one that is made.
    if not fmt.two_level and theirs:
        made = scales[1:][scales[1:] <= 254 - element.emax]
        again = mx.quantize(values[made], name)
        assert (again.codes == np.broadcast_to(codes, shape)[made]).all() and (made == again.scales.T).all()


def test_nvfp4_by_the_formulas():
    x = (RNG.normal(0, 1, (20, 100)) * np.exp(RNG.normal(0, 2, (20, 1)))).astype(np.float32)
    x[3, 16:32] = 0
    t = mx.quantize(x, "nvfp4")
    padded = np.pad(x, ((0, 0), (0, 12))).reshape(20, 7, 16).astype(np.float64)
    scale = np.float32(np.abs(x).max()) / np.float32(2688)
    assert t.tensor_scale == scale and t.tensor_scale.dtype == np.float32
    blocks = np.minimum(np.abs(padded).max(axis=-1) / (6 * np.float64(scale)), 448)
    assert (t.scales == blocks.astype(ml_dtypes.float8_e4m3fn).view(np.uint8)).all()
    steps = t.scales.view(ml_dtypes.float8_e4m3fn).astype(np.float64) * np.float64(scale)
    quotients = padded / np.where(steps, steps, 1)[..., None] * (steps != 0)[..., None]
    nearest = np.abs(np.abs(quotients)[..., None] - formats.E2M1.magnitudes).min(axis=-1)
    chosen = formats.E2M1.magnitudes[t.codes & 7].reshape(padded.shape)
    assert (np.abs(chosen - np.abs(quotients)) == nearest).all()
    assert (t.codes[3, 16:32] == 0).all() and t.scales[3, 1] == 0


def _nvfp4(x, rounded=True, two_level=True):
    """Codes and scales of NVFP4, with one of the two mistakes that products have shipped."""
    scale = np.float64(np.float32(np.abs(x).max()) / np.float32(2688)) if two_level else 1.0
    exact = np.abs(x.reshape(-1, 16).astype(np.float64)).max(axis=-1) / 6 / scale
    stored = np.minimum(exact, 448).astype(ml_dtypes.float8_e4m3fn)
    step = (stored.astype(np.float64) if rounded else exact) * scale
    codes = encode(x.reshape(-1, 16) / step[:, None], formats.E2M1)
    return codes.reshape(x.shape), stored.view(np.uint8).reshape(*x.shape[:-1], -1)


def test_mistake_of_dividing_by_the_unrounded_block_scale():
    x = RNG.normal(0, 1, (8, 64)).astype(np.float32)
    t = mx.quantize(x, "nvfp4")
    right, wrong = _nvfp4(x), _nvfp4(x, rounded=False)
    assert (t.codes == right[0]).all() and (t.scales == right[1]).all()
    assert (t.codes != wrong[0]).any() and (t.scales == wrong[1]).all()


def test_mistake_of_leaving_out_the_tensor_scale():
    x = (1e-4 * RNG.normal(0, 1, (8, 64))).astype(np.float32)
    t = mx.quantize(x, "nvfp4")
    with np.errstate(divide="ignore", invalid="ignore"):
        wrong = _nvfp4(np.where(x, x, np.float32(1e-6)), two_level=False)
    assert (t.scales > 8).all() and (wrong[1] != t.scales).all()
    error = np.abs(mx.dequantize(t) - x).max()
    assert error < np.abs(x).max() / 5


@pytest.mark.parametrize("name", mx.FORMATS)
@pytest.mark.parametrize("shape", [(1,), (33,), (2, 31), (2, 3, 65), (0, 4)])
def test_shapes(name, shape):
    fmt = mx.FORMATS[name]
    x = RNG.normal(0, 1, shape).astype(np.float32)
    if not x.size:
        with pytest.raises(ValueError, match=r"values along K, not the shape \(0, 4\)"):
            mx.quantize(x, name)
        return
    t = mx.quantize(x, name)
    blocks = -(-shape[-1] // fmt.block)
    assert t.codes.shape == (*shape[:-1], blocks * fmt.block) and t.scales.shape == (*shape[:-1], blocks)
    assert (t.codes.dtype, t.scales.dtype) == (np.uint8, np.uint8)
    assert mx.dequantize(t).shape == shape
    assert (t.tensor_scale is None) != fmt.two_level
    # Half of the widest gap of elements; the largest of a block may saturate.
    error = np.abs(mx.dequantize(t) - x)
    steps = np.repeat(scale_values(t), fmt.block, axis=-1)[..., : shape[-1]]
    assert (error <= steps * 2.0**fmt.element.emax).all()


def test_float64_is_rounded_to_float32_first_and_integers_are_taken():
    x = np.array([2.5 + 2.0**-40, 6.0])
    assert mx.quantize(x, "mxfp4").codes[0] == mx.quantize(np.float32([2.5, 6]), "mxfp4").codes[0] == 4
    assert mx.quantize([1, -2, 3], "mxint8").codes[:3].tolist() == [32, 192, 96]
    assert mx.quantize(np.float16([1, -2, 3]), "mxint8").codes[:3].tolist() == [32, 192, 96]


@pytest.mark.parametrize("name", mx.FORMATS)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([1.0, np.nan], r"x must be finite, not nan at index \(1,\)"),
        ([[1.0, 2], [-np.inf, 0]], r"x must be finite, not -inf at index \(1, 0\)"),
        (1.0, r"values along K, not the shape \(\)"),
        ([1e39], r"the largest magnitude must be at most 3.40282e\+38, not 1e\+39"),
        ([1j], "x must hold real numbers, not complex128"),
        (["a"], "x must hold real numbers, not <U1"),
    ],
)
def test_wrong_input(name, x, message):
    with pytest.raises(ValueError, match=message):
        mx.quantize(x, name)


def test_numbers_too_small_for_the_tensor_scale():
    with pytest.raises(ValueError, match=r"must be 0 or at least 3.16e-35 for nvfp4, not 1e-36"):
        mx.quantize([1e-36], "nvfp4")
    least = np.float32(2688) * np.finfo(np.float32).tiny
    assert mx.quantize([least], "nvfp4").tensor_scale == np.finfo(np.float32).tiny
    assert mx.quantize(np.zeros(16), "nvfp4").tensor_scale == 1


# -- the core ----------------------------------------------------------------------------------------------------------


@functools.cache
def design(config):
    return generate(CORE, config)


def run(config, rows, **options):
    """Rows of FP16 codes, shape (N, K), through the Verilated core: an `MxTensor`, and what the driver says."""
    rows = np.asarray(rows, np.uint16)
    count, k = rows.shape
    transfers, blocks = -(-k // config.lanes), -(-k // config.block)
    beats = np.zeros((count, transfers * config.lanes), np.uint16)
    beats[:, :k] = rows
    last = np.zeros((count, transfers), bool)
    last[:, -1] = True
    payloads = codec.pack(config.value_layout, values=beats.reshape(-1, config.lanes), last=last.ravel())
    driven = drive(design(config), {"i": payloads}, {"o": count * blocks * config.load}, **options)
    assert driven.failure is None
    found = codec.unpack(config.output_layout, driven.outputs["o"])
    # Every transfer has the scale of its block, and the last one of a row says so.
    scales = found["scale"].reshape(count, blocks, config.load).astype(np.uint8)
    assert (scales == scales[..., :1]).all()
    ends = found["last"].reshape(count, -1)
    assert (ends == (np.arange(ends.shape[1]) == ends.shape[1] - 1)).all()
    codes = found["codes"].reshape(count, -1).astype(np.uint8)
    return mx.MxTensor(mx.lookup(config.format), codes, scales[..., 0], k), driven


def check(config, rows, **options):
    found, driven = run(config, rows, **options)
    wanted = mx.quantize(np.asarray(rows, np.uint16).view(np.float16), config.format, nan_blocks=True)
    assert (found.scales == wanted.scales).all() and (found.codes == wanted.codes).all()
    assert bool(driven.status["nonfinite"]) == bool(wanted.nan.any())
    return found, driven


@pytest.mark.parametrize("name", POWERS)
def test_core_has_every_significand_at_every_distance(name):
    """Every fraction of each exponent, beside a largest value of each exponent above it."""
    config = MxQuantizerConfig(format=name, lanes=4)
    largest = np.concatenate([1 << np.arange(10), np.arange(1, 31) << 10 | RNG.integers(0, 1024, 30)])
    distance = np.arange(14)[:, None]
    # Of a subnormal number all that is smaller is there anyway.
    fields = np.maximum(largest[None] >> 10, distance) - distance
    values = np.minimum(fields[..., None] << 10 | np.arange(1024), largest[None, :, None])
    rows = np.zeros((values.size // 31 + 1, 32), np.uint16)
    rows[:, 1:] = np.resize(values, (len(rows), 31))
    rows[:, 0] = np.resize(np.broadcast_to(largest[None, :, None], values.shape), (len(rows), 31)).max(axis=1)
    found, _ = check(config, rows ^ RNG.integers(0, 2, rows.shape).astype(np.uint16) << 15)
    assert len(np.unique(found.scales)) == 40


def test_core_takes_any_codes_under_stalls():
    """Short rows, special values and all; the flag is that of the model."""
    config = MxQuantizerConfig()
    normal = (RNG.normal(size=(500, 300)) * np.exp2(RNG.integers(-14, 12, (500, 300)))).astype(np.float16)
    check(config, normal.view(np.uint16), stall_in=30, stall_out=30, seed=1)
    check(config, RNG.integers(0, 1 << 16, (200, 129)), stall_in=20, stall_out=60, seed=2)


def test_core_has_the_worked_numbers():
    x = np.float16([0, 0.3, -0.5, 1, 1.25, 1.75, 2.5, -5, 7])
    found, driven = check(MxQuantizerConfig(), x.view(np.uint16)[None])
    assert found.scales.tolist() == [[127]] and found.codes[0, :10].tolist() == [0, 1, 9, 2, 2, 4, 4, 14, 7, 0]
    # The row ends within its first transfer, which the core fills up to a block.
    assert driven.transfers == {"i": 1, "o": 2}


def test_cycles_are_exact():
    """One transfer a cycle, without a bubble between blocks; behind the last one `latency` and its other transfers."""
    for lanes in (1, 16):
        config = MxQuantizerConfig(lanes=lanes)
        _, driven = check(config, np.full((40, 96), 0x3C00))
        transfers = 40 * 3 * config.load
        assert driven.last["i"] == transfers - 1
        assert driven.first["o"] == config.load - 1 + config.latency
        assert driven.cycles == transfers + config.latency + config.load - 1
    assert MxQuantizerConfig().latency == 10


def test_no_path_from_ready_to_ready():
    config = CORE.config.parse(CORE.small)
    targets = ["i__ready", "o__valid", "o__payload", "nonfinite"]
    prove_no_path(MxQuantizer(config), "o__ready", targets, "mx_quantizer")


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match=r"^lanes must divide the block of 32, not be 3$"):
        MxQuantizerConfig(lanes=3)
    with pytest.raises(ValueError, match=r"^lanes must be 1 to 32, not 64$"):
        MxQuantizerConfig(lanes=64)
    # Its blocks need the largest magnitude of the whole tensor.
    with pytest.raises(ValueError, match=r"^format must be one of mxfp4, .*, mxint8, not 'nvfp4'$"):
        MxQuantizerConfig(format="nvfp4")


def check_bench(parameters, vectors):
    config, result = passes(CORE.name, parameters, vectors)
    assert (result.latency, result.interval) == (config.latency, 1)
    assert result.coverage["FP16 codes"] == [1 << 16, 1 << 16]


def test_core_matches_its_golden_model():
    check_bench(CORE.small, 1000)


@pytest.mark.parametrize("vectors", [1, 2])
@pytest.mark.parametrize("name", POWERS)
def test_rehearsal(name, vectors):
    rehearse(CORE.name, (f"format={name}", "lanes=1"), vectors)


@pytest.mark.long
@pytest.mark.parametrize("lanes", [1, 2, 8, 16, 32])
@pytest.mark.parametrize("name", POWERS)
def test_core_matches_its_golden_model_long(name, lanes):
    check_bench((f"format={name}", f"lanes={lanes}"), 5000)
