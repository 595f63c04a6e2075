"""The MX quantizer: FP16 values to blocks of narrow elements with a power of two as their scale.

The scale and the rounding are those of the OCP Microscaling Formats (MX v1.0, 6.3); the hardware is our choice. A block
goes through twice: first its largest exponent is present while it goes into a memory, then it leaves the memory and
becomes codes, while the next block comes in. The memory is a ring with a few words more than a block has, so that
nothing ever waits for a scale. NVFP4 is not among the formats: its blocks need the largest magnitude of the whole
tensor before the first of them.

Cost of a value of a transfer: a compare and a multiplexer of 5 bits in the first pass, and a shifter of 21 bits in the
second, of which the bits below the element only leave a trace.
"""

from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ...golden.mx.formats import E8M0_BIAS, E8M0_NAN, FORMATS
from ...hdl.emission.replicate import Replica
from ...hdl.floating.formats import stage, take
from ...hdl.integer.bits import leading_zeros
from ..config import Config, param
from .lane import FRACTION, SPECIAL, MxLane

__all__ = ["MxQuantizer", "MxQuantizerConfig"]

#: Formats whose scales are powers of two.
POWERS = tuple(name for name, fmt in FORMATS.items() if not fmt.two_level)
_HALF_BIAS = 15


@dataclass(frozen=True)
class MxQuantizerConfig(Config):
    """Parameters of `MxQuantizer`."""

    format: str = param("mxfp4", "elements and their scales", choices=POWERS)
    lanes: int = param(16, "values per transfer, a divisor of the block of 32", low=1, high=32)

    def __post_init__(self):
        super().__post_init__()
        if self.block % self.lanes:
            raise ValueError(f"lanes must divide the block of {self.block}, not be {self.lanes}")

    @property
    def element(self):
        """Of the format."""
        return FORMATS[self.format].element

    @property
    def block(self):
        """Values that share a scale."""
        return FORMATS[self.format].block

    @property
    def load(self):
        """Transfers of a block."""
        return self.block // self.lanes

    @property
    def levels(self):
        """Register stages in which the largest exponent of a transfer is present."""
        return max(1, ceil_log2(self.lanes))

    @property
    def depth(self):
        """Transfers that the memory holds: those of a block, and those that come in until its first one leaves."""
        return 1 << ceil_log2(self.load + self.levels + 3)

    @property
    def latency(self):
        """Cycles from the last transfer of a block to its first codes, without stalls."""
        return self.levels + 6

    @property
    def value_layout(self):
        """Payload of the input stream: `values`, FP16 codes, the first one lowest; `last`, the row ends here."""
        return data.StructLayout({"values": data.ArrayLayout(16, self.lanes), "last": 1})

    @property
    def output_layout(self):
        """Payload of the output stream: `codes`, the first one lowest; `scale`; `last` transfer of the row.

        A code has its sign on top, or is in two's complement for "mxint8"; the scale is an E8M0 code, the same in all
        transfers of a block, and 255 where the block is no number.
        """
        codes = data.ArrayLayout(self.element.bits, self.lanes)
        return data.StructLayout({"codes": codes, "scale": 8, "last": 1})


class MxQuantizer(wiring.Component):
    """Quantize rows of FP16 values, equal to `golden.mx.quantize` with `nan_blocks`.

    The parts of a block come out in order, each with the scale. A row that ends within a block is filled up with zeros,
    a transfer a cycle in which nothing goes in.

    Latency `levels + 6` cycles, 10 by default, from the last transfer of a block to its first codes; `levels` are those
    of a tree over the lanes. One transfer per cycle. No combinational path from `o.ready` to `i.ready`.

    Parameters
    ----------
    config : MxQuantizerConfig

    Attributes
    ----------
    i : in stream of `config.value_layout`
        Rows of values, one after the other, in order. Any FP16 codes; subnormal numbers count as they are. NaN or Inf
        makes the block one of the scale 255 with codes of 0. Values of the last transfer that the row does not have
        must be +0.
    o : out stream of `config.output_layout`
        Blocks of each row in order, ``32 / lanes`` transfers for each, those of zeros included.
    nonfinite : out 1
        High from the first Inf or NaN on, at the latest together with its block, until reset.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(config.value_layout)),
                "o": Out(stream.Signature(config.output_layout)),
                "nonfinite": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.values = values = memory.Memory(shape=16 * config.lanes, depth=config.depth, init=[])
        blocks = max(2, 1 << ceil_log2(config.depth // config.load))
        layout = data.StructLayout({"field": 5, "fraction": FRACTION, "last": 1})
        m.submodules.largest = largest = memory.Memory(shape=layout, depth=blocks, init=[])
        taken, completed = Signal(), Signal()
        self._store(m, values.write_port(), largest.write_port(), taken, completed)
        self._convert(m, values.read_port(), largest.read_port(), taken, completed)
        return m

    def _store(self, m, values, largest, taken, completed):
        """First pass: into the memory, and the largest exponent; one word a cycle leaves with `taken`.

        `completed`: the largest exponent of a block is being written.
        """
        config = self.config
        level, position = Signal(range(config.depth + 1)), Signal(range(config.load))
        full, filling, write = level[-1], Signal(), Signal()
        block_ends = position == config.load - 1
        m.d.comb += [
            self.i.ready.eq(~full & ~filling),
            write.eq(~full & (self.i.valid | filling)),
            values.en.eq(write),
        ]
        m.d.sync += level.eq(level + write - taken)
        with m.If(write):
            m.d.sync += [
                values.addr.eq(values.addr + 1),
                position.eq(Mux(block_ends, 0, position + 1)),
                filling.eq(~block_ends & (filling | self.i.payload.last)),
            ]
        fields, fractions = [], []
        for index, value in enumerate(self.i.payload.values):
            kept = values.data.word_select(index, 16)
            m.d.comb += kept.eq(Mux(filling, 0, value))
            fields.append(kept[FRACTION:15])
            fractions.append(kept[:FRACTION])
        with m.If(write & Cat((field == SPECIAL) for field in fields).any()):
            m.d.sync += self.nonfinite.eq(1)

        # The tree, a level a stage; beside it what the transfer ends. Where the largest exponent is that of subnormal
        # numbers, all are subnormal, and the leading bit of all fractions together is that of the largest one.
        present, ends = write, {"block_ends": block_ends, "row_ends": filling | self.i.payload.last}
        for number in range(config.levels):
            fields, fractions = _halved(fields, _larger), _halved(fractions, lambda a, b: a | b)
            words = {f"field_{index}": field for index, field in enumerate(fields)}
            words |= {f"fraction_{index}": fraction for index, fraction in enumerate(fractions)}
            level_of_tree = stage(m, f"tree_{number}", Const(1), **words, **ends)
            ends = take(level_of_tree, *ends)
            fields, fractions = (
                [getattr(level_of_tree, f"{kind}_{index}") for index in range(len(fields))]
                for kind in ("field", "fraction")
            )
            previous, present = present, Signal(name=f"found_{number}")
            m.d.sync += present.eq(previous)

        # Of the block up to here.
        field, fraction = Signal(5), Signal(FRACTION)
        m.d.comb += [
            completed.eq(present & ends["block_ends"]),
            largest.en.eq(completed),
            largest.data.last.eq(ends["row_ends"]),
            largest.data.field.eq(_larger(field, fields[0])),
            largest.data.fraction.eq(fraction | fractions[0]),
        ]
        with m.If(present):
            m.d.sync += [
                field.eq(Mux(completed, 0, largest.data.field)),
                fraction.eq(Mux(completed, 0, largest.data.fraction)),
            ]
        with m.If(completed):
            m.d.sync += largest.addr.eq(largest.addr + 1)

    def _convert(self, m, values, largest, taken, completed):
        """Second pass: out of the memory, and the codes."""
        config = self.config
        en = Signal()
        m.d.comb += en.eq(self.o.ready | ~self.o.valid)

        # Word by word of a block that has come completely; stages 1 to 4 hold what `valid` says.
        pending, position = Signal(range(config.depth // config.load + 1)), Signal(range(config.load))
        starts, goes, valid = position == 0, Signal(), Signal(4)
        block_ends = position == config.load - 1
        m.d.comb += [
            goes.eq(~starts | (pending != 0)),
            largest.en.eq(en & starts),
            values.en.eq(en),
            taken.eq(en & valid[0]),
        ]
        m.d.sync += pending.eq(pending + completed - (en & goes & starts))
        with m.If(en):
            m.d.sync += [valid.eq(Cat(goes, valid)), self.o.valid.eq(valid[-1])]
        with m.If(en & goes):
            m.d.sync += position.eq(Mux(block_ends, 0, position + 1))
            with m.If(starts):
                m.d.sync += largest.addr.eq(largest.addr + 1)
        with m.If(taken):
            m.d.sync += values.addr.eq(values.addr + 1)
        read = stage(m, "read", en, block_ends=block_ends)

        zeros, scale = _scale(m, largest.data, config.element)
        later = stage(
            m,
            "scaled",
            en,
            zeros=zeros,
            field=largest.data.field,
            scale=scale,
            last=read.block_ends & largest.data.last,
        )
        codes = []
        for index in range(config.lanes):
            m.submodules[f"lane_{index}"] = Replica(lane := MxLane(config.format))
            m.d.comb += [
                lane.en.eq(en),
                lane.value.eq(values.data.word_select(index, 16)),
                lane.largest.eq(later.field),
                lane.zeros.eq(later.zeros),
            ]
            codes.append(lane.code)
        for name in ("placed", "shifted", "rounded"):
            later = stage(m, name, en, **take(later, "scale", "last"))
        m.d.comb += [
            self.o.payload.codes.eq(Cat(codes)),
            self.o.payload.scale.eq(later.scale),
            self.o.payload.last.eq(later.last),
        ]


def _halved(words, combine):
    """Words of a tree's next level."""
    return [combine(*pair) for pair in zip(words[::2], words[1::2], strict=False)] + words[len(words) // 2 * 2 :]


def _larger(a, b):
    """The larger one of two exponent fields, by the sign of a difference."""
    return Mux((a - b)[-1], b, a)


def _scale(m, largest, element):
    """Places that a block of subnormal numbers is moved by, and the E8M0 code, of a block's largest exponent."""
    zeros, subnormal = Signal(4), largest.field == 0
    m.d.comb += zeros.eq(Mux(subnormal, leading_zeros(largest.fraction) + 1, 0))
    # The field of FP16 has the bias 15; a subnormal number has the exponent of the field 1, less its leading zeros.
    normal = largest.field + (E8M0_BIAS - _HALF_BIAS - element.emax)
    small = (E8M0_BIAS - _HALF_BIAS - element.emax + 1) - zeros
    scale = Mux(subnormal, Mux(largest.fraction == 0, 0, small), normal)
    return zeros, Mux(largest.field == SPECIAL, E8M0_NAN, scale)[:8]
