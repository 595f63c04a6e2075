"""The units: integers of blocks in lanes, which share a scaler and an adder.

Two kinds of schedule take less: where a reduction is one block there are no sums; where all is immediate an integer
does not wait, and the adder's own register is the sum.
"""

from amaranth import Array, Module, Mux, Signal, signed
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ..emission.replicate import Replica, Replicable
from ..floating.add import FloatAdder
from ..floating.formats import FP32
from .control import control_layout, token_layout

__all__ = ["Lane", "Sums", "Unit"]


class Lane(Replicable):
    """The integer of a block, `sum of dot << shift`.

    Parameters
    ----------
    config
        As the package says: `dot_shape`, `integer_shape`, `shift_width`.

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    x_shift, w_shift : in, `config.shift_width` bits
        To the left; only where there are shifts.
    dot : in, `config.dot_shape`
        One cycle after its shifts.
    step, fresh, ended : in 1
        As of `control_layout`.
    total : out, `config.integer_shape`
        From the cycle after `ended` on until the next one.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "en": In(1),
                "dot": In(config.dot_shape),
                "step": In(1),
                "fresh": In(1),
                "ended": In(1),
                "total": Out(config.integer_shape),
                # No port without bits: Verilog has none.
                **(dict.fromkeys(("x_shift", "w_shift"), In(config.shift_width)) if config.shift_width else {}),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        shifted = self.dot
        if config.shift_width:
            # The sum is never above this, so the widest result has as many bits more.
            left = 2 * ((1 << config.shift_width) - 1)
            shift = Signal(range(left + 1), reset_less=True)
            with m.If(self.en):
                m.d.sync += shift.eq(self.x_shift + self.w_shift)
            for position, bit in enumerate(shift):
                by = 1 << position
                grown = min(by, left)
                left -= grown
                level = Signal(signed(len(shifted) + grown), name=f"by_{by}")
                m.d.comb += level.eq(Mux(bit, shifted.shift_left(by), shifted))
                shifted = level
        accumulator, total = (
            Signal.like(self.total, name=name, reset_less=True) for name in ("accumulator", "total_q")
        )
        base = Signal.like(accumulator, name="base")
        with m.If(~self.fresh):
            m.d.comb += base.eq(accumulator)
        after = Signal.like(accumulator, name="after")
        m.d.comb += [after.eq(base + shifted), self.total.eq(total)]
        with m.If(self.en & self.step):
            m.d.sync += accumulator.eq(after)
        with m.If(self.en & self.ended):
            m.d.sync += total.eq(after)
        return m


class Sums(Replicable):
    """FP32 sums of the lanes, one term a cycle.

    Parameters
    ----------
    schedule : Schedule
    specials : bool
        Whether terms may be infinite or NaN, and sums infinite; what is below the normal numbers becomes +0.

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    add, write : in, `token_layout(schedule.lanes)`
        The lane of `term`, of that of the next enabled cycle unless all is immediate; the lane of `o`.
    term : in, FP32
    o : out, FP32
        The sum, `schedule.adder` cycles after its last term.
    """

    def __init__(self, schedule, specials=False):
        self.schedule, self.specials = schedule, specials
        token = token_layout(schedule.lanes)
        super().__init__(
            {"en": In(1), "add": In(token), "write": In(token), "term": In(FP32.layout), "o": Out(FP32.layout)}
        )

    def elaborate(self, platform):
        m = Module()
        schedule = self.schedule
        m.submodules.adder = adder = FloatAdder(
            FP32, specials=self.specials, flush=self.specials, stages=schedule.adder
        )
        m.d.comb += [adder.en.eq(self.en), adder.b.eq(self.term), self.o.eq(adder.o)]
        if schedule.immediate:
            # The adder's own register is the sum.
            m.d.comb += [
                adder.en.eq(self.en & self.add.valid),
                adder.a.as_value().eq(Mux(self.add.first, 0, adder.o)),
            ]
            return m
        sums = [Signal(FP32.width, name=f"sum_{index}", reset_less=True) for index in range(schedule.lanes)]
        for index, total in enumerate(sums):
            with m.If(self.en & self.write.valid & (self.write.index == index)):
                m.d.sync += total.eq(adder.o)
        # A lane's turn comes when its sum leaves the adder at the earliest: then it is taken from there.
        base = Signal(FP32.width, reset_less=True)
        m.d.comb += adder.a.eq(base)
        with m.If(self.en & self.add.first):
            m.d.sync += base.eq(0)
        with m.Elif(self.en & self.write.valid & (self.write.index == self.add.index)):
            m.d.sync += base.eq(adder.o)
        with m.Elif(self.en):
            m.d.sync += base.eq(Array(sums)[self.add.index])
        return m


class Unit(Replicable):
    """The lanes, and what they share.

    Parameters
    ----------
    config
        As the package says.
    scaler : type
        Of the component that makes a term of an integer and two scales, `schedule.term` cycles later; it takes the
        config, and has `en`, `i`, `x_scale`, `w_scale` and `o`. Its class attribute `specials` says whether terms may
        be infinite or NaN.

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    control : in, `control_layout(config.schedule)`
    x_shifts : in, array of `schedule.lanes` of `config.shift_width` bits
    w_shift : in, `config.shift_width` bits
        Only where there are shifts.
    dots : in, array of `schedule.lanes` of `config.dot_shape`
        One cycle after its shifts.
    x_scale, w_scale : in, `config.scale_width` bits
        Of the lane that has its turn.
    o : out, FP32
        The sum of `control.write`; only the last one of a reduction is a result.
    """

    def __init__(self, config, scaler):
        self.config, self._scaler = config, scaler
        lanes, shifts = config.schedule.lanes, {}
        if config.shift_width:
            shifts = {"x_shifts": In(data.ArrayLayout(config.shift_width, lanes)), "w_shift": In(config.shift_width)}
        super().__init__(
            {
                "en": In(1),
                "control": In(control_layout(config.schedule)),
                **shifts,
                "dots": In(data.ArrayLayout(config.dot_shape, lanes)),
                "x_scale": In(config.scale_width),
                "w_scale": In(config.scale_width),
                "o": Out(FP32.layout),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, schedule, control = self.config, self.config.schedule, self.control
        totals = []
        for index in range(schedule.lanes):
            if schedule.immediate:
                totals.append(self.dots[index])
                continue
            m.submodules[f"lane_{index}"] = Replica(lane := Lane(config))
            m.d.comb += [
                lane.en.eq(self.en),
                lane.dot.eq(self.dots[index]),
                *(getattr(lane, name).eq(control[name]) for name in ("step", "fresh", "ended")),
            ]
            if config.shift_width:
                m.d.comb += [lane.x_shift.eq(self.x_shifts[index]), lane.w_shift.eq(self.w_shift)]
            totals.append(lane.total)
        m.submodules.scaler = Replica(scaler := self._scaler(config))
        m.d.comb += [
            scaler.en.eq(self.en),
            scaler.i.eq(Array(totals)[control.turn.index]),
            scaler.x_scale.eq(self.x_scale),
            scaler.w_scale.eq(self.w_scale),
        ]
        if not schedule.adder:
            m.d.comb += self.o.eq(scaler.o)
        else:
            m.submodules.sums = Replica(sums := Sums(schedule, self._scaler.specials))
            m.d.comb += [
                sums.en.eq(self.en),
                sums.add.eq(control.add),
                sums.write.eq(control.write),
                sums.term.eq(scaler.o),
                self.o.eq(sums.o),
            ]
        return m
