"""The edges of a tile: operands and control in, results out."""

from itertools import pairwise

from amaranth import Array, Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..emission.replicate import Replica
from ..floating.formats import FP32, stage
from ..stream.stages import Stage, offered_last
from .control import Frame, control_layout, hold, sequence, token_layout

__all__ = ["Drain", "Feed"]


class Feed(wiring.Component):
    """Registers of the operands, as the dot products take them, and of the scales; and what the units do with them.

    Parameters
    ----------
    config
        As the package says.
    operands : Layout
        Of the elements of a part of a block.
    decode : callable
        From the codes of a part of a block to such operands: a value of as many bits.

    Attributes
    ----------
    en : in 1
        Operands are taken only where it is high; all registers load where it is.
    x, w : in streams
        As of the tile.
    x_codes, w_codes : out, arrays of `config.rows`, `config.cols` of `operands`
    x_shifts, w_shifts : out, arrays of `config.rows`, `config.cols` of `config.shift_width` bits
        Beside the codes; only where there are shifts.
    x_scales : out, array of `config.units` of `config.scale_width` bits
        Of the rows that have their turns.
    w_scales : out, array of `config.cols` of `config.scale_width` bits
    control : out, `control_layout(config.schedule)`
    """

    def __init__(self, config, operands, decode):
        self.config, self._decode, shifts = config, decode, {}
        if config.shift_width:
            sides = {"x_shifts": config.rows, "w_shifts": config.cols}
            shifts = {name: Out(data.ArrayLayout(config.shift_width, lanes)) for name, lanes in sides.items()}
        super().__init__(
            {
                "en": In(1),
                "x": In(stream.Signature(config.x_layout)),
                "w": In(stream.Signature(config.w_layout)),
                "x_codes": Out(data.ArrayLayout(operands, config.rows)),
                "w_codes": Out(data.ArrayLayout(operands, config.cols)),
                "x_scales": Out(data.ArrayLayout(config.scale_width, config.units)),
                "w_scales": Out(data.ArrayLayout(config.scale_width, config.cols)),
                "control": Out(control_layout(config.schedule)),
                **shifts,
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, en = self.config, self.en
        take, last = Signal(), Signal()
        m.submodules.frame = frame = Frame(config.schedule)
        m.d.comb += [
            last.eq(offered_last(self.x) | offered_last(self.w)),
            self.x.ready.eq(self.w.valid & en & frame.go),
            self.w.ready.eq(self.x.valid & en & frame.go),
            take.eq(self.x.valid & self.x.ready),
            frame.en.eq(en),
            frame.take.eq(take),
            frame.last.eq(last),
        ]
        # In the cycle before the dot products are there, which is that of the operands, or a later one.
        step = take
        for cycle in range(config.dot):
            before, step = step, Signal(name=f"step_{cycle}")
            with m.If(en):
                m.d.sync += step.eq(before)
        flags = Cat(frame.fresh, frame.ended, frame.first, last)
        control = sequence(m, config.schedule, en, step, *_later(m, "flags", en, config.dot, flags))
        m.d.comb += self.control.eq(control)

        x_scales = self._operands(m, "x", take, control)
        w_scales = self._operands(m, "w", take, control)
        for unit in range(config.units):
            m.d.comb += self.x_scales[unit].eq(Array(x_scales[unit :: config.units])[control.turn.index])
        m.d.comb += self.w_scales.eq(Cat(w_scales))
        return m

    def _operands(self, m, name, take, control):
        """Codes and shifts of one side; its scales, each as long as its lanes have their turns."""
        config, en, groups = self.config, self.en, getattr(self, name).payload.groups
        taken = {"codes": Cat(self._decode(group.codes) for group in groups), "scales": Cat(g.scale for g in groups)}
        if config.shift_width:
            taken["shifts"] = Cat(group.shift for group in groups)
        taken = vars(stage(m, f"{name}_taken", take, **taken))
        m.d.comb += getattr(self, f"{name}_codes").eq(taken["codes"])
        if config.shift_width:
            shifts = _later(m, f"{name}_shifts", en, config.dot - 1, taken["shifts"])
            m.d.comb += getattr(self, f"{name}_shifts").eq(shifts)
        scales = _later(m, f"{name}_scales", en, config.dot, taken["scales"])
        codes = (scales.word_select(index, config.scale_width) for index in range(len(groups)))
        codes = (scales.word_select(index, config.scale_width) for index in range(len(groups)))
        return [
            hold(m, config.schedule, en, control, code, f"{name}_scale_{index}") for index, code in enumerate(codes)
        ]


def _later(m, name, en, cycles, value):
    """A value as it was some enabled cycles before."""
    for cycle in range(cycles):
        value = stage(m, f"{name}_{cycle}", en, later=value).later
    return value


class Drain(wiring.Component):
    """The units' results as transfers; those that come all at once wait in registers.

    Parameters
    ----------
    config
        As the package says.

    Attributes
    ----------
    write : in, `token_layout(config.schedule.lanes)`
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
                "write": In(token_layout(config.schedule.lanes)),
                "values": In(data.ArrayLayout(row, config.units)),
                "ready": Out(1),
                "o": Out(stream.Signature(config.o_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.egress = Replica(egress := Stage(config.o_layout))
        connect(m, egress.o, flipped(self.o))
        en, o = egress.i.ready, egress.i
        complete = self.write.valid & self.write.last
        m.d.comb += self.ready.eq(en)
        if not config.schedule.immediate:
            m.d.comb += [
                o.valid.eq(complete),
                o.payload.values.eq(self.values),
                o.payload.last.eq(self.write.index == config.schedule.lanes - 1),
            ]
            return m
        # The next reduction's first sums come in the next cycle.
        rows = [Signal(row.shape(), name=f"row_{index}", reset_less=True) for index, row in enumerate(self.values)]
        remaining = Signal(range(config.schedule.results + 1))
        with m.If(en & complete):
            m.d.sync += [remaining.eq(len(rows)), *(row.eq(new) for row, new in zip(rows, self.values, strict=True))]
        with m.Elif(en & (remaining != 0)):
            m.d.sync += [remaining.eq(remaining - 1), *(row.eq(above) for row, above in pairwise(rows))]
        m.d.comb += [o.valid.eq(remaining != 0), o.payload.values.eq(rows[0]), o.payload.last.eq(remaining == 1)]
        return m
