"""Outlier-victim pairs (OliVe, ISCA 2023): the decoder of Figure 6b, and an encoder of ours for the way back.

The formats, and which of their details are the paper's, are described in `golden/olive/ovp.py`. A core has one format,
chosen when it is generated; the paper's hardware switches between 4 and 8 bits at run time. The paper's instruction
brings a signed 4-bit bias (Section 4); here the bias is a constant or one unsigned port, for whatever passes (our
choice).
"""

from dataclasses import dataclass

import numpy as np
from amaranth import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.olive.ovp import FORMATS
from ...hdl.integer.bits import leading_zeros, shift_left
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
    def split(self):
        """Whether a code takes two steps: 8 bits are too many for tables."""
        return self.format.bits == 8

    @property
    def latency(self):
        """Cycles from a transfer to its codes."""
        return 4 if self.split else 3

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

    Latency 3 cycles, of `int8` 4, one transfer per cycle: magnitudes; the pair's compare and the choice of what is
    kept; its code, which `int8` normalizes and rounds in two steps, and 4 bits read from tables. No combinational path
    from `o.ready` to `i.ready`.

    Parameters
    ----------
    config : OvpEncoderConfig
        Format, pairs per transfer, bias, input width and fraction bits.

    Attributes
    ----------
    i : stream of `config.value_layout`
        Signed fixed point, `config.width` bits with `config.fraction` fraction bits, in units of the scale step.
        Transfers do not depend on each other.
    o : stream of `config.packed_layout`
        Packed pairs, one transfer for each of `i`, in order; equal to `golden.olive.ovp.encode` for every input.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {"i": In(stream.Signature(config.value_layout)), "o": Out(stream.Signature(config.packed_layout))}
        )

    def elaborate(self, platform):
        m = Module()
        magnitudes = self._magnitudes(m)
        selected = self._selected(m, magnitudes)
        codes = self._split(m, selected) if self.config.split else selected
        m.submodules.skid = skid = SkidBuffer(self.config.packed_layout)
        m.submodules.register = register = PipelineRegister(self.config.packed_layout)
        m.d.comb += [
            skid.i.valid.eq(codes.valid),
            codes.ready.eq(skid.i.ready),
            skid.i.payload.last.eq(codes.payload.last),
        ]
        for target, pair in zip(skid.i.payload.codes, codes.payload.pairs, strict=True):
            m.d.comb += target.eq(self._pair(pair))
        connect(m, skid.o, register.i)
        connect(m, register.o, flipped(self.o))
        return m

    def _step(self, m, name, source, pair):
        """A register behind a stream: its pairs, of a layout, to be driven; its output."""
        layout = data.StructLayout({"pairs": data.ArrayLayout(pair, self.config.pairs), "last": 1})
        m.submodules[name] = register = PipelineRegister(layout)
        m.d.comb += [
            register.i.valid.eq(source.valid),
            source.ready.eq(register.i.ready),
            register.i.payload.last.eq(source.payload.last),
        ]
        return register.i.payload.pairs, register.o

    def _magnitudes(self, m):
        """First step: signs and magnitudes."""
        value = data.StructLayout({"negative": 1, "magnitude": self.config.width})
        pairs, out = self._step(m, "magnitudes", flipped(self.i), data.ArrayLayout(value, 2))
        for index, value in enumerate(self.i.payload.values):
            target = pairs[index // 2][index % 2]
            # The most negative value's magnitude fits, as the sign bit is free.
            m.d.comb += [target.negative.eq(value[-1]), target.magnitude.eq(Mux(value[-1], -value, value))]
        return out

    def _selected(self, m, magnitudes):
        """Second step: what is kept; of doubled magnitudes, rounded down, what decides about codes."""
        config, fmt = self.config, self.config.format
        value = data.StructLayout({"negative": 1, "normal": _normal_bits(fmt)})
        layout = {"keep": 2, "values": data.ArrayLayout(value, 2), "negative": 1, "outlier": _outlier_bits(fmt)}
        pairs, out = self._step(m, "selected", magnitudes, data.StructLayout(layout))
        # The threshold is a multiple of 1/2.
        threshold = int(2 * fmt.outlier_threshold) << (config.fraction - 1)
        for source, target in zip(magnitudes.payload.pairs, pairs, strict=True):
            reached = [_reaches(side.magnitude, threshold) for side in source]
            keep_first = Signal()
            m.d.comb += [
                keep_first.eq(reached[0] & (source[0].magnitude > source[1].magnitude)),
                target.keep.eq(Cat(keep_first, reached[1] & ~keep_first)),
                target.negative.eq(Mux(keep_first, source[0].negative, source[1].negative)),
            ]
            outliers = []
            for side, value in zip(source, target.values, strict=True):
                doubled = side.magnitude[config.fraction - 1 :]
                m.d.comb += [value.negative.eq(side.negative), value.normal.eq(_cut(doubled, 0, len(value.normal)))]
                outliers.append(_cut(doubled, fmt.bias, len(target.outlier)))
            m.d.comb += target.outlier.eq(Mux(keep_first, *outliers))
        return out

    def _split(self, m, selected):
        """Third step of two: normal codes, and an outlier normalized, but not yet rounded up."""
        fmt = self.config.format
        layout = {"keep": 2, "codes": data.ArrayLayout(fmt.bits, 2), "negative": 1, "magnitude": fmt.bits - 1, "up": 1}
        pairs, out = self._step(m, "normalized", selected, data.StructLayout(layout))
        for source, target in zip(selected.payload.pairs, pairs, strict=True):
            magnitude, up = _normalized_outlier(m, fmt, source.outlier)
            m.d.comb += [
                target.keep.eq(source.keep),
                Cat(target.codes).eq(Cat(_round_normal(fmt, value) for value in source.values)),
                target.negative.eq(source.negative),
                target.magnitude.eq(magnitude),
                target.up.eq(up),
            ]
        return out

    def _pair(self, pair):
        """Last step: packed code of one pair."""
        fmt = self.config.format
        if self.config.split:
            normals, outlier = pair.codes, pair.magnitude + pair.up
        else:
            normals = [Array(_normal_codes(fmt))[Cat(value.normal, value.negative)] for value in pair.values]
            outlier = Array(_outlier_codes(fmt))[pair.outlier]
        outlier = Cat(outlier[: fmt.bits - 1], pair.negative)
        return Cat(
            Mux(pair.keep[side], outlier, Mux(pair.keep[1 - side], fmt.identifier, normals[side]))[: fmt.bits]
            for side in range(2)
        )


def _reaches(value, threshold):
    """``value >= threshold``, without a carry chain: of a constant, most bits decide nothing."""
    reached = Const(1, 1)
    for place, bit in enumerate(value):
        # Below the lowest one of the threshold, all is reached.
        if threshold >> place & 1:
            reached = bit & reached
        elif threshold & ((1 << place) - 1):
            reached = bit | reached
    return reached if threshold >> len(value) == 0 else Const(0, 1)


def _cut(doubled, low, bits):
    """Bits of a doubled magnitude from `low` up, saturated."""
    over = doubled[low + bits :].any()
    kept = doubled[low : low + bits]
    return Cat(kept, Const(0, bits - len(kept))) | over.replicate(bits)


def _normal_bits(fmt):
    """Of a doubled magnitude, for the code of a normal value: beyond the last threshold nothing changes."""
    return int(fmt.normal_magnitudes[-1] + fmt.normal_magnitudes[-2]).bit_length()


def _outlier_bits(fmt):
    """Of a doubled magnitude from bit `bias` up, for the code of an outlier: exponents, mantissa, half."""
    return fmt.max_exponent + 1 + fmt.mantissa_bits + 1


def _normal_codes(fmt):
    """Codes by doubled magnitude, then those of negative values: nearest magnitude, ties away from zero."""
    grid, doubled = fmt.normal_magnitudes, np.arange(1 << _normal_bits(fmt))
    index = np.searchsorted(grid[1:] + grid[:-1], doubled, side="right")
    codes = np.concatenate([fmt.normal_code(index, np.full(index.shape, negative)) for negative in (False, True)])
    return [Const(int(code), fmt.bits) for code in codes]


def _outlier_codes(fmt):
    """Codes without sign by what is kept of the doubled magnitude: nearest abfloat, ties away from zero, clamped."""
    grid, doubled = fmt.outlier_magnitudes, np.arange(1 << _outlier_bits(fmt)) << fmt.bias
    codes = np.searchsorted(grid[1:] + grid[:-1], doubled, side="right") + 1
    return [Const(int(code), fmt.bits - 1) for code in codes]


def _round_normal(fmt, value):
    """`_normal_codes` of integers, by arithmetic."""
    magnitude = value.normal[1:] + (value.normal[0] & ~value.normal[1:].all())
    return Mux(value.negative, -magnitude, magnitude)[: fmt.bits]


def _normalized_outlier(m, fmt, kept):
    """`_outlier_codes` by arithmetic: the code, and whether it is one more."""
    # The leading one of an outlier is among the highest bits, each of which stands for an exponent.
    zeros = leading_zeros(kept[fmt.mantissa_bits + 1 :])
    exponent, normalized = Signal(range(fmt.max_exponent + 1)), Signal(len(kept))
    # Signals, because Amaranth writes an expression out again at every use.
    m.d.comb += [exponent.eq(fmt.max_exponent - zeros), normalized.eq(shift_left(kept, (~exponent)[: len(exponent)]))]
    one = 1 << fmt.mantissa_bits
    least, beyond = _reaches(kept, 2 * (one + 1)), _reaches(kept, (4 * one - 1) << fmt.max_exponent)
    code = Cat(normalized[-1 - fmt.mantissa_bits : -1], exponent)
    return Mux(least, code, 1), normalized[-2 - fmt.mantissa_bits] & least & ~beyond
