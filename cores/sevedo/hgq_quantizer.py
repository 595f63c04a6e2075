"""The HGQ quantizer of SeVeDo: FP16 values to INT4 codes with a shift for few and a scale for many (our choice).

The paper has a coarse floating-point scale with fine shifts, Hierarchical Group Quantization. What `golden.sevedo.hgq`
makes of it, and this core, are ours. A coarse group goes through twice: first its largest magnitudes are found while it
goes into a memory, then it leaves the memory and becomes codes, while the next group comes in. The memory is a ring
with a few words more than a group has, so that nothing ever waits for a scale.

Cost of a value of a transfer: a compare and a multiplexer of 15 bits in the first pass, seven compares of 12 bits and
30 flip-flops in the second; 32 bits of memory for a value of the group, more if `coarse / lanes` is 4 or less.
"""

from dataclasses import dataclass

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ...golden.sevedo import hgq as golden
from ...hdl.emission.replicate import Replica
from ...hdl.floating.formats import stage, take
from ..config import param
from .hgq import GroupConfig
from .hgq_grid import (
    MAGNITUDE,
    HgqLane,
    bounds,
    larger,
    narrower,
    sanitized,
    scale_exponent,
    scale_parts,
    scale_significand,
)

__all__ = ["HgqQuantizer", "HgqQuantizerConfig"]


@dataclass(frozen=True)
class HgqQuantizerConfig(GroupConfig):
    """Parameters of `HgqQuantizer`."""

    threshold: int = param(
        golden.THRESHOLD,
        "quarters of its range that a fine group may take up; 4 never clips",
        low=golden.THRESHOLDS[0],
        high=golden.THRESHOLDS[-1],
    )
    lanes: int = param(16, "values per transfer, a divisor of the fine group", low=1, high=64)

    def __post_init__(self):
        super().__post_init__()
        if self.fine % self.lanes:
            raise ValueError(f"lanes must divide the fine group of {self.fine}, not be {self.lanes}")

    @property
    def load(self):
        """Transfers of a coarse group."""
        return self.coarse // self.lanes

    @property
    def parts(self):
        """Transfers of a fine group."""
        return self.fine // self.lanes

    @property
    def levels(self):
        """Register stages in which the largest magnitude of a transfer is found."""
        return max(1, ceil_log2(self.lanes))

    @property
    def depth(self):
        """Transfers that the memory holds: those of a group, and those that come in until its first one leaves."""
        return 1 << ceil_log2(self.load + self.levels + 3)

    @property
    def latency(self):
        """Cycles from the last transfer of a coarse group to its first fine group, without stalls."""
        return self.levels + self.parts + 5

    @property
    def value_layout(self):
        """Payload of the input stream: `values`, FP16 codes, the first one lowest; `last`, the row ends here."""
        return data.StructLayout({"values": data.ArrayLayout(16, self.lanes), "last": 1})

    @property
    def output_layout(self):
        """Payload of the output stream: a fine `group`; `last` one of the row.

        In the group `codes`, the first one lowest; `shift`; `scale`, an FP16 code, that of its coarse group. An element
        is ``code * scale * 2**(shift - (2**shift_bits - 1))``.
        """
        return data.StructLayout({"group": self.group_layout, "last": 1})


class HgqQuantizer(wiring.Component):
    """Quantize rows of FP16 values, equal to `golden.sevedo.hgq.quantize`.

    The fine groups of a coarse group come out in order, each with the scale. A row that ends within a coarse group is
    filled up with zeros, a transfer a cycle in which nothing goes in.

    Latency `levels + parts + 5` cycles, 10 by default, from the last transfer of a coarse group to its first fine
    group; `levels` are those of a tree over the lanes, `parts` the transfers of a fine group. One transfer per cycle.
    No combinational path from `o.ready` to `i.ready`.

    Parameters
    ----------
    config : HgqQuantizerConfig

    Attributes
    ----------
    i : in stream of `config.value_layout`
        Rows of values, one after the other, in order. Any FP16 codes: NaN counts as +0, Inf as 65504 of its sign,
        subnormal numbers and -0 as +0. Values of the last transfer that the row does not have must be +0.
    o : out stream of `config.output_layout`
        Fine groups of each row in order, ``coarse / fine`` for each coarse group, those of zeros included.
    nonfinite : out 1
        High from the first Inf or NaN on, at the latest together with its fine group, until reset.
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
        # Of a fine group that is being read, some words may have gone already: beside it there may be as many others.
        fine_groups, coarse_groups = -(-config.depth // config.parts), config.depth // config.load
        m.submodules.narrow = narrow = memory.Memory(shape=MAGNITUDE, depth=_ring(fine_groups), init=[])
        wide_layout = data.StructLayout({"largest": MAGNITUDE, "last": 1})
        m.submodules.wide = wide = memory.Memory(shape=wide_layout, depth=_ring(coarse_groups), init=[])
        taken, completed = Signal(), Signal()
        self._store(m, values.write_port(), narrow.write_port(), wide.write_port(), taken, completed)
        self._convert(m, values.read_port(), narrow.read_port(), wide.read_port(), taken, completed)
        return m

    def _store(self, m, values, narrow, wide, taken, completed):
        """First pass: into the memory, and the largest magnitudes; one word a cycle leaves with `taken`.

        `completed`: the largest magnitude of a coarse group is being written.
        """
        config = self.config
        level = Signal(range(config.depth + 1))
        full, filling, write = level[-1], Signal(), Signal()
        position, part = Signal(range(config.load)), Signal(range(config.parts))
        group_ends, part_ends = position == config.load - 1, part == config.parts - 1
        m.d.comb += [
            self.i.ready.eq(~full & ~filling),
            write.eq(~full & (self.i.valid | filling)),
            values.en.eq(write),
        ]
        m.d.sync += level.eq(level + write - taken)
        with m.If(write):
            m.d.sync += [
                values.addr.eq(values.addr + 1),
                position.eq(Mux(group_ends, 0, position + 1)),
                part.eq(Mux(part_ends, 0, part + 1)),
                filling.eq(~group_ends & (filling | self.i.payload.last)),
            ]
        magnitudes, special = [], []
        for index, value in enumerate(self.i.payload.values):
            clean, nonfinite = sanitized(value, ~filling)
            m.d.comb += values.data.word_select(index, 16).eq(clean)
            magnitudes.append(values.data.word_select(index, 16)[:MAGNITUDE])
            special.append(nonfinite)
        with m.If(write & Cat(special).any()):
            m.d.sync += self.nonfinite.eq(1)

        # The tree, a level a stage; beside it what the transfer ends.
        valid = write
        flags = {"part_ends": part_ends, "group_ends": group_ends, "row_ends": filling | self.i.payload.last}
        for number in range(config.levels):
            pairs = zip(magnitudes[::2], magnitudes[1::2], strict=False)
            winners = [larger(*pair) for pair in pairs] + magnitudes[len(magnitudes) // 2 * 2 :]
            names = [f"largest_{index}" for index in range(len(winners))]
            register = stage(m, f"tree_{number}", Const(1), **flags, **dict(zip(names, winners, strict=True)))
            magnitudes, flags = list(take(register, *names).values()), take(register, *flags)
            previous, valid = valid, Signal(name=f"found_{number}")
            m.d.sync += valid.eq(previous)

        # Of the group up to here.
        m.d.comb += [completed.eq(valid & flags["group_ends"]), wide.data.last.eq(flags["row_ends"])]
        for port, maximum, ends in (
            (narrow, narrow.data, flags["part_ends"]),
            (wide, wide.data.largest, flags["group_ends"]),
        ):
            so_far = Signal(MAGNITUDE, name="so_far")
            m.d.comb += [maximum.eq(larger(so_far, magnitudes[0])), port.en.eq(valid & ends)]
            with m.If(valid):
                m.d.sync += so_far.eq(Mux(ends, 0, maximum))
            with m.If(port.en):
                m.d.sync += port.addr.eq(port.addr + 1)

    def _convert(self, m, values, narrow, wide, taken, completed):
        """Second pass: out of the memory, and the codes."""
        config = self.config
        top = (1 << config.shift_bits) - 1
        en = Signal()
        m.d.comb += en.eq(self.o.ready | ~self.o.valid)

        # Word by word of a group that has come completely; stages 1 to 4 hold what `valid` says.
        pending = Signal(range(config.depth // config.load + 1))
        position, part = Signal(range(config.load)), Signal(range(config.parts))
        starts, goes, valid = position == 0, Signal(), Signal(4)
        group_ends, part_ends = position == config.load - 1, part == config.parts - 1
        m.d.comb += [goes.eq(~starts | (pending != 0)), wide.en.eq(en & starts), narrow.en.eq(en), values.en.eq(en)]
        m.d.sync += pending.eq(pending + completed - (en & goes & starts))
        with m.If(en):
            m.d.sync += valid.eq(Cat(goes, valid))
        with m.If(en & goes):
            m.d.sync += [position.eq(Mux(group_ends, 0, position + 1)), part.eq(Mux(part_ends, 0, part + 1))]
            with m.If(starts):
                m.d.sync += wide.addr.eq(wide.addr + 1)
            with m.If(part_ends):
                m.d.sync += narrow.addr.eq(narrow.addr + 1)
        read = stage(m, "read", en, part_ends=part_ends, group_ends=group_ends)

        exponent, least = scale_exponent(wide.data.largest)
        first, second, digits = scale_parts(wide.data.largest)
        distance, less, much = narrower(wide.data.largest, narrow.data, config.threshold)
        compared = stage(
            m,
            "compared",
            en,
            **{"exponent": exponent, "least": least, "first": first, "second": second, "digits": digits},
            **{"distance": distance, "less": less, "much": much, "empty": narrow.data == 0},
            part_ends=read.part_ends,
            row_ends=read.group_ends & wide.data.last,
        )

        count, shift = Signal(range(34)), Signal(config.shift_bits)
        m.d.comb += [
            count.eq(compared.distance + compared.less + compared.much),
            shift.eq(Mux(compared.empty | (count > top), 0, Mux(count == 0, top, top + 1 - count))),
            taken.eq(en & valid[1]),
        ]
        with m.If(taken):
            m.d.sync += values.addr.eq(values.addr + 1)
        scaled = stage(
            m,
            "scaled",
            en,
            fraction=scale_significand(compared.first, compared.second, compared.digits, compared.least),
            base=compared.exponent + shift - (top + 1),
            shift=shift,
            **take(compared, "exponent", "part_ends", "row_ends"),
        )

        limits = {f"bound_{code}": bound for code, bound in enumerate(bounds(scaled.fraction), 1)}
        bounded = stage(
            m, "bounded", en, **limits, **take(scaled, "fraction", "exponent", "shift", "part_ends", "row_ends")
        )
        codes = []
        for index in range(config.lanes):
            lane = HgqLane()
            m.submodules[f"lane_{index}"] = Replica(lane)
            m.d.comb += [
                lane.en.eq(en),
                lane.value.eq(values.data.word_select(index, 16)),
                lane.base.eq(scaled.base),
                *(lane.bounds[number].eq(getattr(bounded, name)) for number, name in enumerate(limits)),
            ]
            codes.append(lane.code)

        group = self.o.payload.group
        with m.If(en):
            m.d.sync += [
                self.o.valid.eq(valid[-1] & bounded.part_ends),
                self.o.payload.last.eq(bounded.row_ends),
                group.codes.eq(Cat(group.codes, *codes)[-4 * config.fine :]),
                group.shift.eq(bounded.shift),
                group.scale.eq(Cat(bounded.fraction, bounded.exponent)),
            ]


def _ring(entries):
    """Words of a ring of at least so many entries: a power of two, as addresses run over."""
    return max(2, 1 << ceil_log2(entries))
