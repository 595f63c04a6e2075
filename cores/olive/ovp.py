"""Outlier-victim pairs (OliVe, ISCA 2023): the decoder of Figure 6b, and an encoder of ours for the way back.

The formats, and which of their details are the paper's, are described in `golden/olive/ovp.py`. A core has one format,
chosen when it is generated; the paper's hardware switches between 4 and 8 bits at run time. The paper's instruction
brings a signed 4-bit bias (Section 4); here the bias is a constant or one unsigned port, for whatever passes (our
choice).
"""

from dataclasses import dataclass

from amaranth import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.olive.ovp import FORMATS
from ...hdl.integer.bits import leading_zeros, shift_left
from ...hdl.integer.rounding import saturate
from ...hdl.stream.stages import PipelineRegister, SkidBuffer
from ..config import Config, param

__all__ = ["OvpDecoder", "OvpDecoderConfig", "OvpEncoder", "OvpEncoderConfig", "decode_pair"]


@dataclass(frozen=True)
class OvpDecoderConfig(Config):
    """Parameters of `OvpDecoder`."""

    normal: str = param("int4", "type of the normal values; it sets the code's width", choices=tuple(FORMATS))
    pairs: int = param(1, "pairs per transfer", low=1, high=32)
    bias: int | None = param(
        None,
        "exponent bias of the outliers; none: the type's own (int4 2, flint4 3, int8 4)",
        low=0,
        high=12,
        optional=True,
    )
    bias_port: bool = param(False, "take the bias from the input port `bias` in place of a constant")

    def __post_init__(self):
        super().__post_init__()
        if self.bias_port and self.bias is not None:
            raise ValueError(f"bias must be none where bias_port is true, not {self.bias}")
        _ = self.format

    @property
    def format(self):
        """The `OvpFormat`."""
        return FORMATS[self.normal].with_bias(self.bias)

    @property
    def packed_layout(self):
        """Payload of a stream of packed pairs.

        Fields: `codes`, those of `pairs` pairs, the first pair lowest, in each pair the even value in the low half;
        `last`, the end of a packet, which goes through with its transfer.
        """
        return data.StructLayout({"codes": data.ArrayLayout(2 * self.format.bits, self.pairs), "last": 1})

    @property
    def value_layout(self):
        """One decoded value, `integer << exponent`: the exponent in the low 4 bits (paper, Figure 7)."""
        fmt = self.format
        return data.StructLayout({"exponent": fmt.exponent_bits, "integer": signed(fmt.integer_bits)})

    @property
    def decoded_layout(self):
        """Payload of a stream of decoded values.

        Fields: `values`, two a pair, the first pair and its even value lowest, each one `integer` times 2 to the power
        of `exponent`; `last`, the end of a packet.
        """
        return data.StructLayout({"values": data.ArrayLayout(self.value_layout, 2 * self.pairs), "last": 1})


class OvpDecoder(wiring.Component):
    """Decode packed outlier-victim pairs to exponent-integer pairs.

    Latency 1 cycle, one transfer per cycle. No combinational path from `o.ready` to `i.ready`: the spare register sits
    before the decoders, where a pair is narrowest.

    Parameters
    ----------
    config : OvpDecoderConfig
        Format, pairs per transfer, bias.

    Attributes
    ----------
    i : stream of `config.packed_layout`
        Packed bytes, even value in the low half of each pair (our choice). Transfers do not depend on each other.
    o : stream of `config.decoded_layout`
        Decoded values, one transfer for each of `i`, in order. A victim is (0, 0). Illegal codes decode as the paper's
        network does: to the value 0, except 8-bit outliers above the clip, whose exponent wraps to 4 bits.
    illegal : out 1
        High from the first illegal pair on, together with the transfer that holds it, until reset.
    bias : in 4
        Only with `config.bias_port`: the exponent bias, unsigned, legal up to `config.format.max_bias`; hold it while
        data flows (our choice; the paper has a signed one in each instruction).
    """

    def __init__(self, config):
        self.config = config
        ports = {
            "i": In(stream.Signature(config.packed_layout)),
            "o": Out(stream.Signature(config.decoded_layout)),
            "illegal": Out(1),
        }
        if config.bias_port:
            ports["bias"] = In(config.format.exponent_bits)
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        config, fmt = self.config, self.config.format
        m.submodules.skid = skid = SkidBuffer(config.packed_layout)
        m.submodules.register = register = PipelineRegister(config.decoded_layout)
        connect(m, flipped(self.i), skid.i)
        connect(m, register.o, flipped(self.o))

        bias = self.bias if config.bias_port else Const(fmt.bias, fmt.exponent_bits)
        illegal = []
        for pair in range(config.pairs):
            codes = skid.o.payload.codes[pair]
            values, pair_illegal = decode_pair(m, fmt, codes, bias)
            for target, (exponent, integer) in enumerate(values):
                value = register.i.payload.values[2 * pair + target]
                m.d.comb += [value.exponent.eq(exponent), value.integer.eq(integer)]
            illegal.append(pair_illegal)
        m.d.comb += [
            register.i.payload.last.eq(skid.o.payload.last),
            register.i.valid.eq(skid.o.valid),
            skid.o.ready.eq(register.i.ready),
        ]
        with m.If(register.i.valid & register.i.ready & Cat(illegal).any()):
            m.d.sync += self.illegal.eq(1)
        return m


def decode_pair(m, fmt, codes, bias):
    """Combinational decoder of one packed pair (paper, Figure 6b).

    Parameters
    ----------
    m : Module
        Takes the decoder's statements.
    fmt : OvpFormat
        Format.
    codes : Value
        The pair, `2 * fmt.bits` wide, even value in the low half.
    bias : Value
        Exponent bias of the outliers, 4 bits.

    Returns
    -------
    values : pair of (exponent, integer)
        Both values; a victim is (0, 0).
    illegal : Value
        Two identifiers, or one beside a banned outlier code.
    """
    first, second = codes[: fmt.bits], codes[fmt.bits :]
    first_victim, second_victim = first == fmt.identifier, second == fmt.identifier
    shared = Signal(fmt.bits)
    m.d.comb += shared.eq(Mux(first_victim, second, first))
    outlier, banned = _decode_outlier(fmt, shared, bias)

    def choose(code, victim, partner_is_victim):
        return tuple(
            Mux(partner_is_victim, of_outlier, Mux(victim, 0, of_normal))
            for of_outlier, of_normal in zip(outlier, _decode_normal(fmt, code), strict=True)
        )

    values = choose(first, first_victim, second_victim), choose(second, second_victim, first_victim)
    return values, (first_victim | second_victim) & banned


def _decode_outlier(fmt, code, bias):
    """(exponent, integer) of an abfloat code, and whether it is banned (paper, Figure 7)."""
    mantissa, exponent = code[: fmt.mantissa_bits], code[fmt.mantissa_bits : fmt.bits - 1]
    zero = ~code[:-1].any()
    integer = Mux(zero, 0, Cat(mantissa, 1))
    banned = zero
    if fmt.max_exponent + 1 < 1 << len(exponent):
        banned |= exponent > fmt.max_exponent
    return ((exponent + bias)[: fmt.exponent_bits], Mux(code[-1], -integer, integer)[: fmt.bits].as_signed()), banned


def _decode_normal(fmt, code):
    """(exponent, integer) of a normal code."""
    if fmt.normal == "int":
        return Const(0, fmt.exponent_bits), code.as_signed()
    exponents, integers = fmt.normal_table
    magnitudes = 1 << (fmt.bits - 1)
    exponent = Array(Const(int(value), fmt.exponent_bits) for value in exponents[:magnitudes])[code[:-1]]
    integer = Array(Const(int(value), fmt.bits) for value in integers[:magnitudes])[code[:-1]]
    return exponent, Mux(code[-1], -integer, integer)[: fmt.bits].as_signed()


@dataclass(frozen=True)
class OvpEncoderConfig(Config):
    """Parameters of `OvpEncoder`."""

    normal: str = param("int4", "type of the normal values; it sets the code's width", choices=tuple(FORMATS))
    pairs: int = param(1, "pairs per transfer", low=1, high=32)
    bias: int | None = param(
        None,
        "exponent bias of the outliers, at least the type's own; none: the type's own (int4 2, flint4 3, int8 4)",
        low=2,
        high=12,
        optional=True,
    )
    width: int = param(24, "bits of an input value, sign and fraction included", low=4, high=48)
    fraction: int = param(4, "fraction bits of an input value, at most width - 2", low=1, high=46)

    def __post_init__(self):
        super().__post_init__()
        if self.fraction > self.width - 2:
            raise ValueError(f"fraction must be 1 to {self.width - 2} for a width of {self.width}, not {self.fraction}")
        if self.format.bias < self.format.min_encoder_bias:
            raise ValueError(f"bias must be {self.format.min_encoder_bias} or more for {self.normal}, not {self.bias}")

    @property
    def format(self):
        """The `OvpFormat`."""
        return FORMATS[self.normal].with_bias(self.bias)

    @property
    def value_layout(self):
        """Payload of the input stream.

        Fields: `values`, signed fixed point in units of the scale step, two a pair, the first pair and its even value
        lowest; `last`, the end of a packet, which goes through with its transfer.
        """
        return data.StructLayout({"values": data.ArrayLayout(signed(self.width), 2 * self.pairs), "last": 1})

    @property
    def packed_layout(self):
        """Payload of the output stream.

        Fields: `codes`, those of `pairs` pairs, the first pair lowest, in each pair the even value in the low half;
        `last`, the end of a packet. The decoder takes it.
        """
        return OvpDecoderConfig(normal=self.normal, pairs=self.pairs).packed_layout


class OvpEncoder(wiring.Component):
    """Encode fixed-point values as packed outlier-victim pairs (the paper gives no encoder hardware: our choice).

    Latency 3 cycles, one transfer per cycle: magnitudes; the pair's compare and the choice of what is kept; rounding.
    No combinational path from `o.ready` to `i.ready`.

    Parameters
    ----------
    config : OvpEncoderConfig
        Format, pairs per transfer, bias, input width and fraction bits.
    compares : bool
        An outlier is compared with what lies between two magnitudes, not normalized: of the few magnitudes of 4 bits
        that is the shorter path. The codes are the same.

    Attributes
    ----------
    i : stream of `config.value_layout`
        Signed fixed point, `config.width` bits with `config.fraction` fraction bits, in units of the scale step.
        Transfers do not depend on each other.
    o : stream of `config.packed_layout`
        Packed pairs, one transfer for each of `i`, in order; equal to `golden.olive.ovp.encode` for every input.
    """

    def __init__(self, config, compares=False):
        self.config, self.compares = config, compares
        super().__init__(
            {"i": In(stream.Signature(config.value_layout)), "o": Out(stream.Signature(config.packed_layout))}
        )

    def elaborate(self, platform):
        m = Module()
        config, fmt = self.config, self.config.format
        # Doubled magnitudes, rounded down and saturated above the largest outlier, decide every threshold.
        top = 2 * int(fmt.outlier_magnitudes[-1])
        whole = config.width - config.fraction + 1
        doubled_bits = min(whole, top.bit_length())

        magnitude_layout = data.StructLayout({"negative": 1, "magnitude": config.width})
        magnitudes_layout = data.StructLayout(
            {"values": data.ArrayLayout(magnitude_layout, 2 * config.pairs), "last": 1}
        )
        value_layout = data.StructLayout({"negative": 1, "doubled": doubled_bits})
        kept_layout = data.StructLayout({"values": data.ArrayLayout(value_layout, 2), "keep": 2})
        selected_layout = data.StructLayout({"pairs": data.ArrayLayout(kept_layout, config.pairs), "last": 1})

        m.submodules.magnitudes = magnitudes = PipelineRegister(magnitudes_layout)
        m.submodules.selected = selected = PipelineRegister(selected_layout)
        m.submodules.skid = skid = SkidBuffer(config.packed_layout)
        m.submodules.register = register = PipelineRegister(config.packed_layout)

        for source, target in ((flipped(self.i), magnitudes.i), (magnitudes.o, selected.i), (selected.o, skid.i)):
            m.d.comb += [
                target.valid.eq(source.valid),
                source.ready.eq(target.ready),
                target.payload.last.eq(source.payload.last),
            ]
        connect(m, skid.o, register.i)
        connect(m, register.o, flipped(self.o))

        for index in range(2 * config.pairs):
            value = self.i.payload.values[index]
            magnitude = magnitudes.i.payload.values[index]
            # The most negative value's magnitude fits, as the sign bit is free.
            m.d.comb += [magnitude.negative.eq(value[-1]), magnitude.magnitude.eq(Mux(value[-1], -value, value))]

        # a >= threshold, where the threshold is a multiple of 1/2.
        threshold = int(2 * fmt.outlier_threshold) << (config.fraction - 1)
        for pair in range(config.pairs):
            first, second = (magnitudes.o.payload.values[2 * pair + side] for side in range(2))
            target = selected.i.payload.pairs[pair]
            keep_first = (first.magnitude >= threshold) & (first.magnitude > second.magnitude)
            m.d.comb += target.keep.eq(Cat(keep_first, (second.magnitude >= threshold) & ~keep_first))
            for side, source in enumerate((first, second)):
                doubled = source.magnitude[config.fraction - 1 :]
                m.d.comb += [
                    target.values[side].negative.eq(source.negative),
                    target.values[side].doubled.eq(saturate(doubled, doubled_bits)),
                ]
            m.d.comb += skid.i.payload.codes[pair].eq(
                _encode_pair(m, fmt, selected.o.payload.pairs[pair], self.compares)
            )
        return m


def _encode_pair(m, fmt, pair, compares):
    """Packed code of one pair of doubled magnitudes."""
    encode = _compare_outlier if compares else _encode_outlier
    outlier = Signal(fmt.bits)
    kept = Signal(pair.values[0].shape())
    m.d.comb += [
        kept.eq(Mux(pair.keep[1], pair.values[1], pair.values[0])),
        outlier.eq(Cat(encode(m, fmt, kept.doubled), kept.negative)),
    ]
    codes = [
        Mux(pair.keep[side], outlier, Mux(pair.keep[1 - side], fmt.identifier, _encode_normal(fmt, pair.values[side])))
        for side in range(2)
    ]
    return Cat(code[: fmt.bits] for code in codes)


def _encode_normal(fmt, value):
    """Code of a normal value: nearest magnitude, ties away from zero, saturated; zero is never negative."""
    if fmt.normal == "int":
        magnitude = saturate((value.doubled + 1)[1:], fmt.bits - 1)
        return Mux(value.negative, -magnitude, magnitude)[: fmt.bits]
    grid = fmt.normal_magnitudes
    code = Const(0, fmt.bits - 1)
    for index in range(1, len(grid)):
        reached = value.doubled >= int(grid[index - 1] + grid[index])
        code = Mux(reached, Const(int(fmt.normal_code(index, False)), fmt.bits - 1), code)
    return Cat(code, value.negative & code.any())


def _compare_outlier(m, fmt, doubled):
    """`_encode_outlier` without a shifter."""
    grid, code = fmt.outlier_magnitudes, Const(1, fmt.bits - 1)
    for index in range(1, len(grid)):
        code = Mux(doubled >= int(grid[index - 1] + grid[index]), Const(index + 1, fmt.bits - 1), code)
    return code


def _encode_outlier(m, fmt, doubled):
    """Exponent and mantissa fields of an outlier: nearest abfloat magnitude, ties away from zero, clamped."""
    # Normalize: the leading one, the mantissa, the bit to round on. An outlier has no need of the bits below.
    significant = max(len(doubled), fmt.mantissa_bits + 2)
    padded = Cat(Const(0, significant - len(doubled)), doubled)
    # Signals, because Amaranth writes an expression out again at every use.
    zeros, normalized = Signal(significant.bit_length()), Signal(significant)
    m.d.comb += [zeros.eq(leading_zeros(padded)), normalized.eq(shift_left(padded, zeros))]
    mantissa = normalized[-1 - fmt.mantissa_bits : -1]
    half = normalized[-2 - fmt.mantissa_bits]
    # log2 of the magnitude, not of its double; a mantissa that rounds up to the next power of two carries into it.
    exponent = (len(doubled) - 2 - fmt.mantissa_bits - fmt.bias) - zeros
    rounded = ((exponent << fmt.mantissa_bits) | mantissa) + half
    code = Signal(rounded.shape())
    m.d.comb += code.eq(rounded)
    top = len(fmt.outlier_magnitudes)
    return Mux(code < 1, 1, Mux(code > top, top, code))[: fmt.bits - 1]
