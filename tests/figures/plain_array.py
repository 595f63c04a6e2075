"""A systolic array as one first writes it in Amaranth, with the ports of `systolic-tile`: what that is compared with.

Operands and their control go from register to register, sums stand still, and then leave upwards row by row, while
nothing else is taken. Multipliers are `*`, for the tools to place.
"""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["PlainArray"]

_STEP = data.StructLayout({"valid": 1, "first": 1, "last": 1})


class PlainArray(wiring.Component):
    """Output-stationary, of plain integers, without flags of overflow.

    Parameters
    ----------
    config : SystolicConfig
        Its formats, sizes and accumulator.
    """

    def __init__(self, config):
        self.config = config
        ports = {name: In(stream.Signature(getattr(config, f"{name}_layout"))) for name in ("a", "w")}
        super().__init__(ports | {"o": Out(stream.Signature(config.o_layout))})

    def elaborate(self, platform):
        m = Module()
        rows, cols = self.config.rows, self.config.cols
        draining, done, row = Signal(), Signal(), Signal(range(rows))
        step = self._take(m, draining & (row == rows - 1) & self.o.ready)
        left = [_delayed(m, self.a.payload.lanes[index], index) for index in range(rows)]
        top = [_delayed(m, self.w.payload.lanes[index], index) for index in range(cols)]
        steps = [_delayed(m, step, index) for index in range(rows)]
        up = draining & self.o.ready
        sums = [[Signal(signed(self.config.accumulator)) for _ in range(cols)] for _ in range(rows)]
        for r in range(rows):
            a, control = left[r], steps[r]
            for c in range(cols):
                a, top[c], control = (_delayed(m, value, 1) for value in (a, top[c], control))
                with m.If(control.valid):
                    m.d.sync += sums[r][c].eq(Mux(control.first, 0, sums[r][c]) + a * top[c])
                with m.If(up):
                    m.d.sync += sums[r][c].eq(sums[r + 1][c] if r + 1 < rows else 0)
        m.d.sync += done.eq(control.valid & control.last)
        with m.If(done):
            m.d.sync += [draining.eq(1), row.eq(0)]
        with m.If(up):
            m.d.sync += [row.eq(row + 1), draining.eq(row != rows - 1)]
        m.d.comb += [
            self.o.valid.eq(draining),
            *(self.o.payload.sums[c].eq(sums[0][c]) for c in range(cols)),
            self.o.payload.last.eq(row == rows - 1),
        ]
        return m

    def _take(self, m, drained):
        """Steps of one reduction, and no other one until it is drained."""
        entering, busy, first = Signal(_STEP), Signal(), Signal(init=1)
        take, last = self.a.valid & self.w.valid & ~busy, self.a.payload.last | self.w.payload.last
        m.d.comb += [
            self.a.ready.eq(self.w.valid & ~busy),
            self.w.ready.eq(self.a.valid & ~busy),
            entering.valid.eq(take),
            entering.first.eq(first),
            entering.last.eq(last),
        ]
        with m.If(take):
            m.d.sync += [first.eq(last), busy.eq(last)]
        with m.If(drained):
            m.d.sync += busy.eq(0)
        return entering


def _delayed(m, value, cycles):
    """A value some cycles later, in registers."""
    for _ in range(cycles):
        following = Signal(value.shape())
        m.d.sync += following.eq(value)
        value = following
    return value
