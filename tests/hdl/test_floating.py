"""Floating-point blocks against NumPy, by the million; NumPy against exact fractions.

All blocks are in one design, each between two streams of its own, so that one Verilated program tests them all.
"""

from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from amaranth import Cat, Module, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from bitloom.cores.generate import Design, Port
from bitloom.hdl.emission.private import unwarned
from bitloom.hdl.emission.verilog import emit, signature_ports
from bitloom.hdl.floating.add import FloatAdder
from bitloom.hdl.floating.convert import FloatConverter, IntegerToFloat
from bitloom.hdl.floating.formats import BF16, FP16, FP32, FloatFormat
from bitloom.hdl.floating.multiply import FloatMultiplier
from bitloom.testbench.drive import drive

FP8 = FloatFormat(4, 3)
DTYPES = {FP8: ml_dtypes.float8_e4m3, FP16: np.float16, BF16: ml_dtypes.bfloat16, FP32: np.float32}
CODES = {8: np.uint8, 16: np.uint16, 32: np.uint32}

SCALE = signed(9)
BLOCKS = {
    "add_fp32": FloatAdder(FP32),
    "add_fp32_normal": FloatAdder(FP32, specials=False, stages=3),
    "add_fp16": FloatAdder(FP16, stages=4),
    **{f"add_fp8_{stages}": FloatAdder(FP8, stages=stages) for stages in (1, 2, 3, 4, 5)},
    "add_fp16_normal": FloatAdder(FP16, specials=False, stages=2),
    "add_fp32_flush": FloatAdder(FP32, flush=True),
    **{f"add_fp8_flush_{stages}": FloatAdder(FP8, flush=True, stages=stages) for stages in (1, 3)},
    "multiply_fp32_fp16": FloatMultiplier(FP32, FP16, FP32),
    "multiply_fp32_fp16_normal": FloatMultiplier(FP32, FP16, FP32, specials=False),
    "multiply_fp32_fp16_scale": FloatMultiplier(FP32, FP16, FP32, specials=False, subnormals=(False, True)),
    "multiply_fp32": FloatMultiplier(FP32, FP32, FP32),
    "multiply_fp32_split": FloatMultiplier(FP32, FP32, FP32, split=True),
    "multiply_fp16_split": FloatMultiplier(FP16, FP16, FP16, split=True),
    "multiply_fp16": FloatMultiplier(FP16, FP16, FP16),
    "multiply_fp16_normal": FloatMultiplier(FP16, FP16, FP16, specials=False),
    "multiply_fp16_to_fp32": FloatMultiplier(FP16, FP16, FP32),
    "multiply_fp16_to_fp32_normal": FloatMultiplier(FP16, FP16, FP32, specials=False),
    "multiply_fp8": FloatMultiplier(FP8, FP8, FP8),
    "convert_fp32_fp16": FloatConverter(FP32, FP16),
    "convert_fp32_fp16_normal": FloatConverter(FP32, FP16, specials=False),
    "convert_fp16_fp32": FloatConverter(FP16, FP32),
    "convert_fp16_fp32_normal": FloatConverter(FP16, FP32, specials=False),
    "convert_fp32_bf16": FloatConverter(FP32, BF16),
    "convert_bf16_fp16": FloatConverter(BF16, FP16),
    "convert_fp16_bf16": FloatConverter(FP16, BF16),
    "integer_26_fp32": IntegerToFloat(signed(26), FP32, unsigned(5), -30),
    "integer_32_fp32": IntegerToFloat(signed(32), FP32),
    "integer_24_fp32": IntegerToFloat(unsigned(24), FP32),
    "integer_26_fp16": IntegerToFloat(signed(26), FP16, unsigned(5), -30),
    "integer_26_fp16_wide": IntegerToFloat(signed(26), FP16, signed(6), -20),
    "integer_8_fp32_wide": IntegerToFloat(signed(8), FP32, SCALE),
    "integer_1_fp16": IntegerToFloat(signed(1), FP16, unsigned(6), -40),
}
for block in BLOCKS.values():
    unwarned(block)  # not every test elaborates them
LATENCIES = {
    "add_fp32": 5,
    "multiply_fp32_fp16": 5,
    "multiply_fp32_fp16_normal": 3,
    "multiply_fp32_fp16_scale": 4,
    "multiply_fp32_split": 6,
    "multiply_fp16_to_fp32": 4,
    "multiply_fp16_to_fp32_normal": 3,
    "convert_fp32_fp16": 3,
    "convert_fp32_fp16_normal": 1,
    "convert_fp16_fp32": 1,
    "integer_26_fp32": 3,
    "integer_24_fp32": 3,
    "integer_26_fp16": 3,
}


class Streamed(wiring.Component):
    """Blocks between streams: `NAME_i`, with all operands of the block, to `NAME_o`."""

    def __init__(self, blocks):
        self.blocks = blocks
        ports = {}
        for name, block in blocks.items():
            operands = {key: len(value) for key, value in self.operands(block).items()}
            ports[f"{name}_i"] = In(stream.Signature(data.StructLayout(operands)))
            ports[f"{name}_o"] = Out(stream.Signature(len(block.o.as_value())))
        super().__init__(ports)

    @staticmethod
    def operands(block):
        names = [name for name, member in block.signature.members.items() if member.flow == In and name != "en"]
        values = {name: Value.cast(getattr(block, name)) for name in names}
        return {name: value for name, value in values.items() if len(value)}

    def elaborate(self, platform):
        m = Module()
        for name, block in self.blocks.items():
            m.submodules[name] = block
            i, o = getattr(self, f"{name}_i"), getattr(self, f"{name}_o")
            valid = Signal(block.latency, name=f"{name}_valid")
            m.d.comb += [
                block.en.eq(o.ready | ~o.valid),
                i.ready.eq(block.en),
                o.valid.eq(valid[-1]),
                o.payload.eq(block.o),
                *(port.eq(i.payload[key]) for key, port in self.operands(block).items()),
            ]
            with m.If(block.en):
                m.d.sync += valid.eq(Cat(i.valid, valid))
        return m


@pytest.fixture(scope="module")
def design():
    component = Streamed(BLOCKS)
    ports = [Port("clk", "input", 1), Port("rst", "input", 1)]
    for name, (value, direction) in signature_ports(component).items():
        ports.append(Port(name, direction.name.lower(), len(value)))
    return Design("floating", "floating", emit(component, "floating"), tuple(ports), "clk", "rst", False, {})


# Operands


def code(values):
    """Bit patterns of floating-point numbers."""
    values = np.asarray(values)
    return values.view(CODES[values.itemsize * 8])


def number(codes, fmt):
    return np.asarray(codes).astype(CODES[fmt.width]).view(DTYPES[fmt])


def nasty(fmt):
    """Codes around everything that is special in a format, both signs."""
    low, ones, top = fmt.fraction_bits, (1 << fmt.fraction_bits) - 1, fmt.highest
    exponents = {0, 1, 2, low, low + 1, fmt.bias, top - 2, top - 1, top}
    exponents |= {fmt.bias + step for step in (-low - 3, -low - 2, -low - 1, -low, -1, 1, 2, low, low + 1, low + 2)}
    fractions = {0, 1, 2, 3, ones, ones - 1, 1 << (low - 1), (1 << (low - 1)) - 1, (1 << (low - 1)) + 1}
    half = [e << low | f for e in sorted(exponents) if 0 <= e <= top for f in sorted(fractions)]
    return np.array(half + [1 << (fmt.width - 1) | value for value in half], np.int64)


def normal(fmt, low, high):
    """A source of random codes with exponents of `low` to `high` around that of 1.0, an eighth of them zeros."""

    def draw(rng, size):
        sign, fraction = rng.integers(0, 2, size), rng.integers(0, 1 << fmt.fraction_bits, size)
        # Few fraction bits make ties, and sums and products that are exact.
        fraction &= -1 << rng.integers(0, fmt.fraction_bits + 1, size)
        exponent = rng.integers(fmt.bias + low, fmt.bias + high + 1, size)
        magnitude = (exponent << fmt.fraction_bits | fraction) * (rng.integers(0, 8, size) > 0)
        return sign << (fmt.width - 1) | magnitude

    return draw


def anything(fmt):
    """A source of random codes: all exponents, the highest and the lowest more often."""

    def draw(rng, size):
        codes = normal(fmt, -fmt.bias, fmt.bias + 1)(rng, size)
        magnitude = (1 << fmt.width - 1) - 1
        kind = rng.integers(0, 32, size)
        codes[kind == 0] &= ~(fmt.highest << fmt.fraction_bits)
        codes[kind == 1] |= fmt.highest << fmt.fraction_bits
        codes[kind == 2] &= ~magnitude
        return codes

    return draw


def pairs(a, b):
    """All pairs."""
    return tuple(side.ravel() for side in np.meshgrid(a, b))


def near(rng, a, fmt):
    """For each number one of nearly the same magnitude and mostly the other sign: sums that cancel."""
    step = rng.integers(-4, 5, len(a)) * (1 << rng.integers(0, fmt.fraction_bits + 2, len(a)))
    magnitude = np.clip((a & (1 << fmt.width - 1) - 1) + step, 0, fmt.infinity - 1)
    return (~a >> (fmt.width - 1) & 1 ^ (rng.integers(0, 8, len(a)) == 0)) << (fmt.width - 1) | magnitude


def both(*sets):
    return tuple(np.concatenate(side) for side in zip(*sets, strict=True))


def integers(shape, scale, count, seed):
    """Integers of all lengths with all scales, and the extremes with all scales."""
    rng = np.random.default_rng(seed)
    shape, scale = Shape.cast(shape), Shape.cast(scale)
    low, high = (-(1 << shape.width - 1), 1 << shape.width - 1) if shape.signed else (0, 1 << shape.width)
    scales = np.arange(1 << scale.width) - (scale.signed << max(scale.width - 1, 0))
    # Around powers of two: ties of every length, and what carries into the next one.
    around = {
        sign * ((3 << bit >> 1) + step) for bit in range(shape.width) for step in range(-2, 3) for sign in (1, -1)
    }
    around |= {sign * ((1 << bit) + step) for bit in range(shape.width) for step in range(-2, 3) for sign in (1, -1)}
    around = np.array(sorted({min(max(value, low), high - 1) for value in around}))
    random = rng.integers(low, high, count) >> rng.integers(0, shape.width, count)
    i, s = both(pairs(around, scales), (random, rng.choice(scales, count)))
    return (i, s) if scale.width else (i,)


COUNT = 200_000


def vectors(name, count=COUNT):
    """Codes of the operands of a block, by its name."""
    block, rng = BLOCKS[name], np.random.default_rng(len(name))
    if isinstance(block, IntegerToFloat):
        return integers(block.shape, block.scale_shape, count, len(name))
    if isinstance(block, FloatConverter):
        fmt = block.in_format
        codes = np.arange(1 << 16) if fmt.width == 16 else both((nasty(fmt),), (anything(fmt)(rng, count),))[0]
        return legal(block, (codes,))
    if isinstance(block, FloatAdder):
        a_fmt = b_fmt = block.fmt
    else:
        a_fmt, b_fmt = block.a_format, block.b_format
    if a_fmt == FP8:
        return legal(block, pairs(np.arange(256), np.arange(256)))
    a, b, small = anything(a_fmt)(rng, count), anything(b_fmt)(rng, count), a_fmt.precision + 3
    c, d = normal(a_fmt, -small // 2, small // 2)(rng, count), normal(b_fmt, -small // 2, small // 2)(rng, count)
    sets = [pairs(nasty(a_fmt), nasty(b_fmt)), (a, b), (c, d)]
    if isinstance(block, FloatAdder):
        sets += [(a, near(rng, a, a_fmt)), (c, near(rng, c, a_fmt))]
    return legal(block, both(*sets))


def legal(block, operands):
    """The operands that the block is for: where `specials` is False, what is zero or normal and gives such a result."""
    if getattr(block, "flush", False):
        kept = [(codes & (1 << block.fmt.width - 1) - 1) for codes in operands]
        normal = [(magnitude == 0) | (magnitude >= 1 << block.fmt.fraction_bits) for magnitude in kept]
        return tuple(codes[normal[0] & normal[1]] for codes in operands)
    if block.specials:
        return operands
    formats = operand_formats(block)
    subnormals = getattr(block, "subnormals", (False, False))
    keep = np.ones(len(operands[0]), bool)
    for codes, fmt, any_finite in zip(operands, formats, subnormals, strict=False):
        magnitude = codes & (1 << fmt.width - 1) - 1
        keep &= (magnitude < fmt.infinity) & ((magnitude == 0) | any_finite | (magnitude >= 1 << fmt.fraction_bits))
    operands = tuple(codes[keep] for codes in operands)
    a, *b = (number(codes, fmt).astype(float) for codes, fmt in zip(operands, formats, strict=True))
    exact = a if not b else a + b[0] if isinstance(block, FloatAdder) else a * b[0]
    fmt, result = out_format(block), numpy_result(block, operands)
    keep = (exact == 0) | (np.abs(exact) >= np.ldexp(1.0, 1 - fmt.bias))
    keep &= (result & (1 << fmt.width - 1) - 1) < fmt.infinity
    return tuple(codes[keep] for codes in operands)


def numpy_result(block, operands):
    """What NumPy gives for the codes, as codes."""
    with np.errstate(all="ignore"):
        if isinstance(block, IntegerToFloat):
            exact = np.ldexp(operands[0].astype(np.float64), block.offset + (operands[1] if len(operands) > 1 else 0))
            return code(exact.astype(DTYPES[block.fmt]))
        if isinstance(block, FloatConverter):
            return code(number(operands[0], block.in_format).astype(DTYPES[block.out_format]))
        if isinstance(block, FloatAdder):
            a, b = (number(side, block.fmt) for side in operands)
            return flushed(block, code(a + b))
        a, b = (number(side, fmt) for side, fmt in zip(operands, (block.a_format, block.b_format), strict=True))
        # The wider of the formats: the product of two FP16 is exact in FP32, and rounded once to FP16.
        dtype = DTYPES[block.out_format]
        return code((a.astype(np.float32) * b.astype(np.float32)).astype(dtype) if dtype != FP8 else a * b)


def flushed(block, codes):
    """Codes of sums, those below the normal numbers +0 if the block says so."""
    magnitude = codes & (1 << block.fmt.width - 1) - 1
    return np.where(block.flush & (magnitude < 1 << block.fmt.fraction_bits), 0, codes)


def out_format(block):
    return block.out_format if hasattr(block, "out_format") else block.fmt


def canonical(codes, fmt):
    """Codes with one code for every NaN."""
    return np.where(codes & (1 << fmt.width - 1) - 1 > fmt.infinity, fmt.nan, codes)


def packed(block, operands):
    """Payloads of a block's input stream."""
    word, at = np.zeros(len(operands[0]), np.uint64), 0
    for port, codes in zip(Streamed.operands(block).values(), operands, strict=True):
        word |= (codes.astype(np.uint64) & np.uint64((1 << len(port)) - 1)) << np.uint64(at)
        at += len(port)
    return np.ascontiguousarray(word[:, None].view(np.uint8)[:, : -(-at // 8)])


def run(design, operands, **options):
    """Results of all blocks, as codes, and what the driver says."""
    inputs = {f"{name}_i": packed(BLOCKS[name], sides) for name, sides in operands.items()}
    driven = drive(design, inputs, {f"{name}_o": len(sides[0]) for name, sides in operands.items()}, **options)
    assert driven.failure is None
    results = {}
    for name in operands:
        payload = driven.outputs[f"{name}_o"]
        results[name] = np.ascontiguousarray(payload).view(CODES[payload.shape[1] * 8])[:, 0].astype(np.int64)
    return results, driven


def differences(results, operands):
    """A line for each block that differs from NumPy."""
    lines = []
    for name, result in results.items():
        fmt = out_format(BLOCKS[name])
        expected = canonical(numpy_result(BLOCKS[name], operands[name]).astype(np.int64), fmt)
        # A NaN of the hardware must be the canonical one.
        wrong = np.flatnonzero(result != expected)
        if wrong.size:
            first = wrong[0]
            sides = ", ".join(f"{int(side[first]):#x}" for side in operands[name])
            lines.append(
                f"{name}: {wrong.size:,} of {len(result):,}; of {sides}: {result[first]:#x}, not {expected[first]:#x}"
            )
    return lines


def test_blocks_against_numpy(design):
    operands = {name: vectors(name) for name in BLOCKS}
    results, driven = run(design, operands)
    assert not differences(results, operands)
    for name, block in BLOCKS.items():
        assert driven.first[f"{name}_o"] - driven.first[f"{name}_i"] == block.latency, name
        # One result in each cycle.
        assert driven.last[f"{name}_o"] - driven.first[f"{name}_o"] == len(results[name]) - 1, name


def test_nothing_moves_without_enable(design):
    operands = {name: sample(vectors(name, 500), 500) for name in BLOCKS}
    results, _ = run(design, operands, stall_in=40, stall_out=40)
    assert not differences(results, operands)


def test_latencies():
    assert {name: BLOCKS[name].latency for name in LATENCIES} == LATENCIES


# A second opinion: NumPy against exact fractions


def value(bits, fmt):
    """Exact value of a finite number."""
    exponent, fraction = bits >> fmt.fraction_bits & fmt.highest, bits & (1 << fmt.fraction_bits) - 1
    significand = fraction + (1 << fmt.fraction_bits if exponent else 0)
    exact = significand * Fraction(2) ** (max(exponent, 1) - fmt.bias - fmt.fraction_bits)
    return -exact if bits >> (fmt.width - 1) else exact


def rounded(exact, fmt):
    """Magnitude of the code nearest to a fraction, ties to even."""
    if not exact:
        return 0
    exact = abs(exact)
    # The denominator is a power of two.
    exponent = max(exact.numerator.bit_length() - exact.denominator.bit_length(), 1 - fmt.bias)
    units = round(exact / Fraction(2) ** (exponent - fmt.fraction_bits))
    # Whole units count codes: a carry into the next exponent, or to infinity, is the next code.
    return min((exponent + fmt.bias - 1 << fmt.fraction_bits) + units, fmt.infinity)


def exact_result(block, operands):
    """Code of the result for finite operands."""
    fmt = out_format(block)
    if isinstance(block, IntegerToFloat):
        exact = operands[0] * Fraction(2) ** (block.offset + (operands[1] if len(operands) > 1 else 0))
        negative = exact < 0
    elif isinstance(block, FloatConverter):
        exact = value(operands[0], block.in_format)
        negative = operands[0] >> (block.in_format.width - 1)
    elif isinstance(block, FloatAdder):
        exact = value(operands[0], fmt) + value(operands[1], fmt)
        negative = exact < 0 or (operands[0] & operands[1]) >> (fmt.width - 1)
    else:
        formats = block.a_format, block.b_format
        signs = [bits >> (side.width - 1) for bits, side in zip(operands, formats, strict=True)]
        exact = value(operands[0], formats[0]) * value(operands[1], formats[1])
        negative = signs[0] ^ signs[1]
    if getattr(block, "flush", False) and abs(exact) < Fraction(2) ** (1 - fmt.bias):
        return 0
    return rounded(exact, fmt) | (bool(negative) << (fmt.width - 1))


def operand_formats(block):
    if isinstance(block, IntegerToFloat):
        return []
    if isinstance(block, FloatConverter):
        return [block.in_format]
    return [block.a_format, block.b_format] if isinstance(block, FloatMultiplier) else [block.fmt] * 2


def finite(block, operands):
    """The operands without infinity and NaN."""
    keep = np.ones(len(operands[0]), bool)
    for codes, fmt in zip(operands, operand_formats(block), strict=False):
        keep &= codes & (1 << fmt.width - 1) - 1 < fmt.infinity
    return tuple(codes[keep] for codes in operands)


def sample(operands, count):
    chosen = np.random.default_rng(1).permutation(len(operands[0]))[:count]
    return tuple(codes[chosen] for codes in operands)


@pytest.mark.parametrize("name", BLOCKS)
def test_numpy_against_fractions(name):
    block = BLOCKS[name]
    operands = sample(finite(block, vectors(name, 2000)), 1000)
    expected = [exact_result(block, sides) for sides in zip(*(side.tolist() for side in operands), strict=True)]
    assert numpy_result(block, operands).tolist() == expected


NAN32, NAN16 = FP32.nan, FP16.nan
CORNERS = [
    ("add_fp32", "a tie goes down to even", (0x3F800000, 0x33800000), 0x3F800000),
    ("add_fp32", "a tie goes up to even", (0x3F800001, 0x33800000), 0x3F800002),
    ("add_fp32", "above a tie by the last bit of the far operand", (0x3F800000, 0x33800001), 0x3F800001),
    ("add_fp32", "above a tie by a number far below", (0x4B800001, 0x3F800001), 0x4B800002),
    ("add_fp32", "below a tie in a difference", (0x3F800000, 0xB3000001), 0x3F7FFFFF),
    ("add_fp32", "a tie in a difference, below a power of two", (0x3F800000, 0xB3000000), 0x3F800000),
    ("add_fp32", "rounding carries into the exponent", (0x3FFFFFFF, 0x33800000), 0x40000000),
    ("add_fp32", "rounding carries to infinity", (0x7F7FFFFF, 0x73000000), 0x7F800000),
    ("add_fp32", "not quite to infinity", (0x7F7FFFFF, 0x72FFFFFF), 0x7F7FFFFF),
    ("add_fp32", "cancellation leaves the last bit", (0x3F800001, 0xBF800000), 0x34000000),
    ("add_fp32", "cancellation leaves a subnormal", (0x00800001, 0x80800000), 0x00000001),
    ("add_fp32", "subnormals add up to a normal number", (0x007FFFFF, 0x00000001), 0x00800000),
    ("add_fp32", "x + -x", (0xC2F6E979, 0x42F6E979), 0x00000000),
    ("add_fp32", "-0 + -0", (0x80000000, 0x80000000), 0x80000000),
    ("add_fp32", "-0 + +0", (0x80000000, 0x00000000), 0x00000000),
    ("add_fp32", "-0 + x", (0x80000000, 0x00000001), 0x00000001),
    ("add_fp32", "infinity + -infinity", (0x7F800000, 0xFF800000), NAN32),
    ("add_fp32", "-infinity + greatest", (0xFF800000, 0x7F7FFFFF), 0xFF800000),
    ("add_fp32", "a signaling NaN", (0xFF800001, 0x00000000), NAN32),
    ("add_fp32_normal", "x + -x", (0xC2F6E979, 0x42F6E979), 0x00000000),
    ("add_fp32_normal", "-0 + -0", (0x80000000, 0x80000000), 0x80000000),
    ("add_fp32_normal", "x + 0", (0x00800000, 0x00000000), 0x00800000),
    ("multiply_fp32_fp16", "a tie goes down to even", (0x3F800001, 0x3E00), 0x3FC00002),
    ("multiply_fp32_fp16", "a tie goes up to even", (0x3F800003, 0x3E00), 0x3FC00004),
    ("multiply_fp32_fp16", "rounding carries into the exponent", (0x3FFFFFFF, 0x3BFF), 0x3FFFDFFF),
    ("multiply_fp32_fp16", "half the least subnormal, a tie", (0x00000001, 0x3800), 0x00000000),
    ("multiply_fp32_fp16", "three halves of it", (0x00000003, 0xB800), 0x80000002),
    ("multiply_fp32_fp16", "rounds up to the least normal", (0x00FFFFFF, 0x3800), 0x00800000),
    ("multiply_fp32_fp16", "the least subnormal of FP16", (0x7F7FFFFF, 0x0001), 0x737FFFFF),
    ("multiply_fp32_fp16", "overflow", (0x7F7FFFFF, 0xBC01), 0xFF800000),
    ("multiply_fp32_fp16", "-0 * x", (0x80000000, 0x3C00), 0x80000000),
    ("multiply_fp32_fp16", "0 * infinity", (0x00000000, 0xFC00), NAN32),
    ("multiply_fp32_fp16", "infinity * least", (0x7F800000, 0x8001), 0xFF800000),
    ("multiply_fp32_fp16_scale", "the least subnormal of FP16", (0x3F800000, 0x0001), 0x33800000),
    ("multiply_fp16_to_fp32", "least times least", (0x0001, 0x8001), 0xA7800000),
    ("multiply_fp16", "rounds up to the least normal", (0x07FF, 0x3800), 0x0400),
    ("multiply_fp16", "rounding carries to infinity", (0x5BFF, 0x5C01), 0x7C00),
    ("convert_fp32_fp16", "a tie goes down to even", (0x3F801000,), 0x3C00),
    ("convert_fp32_fp16", "a tie goes up to even", (0x3F803000,), 0x3C02),
    ("convert_fp32_fp16", "above a tie by the last bit", (0x3F801001,), 0x3C01),
    ("convert_fp32_fp16", "the greatest that is finite", (0x477FEFFF,), 0x7BFF),
    ("convert_fp32_fp16", "the least that is infinity, 65520", (0x477FF000,), 0x7C00),
    ("convert_fp32_fp16", "rounds up to the least normal", (0x387FF000,), 0x0400),
    ("convert_fp32_fp16", "half the least subnormal, a tie", (0x33000000,), 0x0000),
    ("convert_fp32_fp16", "above that", (0xB3000001,), 0x8001),
    ("convert_fp32_fp16", "a subnormal", (0x80000001,), 0x8000),
    ("convert_fp32_fp16", "infinity", (0xFF800000,), 0xFC00),
    ("convert_fp32_fp16", "a NaN without upper bits", (0xFF800001,), NAN16),
    ("convert_fp16_fp32", "the least subnormal", (0x8001,), 0xB3800000),
    ("convert_fp16_fp32", "a NaN", (0xFC01,), NAN32),
    ("integer_26_fp32", "the least integer", (-(1 << 25), 0), 0xBD000000),
    ("integer_26_fp32", "a tie goes down to even", ((1 << 24) + 1, 30), 0x4B800000),
    ("integer_26_fp32", "a tie goes up to even", ((1 << 24) + 3, 30), 0x4B800002),
    ("integer_26_fp32", "rounding carries into the exponent", ((1 << 25) - 1, 30), 0x4C000000),
    ("integer_26_fp32", "zero", (0, 31), 0x00000000),
    ("integer_26_fp16", "the least subnormal", (-1, 6), 0x8001),
    ("integer_26_fp16", "half of it, a tie", (1, 5), 0x0000),
    ("integer_26_fp16", "three halves of it", (3, 5), 0x0002),
    ("integer_26_fp16", "65519", (65519, 30), 0x7BFF),
    ("integer_26_fp16", "65520", (-65520, 30), 0xFC00),
]


def test_corners(design):
    operands, expected = {}, {}
    for name, case, sides, wanted in CORNERS:
        block = BLOCKS[name]
        single = tuple(np.array([side], np.int64) for side in sides)
        assert canonical(numpy_result(block, single), out_format(block)) == wanted, case
        if len(finite(block, single)[0]):
            assert exact_result(block, sides) == wanted, case
        operands.setdefault(name, []).append(sides)
        expected.setdefault(name, []).append(wanted)
    operands = {
        name: tuple(np.array(side, np.int64) for side in zip(*operands.get(name, ()), strict=True)) or idle(block)
        for name, block in BLOCKS.items()
    }
    results, _ = run(design, operands)
    for name, wanted in expected.items():
        assert results[name].tolist() == wanted, name


def idle(block):
    return tuple(np.zeros(0, np.int64) for _ in Streamed.operands(block))


@pytest.mark.parametrize(("fmt", "dtype"), DTYPES.items())
def test_formats(fmt, dtype):
    info = ml_dtypes.finfo(dtype)
    assert (fmt.width, fmt.exponent_bits, fmt.fraction_bits) == (info.bits, info.nexp, info.nmant)
    assert number([fmt.bias << fmt.fraction_bits], fmt) == 1
    assert number([fmt.infinity - 1], fmt) == info.max
    assert np.isposinf(number([fmt.infinity], fmt).astype(float))
    assert np.isnan(number([fmt.nan], fmt).astype(float))


@pytest.mark.parametrize(
    ("bits", "message"),
    [
        ((1, 10), "exponent_bits must be 2 to 11, not 1"),
        ((12, 10), "exponent_bits must be 2 to 11, not 12"),
        ((8, 0), "fraction_bits must be 1 to 52, not 0"),
        ((8, 53), "fraction_bits must be 1 to 52, not 53"),
    ],
)
def test_formats_out_of_range(bits, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        FloatFormat(*bits)


@pytest.mark.parametrize("stages", [0, 6])
def test_stages_out_of_range(stages):
    adder = unwarned(FloatAdder.__new__(FloatAdder))
    with pytest.raises(ValueError, match=f"^stages must be 1 to 5, not {stages}$"):
        adder.__init__(FP32, stages=stages)
