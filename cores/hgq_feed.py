"""The edges of the HGQ tile (Hierarchical Group Quantization): operands and control in, results out."""

from itertools import pairwise

from amaranth import Array, Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..golden import hgq_tile as golden
from ..hdl.floating import FP32
from ..hdl.replicate import Replica
from ..hdl.stream import Stage
from .hgq import SCALE
from .hgq_pe import MAGNITUDE, magnitudes
from .hgq_sequence import Frame, hold, sequence
from .hgq_unit import control_layout, token_layout

__all__ = ["Drain", "Feed"]


class Feed(wiring.Component):
    """Registers of the operands, as sign and magnitude, and of the scales; and what the units do with them.

    Parameters
    ----------
    config : HgqTileConfig

    Attributes
    ----------
    en : in 1
        Operands are taken only where it is high; all registers load where it is.
    x, w : in streams
        As of the tile.
    x_codes, w_codes : out, arrays of `config.rows`, `config.cols` of arrays of `config.fine` of `MAGNITUDE`
    x_shifts, w_shifts : out, arrays of `config.rows`, `config.cols` of `config.shift_width` bits
        Beside the codes; only where there are shifts.
    x_scales : out, array of `config.units` of FP16
        Of the rows that have their turns.
    w_scales : out, array of `config.cols` of FP16
    control : out, `control_layout(config)`
    """

    def __init__(self, config):
        self.config = config
        codes, shifts = data.ArrayLayout(MAGNITUDE, config.fine), {}
        if config.shift_width:
            sides = {"x_shifts": config.rows, "w_shifts": config.cols}
            shifts = {name: Out(data.ArrayLayout(config.shift_width, lanes)) for name, lanes in sides.items()}
        super().__init__(
            {
                "en": In(1),
                "x": In(stream.Signature(config.x_layout)),
                "w": In(stream.Signature(config.w_layout)),
                "x_codes": Out(data.ArrayLayout(codes, config.rows)),
                "w_codes": Out(data.ArrayLayout(codes, config.cols)),
                "x_scales": Out(data.ArrayLayout(SCALE, config.units)),
                "w_scales": Out(data.ArrayLayout(SCALE, config.cols)),
                "control": Out(control_layout(config)),
                **shifts,
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, en = self.config, self.en
        take, last = Signal(), Signal()
        m.submodules.frame = frame = Frame(config)
        m.d.comb += [
            last.eq(self.x.payload.last | self.w.payload.last),
            self.x.ready.eq(self.w.valid & en & frame.go),
            self.w.ready.eq(self.x.valid & en & frame.go),
            take.eq(self.x.valid & self.x.ready),
            frame.en.eq(en),
            frame.take.eq(take),
            frame.last.eq(last),
        ]
        # One cycle later, beside the operands.
        flags = {"fresh": frame.fresh, "ended": frame.ended, "first": frame.first, "last": last}
        step = Signal()
        beside = Signal(data.StructLayout(dict.fromkeys(flags, 1)), reset_less=True)
        with m.If(en):
            m.d.sync += [step.eq(take), *(beside[name].eq(value) for name, value in flags.items())]
        control = sequence(m, config, en, step, *(beside[name] for name in flags))
        m.d.comb += self.control.eq(control)

        x_scales = self._operands(m, "x", take, control)
        w_scales = self._operands(m, "w", take, control)
        for unit in range(config.units):
            m.d.comb += self.x_scales[unit].eq(Array(x_scales[unit :: config.units])[control.turn.index])
        m.d.comb += self.w_scales.eq(Cat(w_scales))
        return m

    def _operands(self, m, name, take, control):
        """Codes and shifts of one side; its scales, each as long as its lanes have their turns."""
        groups = getattr(self, name).payload.groups
        fields = {"codes": Cat(magnitudes(group.codes) for group in groups)}
        if self.config.shift_width:
            fields["shifts"] = Cat(group.shift for group in groups)
        for field, value in fields.items():
            operands = Signal(len(value), name=f"{name}_{field}_taken", reset_less=True)
            with m.If(take):
                m.d.sync += operands.eq(value)
            m.d.comb += getattr(self, f"{name}_{field}").eq(operands)
        taken, beside = (
            [Signal(SCALE, name=f"{name}_scale_{index}_{kind}", reset_less=True) for index in range(len(groups))]
            for kind in ("taken", "beside")
        )
        with m.If(take):
            m.d.sync += [scale.eq(group.scale) for scale, group in zip(taken, groups, strict=True)]
        with m.If(self.en):
            m.d.sync += [later.eq(scale) for later, scale in zip(beside, taken, strict=True)]
        return [
            hold(m, self.config, self.en, control, scale, f"{name}_scale_{index}") for index, scale in enumerate(beside)
        ]


class Drain(wiring.Component):
    """The units' results as transfers; those of `flat`, which come all at once, wait in registers.

    Parameters
    ----------
    config : HgqTileConfig

    Attributes
    ----------
    write : in, `token_layout(config.unit_lanes)`
        The lane of `values`.
    values : in, array of `config.units` arrays of `config.cols` of FP32
        The units' sums.
    ready : out 1
        Whether they can be taken.
    o : out stream
        As of the tile.
    """

    def __init__(self, config):
        self.config = config
        row = data.ArrayLayout(FP32.layout, config.cols)
        super().__init__(
            {
                "write": In(token_layout(config.unit_lanes)),
                "values": In(data.ArrayLayout(row, config.units)),
                "ready": Out(1),
                "o": Out(stream.Signature(config.o_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.egress = Replica(egress := Stage(config.o_layout), config.o_layout)
        connect(m, egress.o, flipped(self.o))
        en, o = egress.i.ready, egress.i
        complete = self.write.valid & self.write.last
        m.d.comb += self.ready.eq(en)
        if config.scheme != "flat":
            m.d.comb += [
                o.valid.eq(complete),
                o.payload.values.eq(self.values),
                o.payload.last.eq(self.write.index == config.unit_lanes - 1),
            ]
            return m
        # The next reduction's first sums come in the next cycle.
        rows = [Signal(row.shape(), name=f"row_{index}", reset_less=True) for index, row in enumerate(self.values)]
        remaining = Signal(range(golden.results(config) + 1))
        with m.If(en & complete):
            m.d.sync += [remaining.eq(len(rows)), *(row.eq(new) for row, new in zip(rows, self.values, strict=True))]
        with m.Elif(en & (remaining != 0)):
            m.d.sync += [remaining.eq(remaining - 1), *(row.eq(above) for row, above in pairwise(rows))]
        m.d.comb += [o.valid.eq(remaining != 0), o.payload.values.eq(rows[0]), o.payload.last.eq(remaining == 1)]
        return m
