"""The Anda tile against its golden model, for every kind of processing elements."""

from types import SimpleNamespace

import numpy as np
import pytest
from benches import rehearse

from bitloom.cores.anda.tile import AndaTileConfig
from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.golden.anda import planes as anda
from bitloom.golden.anda import tile as golden
from bitloom.testbench.drive import drive
from bitloom.testbench.runner import simulate

CORE = "anda-tile"


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="share must divide the 4 rows, not be 3"):
        AndaTileConfig(share=3)
    with pytest.raises(ValueError, match="max_mantissa must be 1 to 16, not 17"):
        AndaTileConfig(max_mantissa=17)
    with pytest.raises(ValueError, match="group must be one of 16, 32, 64, not 48"):
        AndaTileConfig(group=48)
    with pytest.raises(ValueError, match="mantissa must be 1 to 16, not 0"):
        golden.cycles(AndaTileConfig(), 1, 1, 1, 0)
    with pytest.raises(ValueError, match="mantissa must be 1 to 16, not None"):
        golden.cycles(AndaTileConfig(), 1, 1, 1)
    with pytest.raises(ValueError, match="k must be 1 or more, not 0"):
        golden.cycles(AndaTileConfig(), 1, 0, 1, 1)


def test_a_dot_product_fits():
    for group in (16, 32, 64):
        for mantissa in range(1, 17):
            limit = 8 * group * ((1 << mantissa) - 1)
            bits = golden.dot_bits(SimpleNamespace(pe="anda", group=group, max_mantissa=mantissa))
            assert 1 << (bits - 2) <= limit < 1 << (bits - 1)
    assert golden.dot_bits(AndaTileConfig()) == 26
    assert golden.dot_bits(AndaTileConfig(pe="figna")) == 23


def test_cycles_of_the_paper():
    """spec/anda.md 5.3: M + 1 cycles for a group; T = 2048, N = K = 4096, M = 7 in 16,777,216 cycles on 16 x 16."""
    config = AndaTileConfig(rows=16, cols=16)
    ends = 4 + golden.latency(config) + 16 - 1
    assert golden.cycles(config, 2048, 4096, 4096, 7) == 128 * 256 * 64 * 8 + ends
    beside = AndaTileConfig(rows=16, cols=16, signs="beside")
    assert golden.cycles(beside, 2048, 4096, 4096, 7) == 128 * 256 * 64 * 7 + ends
    # 64 products in 16 cycles: as many as of M = 15; a transfer of weights is in front, not four.
    figna = AndaTileConfig(rows=16, cols=16, pe="figna")
    assert golden.cycles(figna, 2048, 4096, 4096) == golden.cycles(config, 2048, 4096, 4096, 15) - 4 + 1
    assert golden.products(figna) / golden.period(figna, None) == 4 * 256
    fp16 = AndaTileConfig(rows=16, cols=16, pe="fp16", adder=3)
    assert golden.products(fp16) / golden.period(fp16, None) == 4 * 64


def test_short_groups_and_reductions_wait():
    config = AndaTileConfig(rows=4, cols=4)
    first = golden.cycles(config, 4, 64, 4, 1)
    # Four transfers of weights, two of activations.
    assert first == 4 + 2 - 1 + golden.latency(config) + 4
    # The addition, not M + 1 = 2; then the drain.
    assert golden.cycles(config, 4, 128, 4, 1) == first + config.adder + 1
    assert golden.cycles(config, 8, 64, 4, 1) == first + golden.latency(config) - 1 + 4


def test_fp16_matmul_step_by_step():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2, 150)).astype(np.float16)
    w, scales = rng.integers(-8, 8, (3, 150)), rng.uniform(-0.1, 0.1, (3, 2)).astype(np.float16)
    accumulators, outputs = golden.fp16_matmul(x, w, scales, 4)
    for row in range(2):
        for col in range(3):
            weights = [np.float16(np.float16(v) * scales[col, k // 128]) for k, v in enumerate(w[col])]
            total = np.float32(0)
            products = [np.float32(a) * np.float32(b) for a, b in zip(x[row], weights, strict=True)] + [
                np.float32(0)
            ] * 2
            for at in range(0, 152, 4):
                a, b, c, d = products[at : at + 4]
                total = np.float32(total + np.float32(np.float32(a + b) + np.float32(c + d)))
            assert accumulators[row, col] == total
            assert outputs[row, col] == np.float16(total)
    assert golden.dequantize([[7, -8]], np.array([[65504]], np.float16)).tolist() == [[np.inf, -np.inf]]
    wild = np.array([[np.inf, -np.inf]], np.float16)
    accumulators, outputs = golden.fp16_matmul(wild, [[1, 1]], np.ones((1, 1), np.float16), 2)
    assert (accumulators.view(np.uint32).item(), outputs.view(np.uint16).item()) == (0x7FC00000, 0x7E00)


def one_product(config, mantissa, groups):
    """Code of the result of one row and one column: groups of (words, exponent, weights), one scale."""
    design = generate(lookup(CORE), config)

    def payloads(values, bits):
        return np.array([list(value.to_bytes(-(-bits // 8), "little")) for value in values], np.uint8)

    bits, a, w = config.group, [], []
    for g, (words, exponent, weights, _) in enumerate(groups):
        for index, word in enumerate(words):
            last = g == len(groups) - 1 and index == mantissa
            a.append(word | exponent << bits | last << (bits + 5))
        w += [sum((weight >> plane & 1) << i for i, weight in enumerate(weights)) for plane in (3, 2, 1, 0)]
    inputs = {
        "a": payloads(a, bits + 6),
        "w": payloads(w, bits),
        "scales": payloads([groups[0][3]], 16),
    }
    driven = drive(design, inputs, {"o": 1}, constants={"mantissa": mantissa})
    assert driven.failure is None
    code = int.from_bytes(driven.outputs["o"][0].tobytes(), "little")
    width = 16 if config.output == "fp16" else 32
    assert code >> width == 1
    return code & ((1 << width) - 1)


def test_worked_example():
    """spec/anda.md 11.2: two groups of four, filled up with zeros; D = 8 and -81."""
    groups = [
        ([0b0010, 0b0100, 0b0101, 0b0001, 0b0110, 0b0010], 16, [3, -8, -2, 7], 0x224C),
        ([0b0001, 0b0001, 0b1001, 0b0000, 0b1001, 0b0010], 17, [1, 5, -3, -6], 0x224C),
    ]
    config = {"rows": 1, "cols": 1, "group": 16, "share": 1, "max_mantissa": 5}
    assert one_product(AndaTileConfig(**config, output="fp32"), 5, groups[:1]) == 0x3C498000
    assert one_product(AndaTileConfig(**config, output="fp32"), 5, groups) == 0xBE726E00
    assert one_product(AndaTileConfig(**config), 5, groups) == 0xB393


def test_the_conversion_of_the_paper_overflows():
    """A dot product of 16 * 7 * 31 * 2**(31 - 14 - 5): Inf in FP16, but 434 once it is scaled by 2**-15."""
    full = [0, *[0xFFFF] * 5]
    groups = [(full, 31, [7] * 16, 0x0200)]
    config = {"rows": 1, "cols": 1, "group": 16, "share": 1, "max_mantissa": 5}
    assert one_product(AndaTileConfig(**config), 5, groups) == np.float16(434).view(np.uint16)
    paper = AndaTileConfig(**config, conversion="fp16")
    assert one_product(paper, 5, groups) == 0x7C00
    assert one_product(paper, 5, [*groups, ([0xFFFF, *full[1:]], 31, [7] * 16, 0x0200)]) == 0x7E00


@pytest.mark.parametrize(
    "parameters",
    [
        ["rows=2", "cols=2", "group=16", "max_mantissa=3", "share=1", "signs=beside", "output=fp32"],
        ["rows=4", "cols=1", "group=16", "max_mantissa=5", "conversion=fp16", "share=2"],
        ["rows=2", "cols=2", "group=16", "share=2", "pe=figna", "lanes=16"],
        ["rows=4", "cols=1", "pe=figna"],
        ["rows=2", "cols=2", "share=2", "pe=fp16", "lanes=2", "output=fp32"],
        ["rows=5", "cols=1", "share=5", "pe=fp16", "lanes=1"],
        # A group is a single transfer here, and takes a period all the same.
        ["rows=2", "cols=1", "group=16", "max_mantissa=1", "share=1", "signs=beside"],
        ["rows=2", "cols=1", "share=1", "adder=5", "pe=fp16", "lanes=1"],
    ],
    ids=" ".join,
)
def test_bench(parameters):
    core = lookup(CORE)
    config = core.config.parse(parameters)
    result = simulate(core, config, vectors=100, seed=2)
    assert result.passed, result.summary()
    assert result.vectors == 100
    assert (result.latency, result.interval) == (core.latency(config), core.interval(config))


@pytest.mark.parametrize(
    "parameters",
    [
        # The way in and out is as long as five groups, and one cycle.
        ["rows=1", "group=16", "max_mantissa=4", "share=1", "conversion=fp16", "adder=3"],
        ["rows=5", "group=16", "max_mantissa=16", "share=5", "adder=3"],
        ["rows=4", "share=2", "pe=figna", "lanes=4", "adder=3"],
        ["rows=4", "share=4", "pe=fp16", "lanes=8", "adder=3"],
        ["rows=6", "share=6", "pe=fp16", "lanes=1", "adder=5"],
    ],
    ids=" ".join,
)
def test_its_bench_keeps_the_array_busy_for_99_cycles_of_100(parameters):
    """By the formula of cycles: what it sends is so long that the way in and out counts for less."""
    config = lookup(CORE).config.parse(parameters)
    longest = config.max_mantissa if config.pe == "anda" else None
    step = config.lanes if config.pe == "fp16" else config.group
    (phase,) = (phase for phase in rehearse(CORE, parameters, 1) if phase.name == "back to back")
    transfers = len(phase.inputs[phase.leading])
    groups = transfers // 101 // golden.group_cycles(config, longest)
    assert golden.group_cycles(config, longest) == golden.period(config, longest)
    assert transfers >= 0.99 * golden.cycles(config, 101 * config.rows, groups * step, config.cols, longest)


def test_any_seed_of_the_largest_mantissa():
    """M = 16 is the one whose integers may need rounding: all exponents, full mantissas, in one product."""
    config = AndaTileConfig(rows=1, cols=1, share=1, output="fp32")
    rng = np.random.default_rng(5)
    for _ in range(3):
        words = [int(word) for word in rng.integers(1 << 63, 1 << 64, 17, np.uint64)]
        weights = rng.integers(4, 8, 64)
        t = anda.AndaTensor(
            np.array([[words[0]]], np.uint64), np.array([[words[1:]]], np.uint64), np.array([[20]], np.uint8), 64
        )
        scales = np.array([[0.37]], np.float16)
        expected = anda.matmul(t, weights[None], scales)[0]
        got = one_product(config, 16, [(words, 20, weights.tolist(), int(scales.view(np.uint16).item()))])
        assert got == expected.view(np.uint32).item()
