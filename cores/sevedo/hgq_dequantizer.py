"""The HGQ dequantizer (Hierarchical Group Quantization, SeVeDo 2025): integer dot products to FP32 sums.

Dot products of fine groups are shifted and added as integers; floating point comes once in a coarse group, and one unit
for it serves as many lanes as a coarse group has fine groups. Two baselines for comparison have the same interface:
`flat`, an FP16 scale for every fine group, so that all of it is floating point, every cycle; and `channel`, integers
up to the end of the reduction.

Our choice, because the paper's inside could not be read: widths, order, and where floating point begins.
"""

from dataclasses import dataclass

from amaranth import Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...golden.sevedo import hgq_tile as golden
from ...hdl.emission.replicate import Replica
from ...hdl.floating.formats import FP32
from ...hdl.reduction.control import Frame, hold, sequence
from ...hdl.reduction.unit import Unit
from ...hdl.stream.stages import Stage, offered_last
from ..config import param
from .hgq import SCALE, GroupConfig
from .hgq_scaler import Scaler

__all__ = ["DequantizerConfig", "HgqDequantizer"]


@dataclass(frozen=True)
class DequantizerConfig(GroupConfig):
    """Parameters of `HgqDequantizer`, and of the tile's units."""

    scheme: str = param("hgq", "scales: of coarse groups; of each fine group; of a row", choices=golden.SCHEMES)
    lanes: int = param(
        None,
        "dot products that share a floating-point unit; none: coarse / fine, flat: 1",
        low=1,
        high=64,
        optional=True,
    )
    adder: int = param(3, "cycles of an FP32 addition, hgq only; flat has 1, channel adds none", low=1, high=5)

    def __post_init__(self):
        super().__post_init__()
        if self.scheme == "flat" and self.unit_lanes != 1:
            raise ValueError(f"lanes must be 1 or none for flat scales, which come in every cycle, not {self.lanes}")
        if golden.accumulator_bits(self) > golden.CHANNEL_BITS:
            most = golden.MAX_K >> 2 * ((1 << self.shift_bits) - 1)
            raise ValueError(f"coarse must be {most} or less for shifts of {self.shift_bits} bits, not {self.coarse}")

    @property
    def unit_lanes(self):
        """Dot products that share a floating-point unit."""
        if self.lanes is not None:
            return self.lanes
        return 1 if self.scheme == "flat" else self.most_lanes

    @property
    def most_lanes(self):
        """Dot products that one floating-point unit serves at full rate."""
        return self.groups

    @property
    def drain(self):
        """Cycles in which the results of a reduction leave, where they come all at once."""
        return 1

    @property
    def schedule(self):
        """Of the units."""
        return golden.schedule(self)

    @property
    def scale_width(self):
        """Bits of a scale's code."""
        return SCALE

    @property
    def shift_width(self):
        """Bits of a shift, none without shifts."""
        return self.shift_bits if self.scheme == "hgq" else 0

    @property
    def dot_shape(self):
        """A fine group's dot product."""
        return signed(golden.dot_bits(self))

    @property
    def integer_shape(self):
        """What is scaled."""
        return signed(golden.accumulator_bits(self))

    @property
    def i_layout(self):
        """Payload of the stream `i`: fine groups of `lanes` rows with that of one column.

        `dots`, a dot product a lane; `x_shifts` and `x_scales`, of the rows; `w_shift` and `w_scale`, of the column;
        `last`, the end of the reduction. Lane 0 is lowest. Scales, FP16 codes, count in the last fine group of each
        coarse one.
        """
        lanes = self.unit_lanes
        return data.StructLayout(
            {
                "dots": data.ArrayLayout(self.dot_shape, lanes),
                "x_shifts": data.ArrayLayout(self.shift_width, lanes),
                "x_scales": data.ArrayLayout(SCALE, lanes),
                "w_shift": self.shift_width,
                "w_scale": SCALE,
                "last": 1,
            }
        )

    @property
    def o_layout(self):
        """Payload of the stream `o`: `value`, a lane's FP32 result; `last` lane."""
        return data.StructLayout({"value": FP32.width, "last": 1})


class HgqDequantizer(wiring.Component):
    """Sums of reductions from their fine groups' integer dot products, for `lanes` rows and one column.

    A transfer is one fine group of each lane. Those of a coarse group are shifted and added; its integer times both
    scales is rounded to FP32, and added to the sum of its reduction, which is rounded again. `last` ends the reduction,
    and its coarse group, however few fine groups that has; the next one may begin in the next cycle. Results come one
    lane a transfer, lane 0 first, equal to `golden.sevedo.hgq.matmul`.

    One transfer a cycle. A coarse group that would end fewer than `lanes` cycles after the one before it, or fewer than
    an addition takes and one, waits; with the default groups that is only one that `last` cut short. A blocked output
    freezes all of it. Latency as `config.schedule.latency`. No combinational path from `o.ready` to
    `i.ready`, which depends on `last` where it is offered.

    Shifts up to ``2**shift_bits - 1``, scales positive and normal, dot products of codes from -7 to 7; what comes of
    others is undefined, up to the next reduction. `channel`: reductions of up to 342,392 steps.

    Parameters
    ----------
    config : DequantizerConfig

    Attributes
    ----------
    i : in stream of `config.i_layout`
        Dot products, one fine group of all lanes a transfer, in their order along the reduction.
    o : out stream of `config.o_layout`
        Results, one lane a transfer, lane 0 first.
    """

    def __init__(self, config):
        self.config = config
        super().__init__({"i": In(stream.Signature(config.i_layout)), "o": Out(stream.Signature(config.o_layout))})

    def elaborate(self, platform):
        m = Module()
        config, i = self.config, self.i.payload
        m.submodules.egress = Replica(egress := Stage(config.o_layout))
        connect(m, egress.o, flipped(self.o))
        en, take = egress.i.ready, Signal()
        m.submodules.frame = frame = Frame(config.schedule)
        m.d.comb += [
            self.i.ready.eq(en & frame.go),
            take.eq(self.i.valid & self.i.ready),
            frame.en.eq(en),
            frame.take.eq(take),
            frame.last.eq(offered_last(self.i)),
        ]
        dots = Signal(i.dots.shape(), reset_less=True)
        scales = Signal(SCALE * (config.unit_lanes + 1), reset_less=True)
        with m.If(take):
            m.d.sync += [dots.eq(i.dots), scales.eq(Cat(i.x_scales, i.w_scale))]
        control = sequence(m, config.schedule, en, take, frame.fresh, frame.ended, frame.first, i.last)
        held = hold(m, config.schedule, en, control, scales, "held_scales")
        m.submodules.unit = Replica(unit := Unit(config, Scaler))
        if config.shift_width:
            m.d.comb += [unit.x_shifts.eq(i.x_shifts), unit.w_shift.eq(i.w_shift)]
        m.d.comb += [
            unit.en.eq(en),
            unit.control.eq(control),
            unit.dots.eq(dots),
            unit.x_scale.eq(held.word_select(control.turn.index, SCALE)),
            unit.w_scale.eq(held[-SCALE:]),
            egress.i.valid.eq(control.write.valid & control.write.last),
            egress.i.payload.value.eq(unit.o),
            egress.i.payload.last.eq(control.write.index == config.unit_lanes - 1),
        ]
        return m
