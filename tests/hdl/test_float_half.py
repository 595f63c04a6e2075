"""Rounding to FP16 without special values, against NumPy by the million; NumPy against exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from amaranth import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from bitloom.cores.generate import Design, Port
from bitloom.golden.sevedo.layer import to_half
from bitloom.hdl.emission.private import unwarned
from bitloom.hdl.emission.verilog import emit, signature_ports
from bitloom.hdl.floating.formats import FP16, FP32, FloatFormat
from bitloom.hdl.floating.half import HalfMultiplier, HalfRounder
from bitloom.testbench.drive import drive

# As wide as an exact product of FP32 and FP16.
WIDE = FloatFormat(9, 34)
BLOCKS = {"fp32": HalfRounder(FP32), "wide": HalfRounder(WIDE), "fp16": HalfRounder(FP16), "product": HalfMultiplier()}
LATENCIES = {"fp32": 1, "wide": 1, "fp16": 1, "product": 3}
for block in BLOCKS.values():
    unwarned(block)


class Streamed(wiring.Component):
    """The blocks between streams: `NAME_i`, with all operands of the block, to `NAME_o`."""

    def __init__(self):
        ports = {}
        for name, block in BLOCKS.items():
            ports[f"{name}_i"] = In(stream.Signature(sum(map(len, self.operands(block)))))
            ports[f"{name}_o"] = Out(stream.Signature(16))
        super().__init__(ports)

    @staticmethod
    def operands(block):
        names = [name for name, member in block.signature.members.items() if member.flow == In and name != "en"]
        return [Value.cast(getattr(block, name)) for name in names]

    def elaborate(self, platform):
        m = Module()
        for name, block in BLOCKS.items():
            m.submodules[name] = block
            i, o = getattr(self, f"{name}_i"), getattr(self, f"{name}_o")
            valid = Signal(block.latency, name=f"{name}_valid")
            m.d.comb += [
                block.en.eq(o.ready | ~o.valid),
                i.ready.eq(block.en),
                o.valid.eq(valid[-1]),
                o.payload.eq(block.o),
                Cat(self.operands(block)).eq(i.payload),
            ]
            with m.If(block.en):
                m.d.sync += valid.eq(Cat(i.valid, valid))
        return m


@pytest.fixture(scope="module")
def design():
    component = Streamed()
    ports = [Port("clk", "input", 1), Port("rst", "input", 1)]
    for name, (value, direction) in signature_ports(component).items():
        ports.append(Port(name, direction.name.lower(), len(value)))
    return Design("halves", "halves", emit(component, "halves"), tuple(ports), "clk", "rst", False, {})


def run(design, words, **options):
    """Results of the blocks, as codes, and what the driver says; words are integers, one for each payload."""
    inputs = {}
    for name, block in BLOCKS.items():
        size = -(-sum(map(len, Streamed.operands(block))) // 8)
        column = np.asarray(words.get(name, []), np.uint64)[:, None]
        inputs[f"{name}_i"] = np.ascontiguousarray(column).view(np.uint8).reshape(-1, 8)[:, :size]
    driven = drive(design, inputs, {f"{name}_o": len(inputs[f"{name}_i"]) for name in BLOCKS}, **options)
    assert driven.failure is None
    return {name: driven.outputs[f"{name}_o"].copy().view(np.uint16)[:, 0] for name in BLOCKS}, driven


def value(codes, fmt):
    """Finite numbers of a format, exact in float64."""
    codes = np.asarray(codes, np.int64)
    exponent, fraction = codes >> fmt.fraction_bits & fmt.highest, codes & (1 << fmt.fraction_bits) - 1
    significand = fraction + (np.minimum(exponent, 1) << fmt.fraction_bits)
    exact = np.ldexp(significand.astype(np.float64), np.maximum(exponent, 1) - fmt.bias - fmt.fraction_bits)
    return np.where(codes >> (fmt.width - 1) & 1, -exact, exact)


def expected(name, words):
    words = np.asarray(words, np.int64)
    if name == "product":
        a, b = (np.where(side & 0x7C00, value(side, FP16), 0) for side in (words & 0xFFFF, words >> 16))
        return to_half(a * b).view(np.uint16)
    return to_half(value(words, BLOCKS[name].format)).view(np.uint16)


def around(fmt, rng, count):
    """Finite codes: each exponent near the range of FP16 with all that rounding looks at, and any others."""
    below = fmt.fraction_bits - FP16.fraction_bits
    exponents = np.arange(FP16.highest + 5) + fmt.bias - FP16.bias - 2
    exponents = exponents[(exponents >= 0) & (exponents < fmt.highest)]
    tails = {0, 1, (1 << below) - 1, (1 << below) >> 1, ((1 << below) >> 1) + 1, max(((1 << below) >> 1) - 1, 0)}
    tails = np.array(sorted(tail for tail in tails if tail < 1 << below))
    fraction = (np.arange(1 << FP16.fraction_bits)[:, None] << below) + tails
    magnitudes = ((exponents[:, None] << fmt.fraction_bits) + fraction.ravel()).ravel()
    others = rng.integers(0, fmt.infinity, count)
    near = (rng.choice(exponents, count) << fmt.fraction_bits) + rng.integers(0, 1 << fmt.fraction_bits, count)
    magnitudes = np.concatenate([magnitudes, others, near])
    return rng.permutation(magnitudes | rng.integers(0, 2, len(magnitudes)) << (fmt.width - 1))


def products(rng, count):
    """Pairs of finite codes: each significand with each, then any."""
    fractions = np.arange(1 << 20)
    # The product's exponent is around 2**-14, within the range, or around 65504.
    a, b = rng.choice([1, 8, 15, 16, 30], 1 << 20), rng.choice([6, 7, 14, 15, 22, 23, 30], 1 << 20)
    every = (a << 10 | fractions & 1023) | (b << 10 | fractions >> 10) << 16
    low = rng.integers(0, 31 << 10, (2, count))
    # Around the limits: exponents of operands that add up to 15, the least normal one, or to 45.
    first = rng.integers(1, 31, count)
    second = np.clip(rng.choice([14, 15, 16, 44, 45, 46], count) - first, 0, 30)
    edge = (first << 10 | rng.integers(0, 1024, count)) | (second << 10 | rng.integers(0, 1024, count)) << 16
    words = np.concatenate([every, low[0] | low[1] << 16, edge])
    return words | rng.integers(0, 2, len(words)) << 15 | rng.integers(0, 2, len(words)) << 31


def vectors(count=500_000):
    rng = np.random.default_rng(5)
    fp16 = np.arange(1 << 16)
    return {
        "fp32": around(FP32, rng, count),
        "wide": around(WIDE, rng, count),
        "fp16": fp16[(fp16 & 0x7FFF) < FP16.infinity],
        "product": products(rng, count),
    }


def test_blocks_against_numpy(design):
    words = vectors()
    results, driven = run(design, words)
    for name, result in results.items():
        wanted = expected(name, words[name])
        wrong = np.flatnonzero(result != wanted)
        assert not wrong.size, (name, hex(words[name][wrong[0]]), hex(result[wrong[0]]), hex(wanted[wrong[0]]))
        assert driven.first[f"{name}_o"] - driven.first[f"{name}_i"] == BLOCKS[name].latency == LATENCIES[name], name
        assert driven.last[f"{name}_o"] - driven.first[f"{name}_o"] == len(result) - 1, name


def test_nothing_moves_without_enable(design):
    words = {name: codes[:2000] for name, codes in vectors(2000).items()}
    results, _ = run(design, words, stall_in=40, stall_out=40)
    for name, result in results.items():
        assert result.tolist() == expected(name, words[name]).tolist(), name


def rounded(exact):
    """FP16 code of a fraction, from the text."""
    if abs(exact) < Fraction(1, 1 << 14):
        return 0
    magnitude = min(abs(exact), Fraction(65504))
    exponent = magnitude.numerator.bit_length() - magnitude.denominator.bit_length()
    exponent -= magnitude < Fraction(2) ** exponent
    units = round(magnitude / Fraction(2) ** (exponent - 10))  # ties to even
    return (exponent + 14 << 10) + units | (exact < 0) << 15


def test_numpy_against_fractions():
    for name, codes in vectors(2000).items():
        codes = np.random.default_rng(1).permutation(codes)[:1000]
        if name == "product":
            pairs = zip(value(codes & 0xFFFF, FP16).tolist(), value(codes >> 16, FP16).tolist(), strict=True)
            # Subnormal operands count as zero.
            exact = [Fraction(a) * Fraction(b) if min(abs(a), abs(b)) >= 2.0**-14 else Fraction(0) for a, b in pairs]
        else:
            exact = [Fraction(number) for number in value(codes, BLOCKS[name].format).tolist()]
        assert expected(name, codes).tolist() == [rounded(number) for number in exact], name


CORNERS = [
    ("fp32", "the least normal number", 0x38800000, 0x0400),
    ("fp32", "just below it, which would round up to it", 0x387FFFFF, 0x0000),
    ("fp32", "negative below it: +0", 0xB87FFFFF, 0x0000),
    ("fp32", "-0", 0x80000000, 0x0000),
    ("fp32", "a subnormal number", 0x007FFFFF, 0x0000),
    ("fp32", "a tie goes down to even", 0x3F801000, 0x3C00),
    ("fp32", "a tie goes up to even", 0x3F803000, 0x3C02),
    ("fp32", "above a tie by the last bit", 0x3F801001, 0x3C01),
    ("fp32", "rounding carries into the exponent", 0x3FFFF000, 0x4000),
    ("fp32", "the largest number", 0x477FE000, 0x7BFF),
    ("fp32", "above it, but below the half", 0x477FEFFF, 0x7BFF),
    ("fp32", "65520, which would be infinity", 0xC77FF000, 0xFBFF),
    ("fp32", "65536", 0x47800000, 0x7BFF),
    ("fp32", "the largest FP32 number", 0xFF7FFFFF, 0xFBFF),
    ("product", "the least normal number", 0x0400 | 0x3C00 << 16, 0x0400),
    ("product", "below it, which would round up to it", 0x3BFF | 0x0400 << 16, 0x0000),
    ("product", "-1 * 0", 0xBC00, 0x0000),
    ("product", "a subnormal operand", 0x03FF | 0x7800 << 16, 0x0000),
    ("product", "a tie goes down to even", 0x3C01 | 0x3E00 << 16, 0x3E02),
    ("product", "a tie goes up to even", 0x3C03 | 0x3E00 << 16, 0x3E04),
    ("product", "rounding carries into the exponent", 0x3BFF | 0x3C01 << 16, 0x3C00),
    ("product", "overflow", 0x7BFF | 0xFBFF << 16, 0xFBFF),
    ("product", "just overflow, by rounding", 0x7BFF | 0x3C01 << 16, 0x7BFF),
]


def test_corners(design):
    words = {name: [word for block, _, word, _ in CORNERS if block == name] for name in BLOCKS}
    results, _ = run(design, words)
    for name in ("fp32", "product"):
        cases = [(case, wanted) for block, case, _, wanted in CORNERS if block == name]
        assert [(case, got) for (case, _), got in zip(cases, results[name].tolist(), strict=True)] == cases, name
        assert expected(name, words[name]).tolist() == [wanted for _, wanted in cases]


def test_infinities_and_nans_are_the_largest_number(design):
    codes = [0x7F800000, 0xFF800000, 0x7FC00000, 0xFF800001]
    assert run(design, {"fp32": codes})[0]["fp32"].tolist() == [0x7BFF, 0xFBFF, 0x7BFF, 0xFBFF]


@pytest.mark.parametrize("bits", [(4, 10), (8, 7)])
def test_narrow_formats_are_refused(bits):
    message = f"^the operand must have an exponent of 5 bits or more and a fraction of 10, not {bits[0]} and {bits[1]}$"
    rounder = unwarned(HalfRounder.__new__(HalfRounder))
    with pytest.raises(ValueError, match=message):
        rounder.__init__(FloatFormat(*bits))
