"""The systolic tile's blocks of processing elements, one kind for each dataflow."""

from amaranth import Module, Mux, Signal
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ...hdl.emission.replicate import Replica, Replicable
from .processing_element import WEIGHT_CONTROL, Accumulator, PartialSum, carries, control_layout, moving_layout, terms

__all__ = ["OutputBlock", "WeightBlock", "controls"]


def controls(config, rows):
    """Layout of the control of blocks of `rows` rows: one control for all of a block's rows, or one for each."""
    if config.weight_stationary:
        return data.ArrayLayout(WEIGHT_CONTROL, rows)
    return data.ArrayLayout(control_layout(config), -(-rows // config.block))


class Block(Replicable):
    """A block of processing elements with what they share; the ports of both dataflows.

    Attributes
    ----------
    en, a, control, w, w_below, above, drain
        As of `Row`, for `width` columns.
    a_right, control_right : out
        For the next block, one enabled cycle later.
    """

    def __init__(self, config, height, width):
        self.config, self.height, self.width = config, height, width
        activations = data.ArrayLayout(config.a_shape, height)
        weights = data.ArrayLayout(config.w_shape, width)
        control = controls(config, height)
        sums = data.ArrayLayout(moving_layout(config), width)
        super().__init__(
            {
                "en": In(1),
                "a": In(activations),
                "a_right": Out(activations),
                "control": In(control),
                "control_right": Out(control),
                "w": In(weights),
                "w_below": Out(weights),
                "above": In(sums),
                "drain": Out(sums),
            }
        )

    def _registers(self, m):
        """Operands and control a cycle later, as they go on to the next blocks."""
        a = Signal(self.a.shape(), name="a_q", reset_less=True)
        w = Signal(self.w.shape(), name="w_q", reset_less=True)
        control = Signal(self.control.shape(), name="control_q")
        m.d.comb += [self.a_right.eq(a), self.w_below.eq(w), self.control_right.eq(control)]
        with m.If(self.en):
            m.d.sync += [a.eq(self.a), w.eq(self.w), control.eq(self.control)]
        return a, w, control


class OutputBlock(Block):
    """Output-stationary: each row's activation meets each column's weight, all of one step."""

    # What makes the terms: takes config, rows and columns, gives a component with the ports of those in `terms`.
    _terms = staticmethod(terms)

    def elaborate(self, platform):
        m = Module()
        a, w, control = self._registers(m)

        config, height, width = self.config, self.height, self.width
        m.submodules.multiply = Replica(products := self._terms(config, height, width))
        m.d.comb += [products.en.eq(self.en), products.a.eq(a), products.w.eq(w)]
        above = self.above
        for row in range(height):
            drain = []
            for col in range(width):
                m.submodules[f"accumulate_{row}_{col}"] = Replica(pe := Accumulator(config))
                m.d.comb += [
                    pe.en.eq(self.en),
                    pe.term.eq(products.terms[row][col]),
                    pe.control.eq(control[0]),
                    pe.above.eq(above[col]),
                ]
                if carries(config):
                    m.d.comb += pe.carry.eq(products.carries[row][col])
                drain.append(pe.drain)
            above = drain
        m.d.comb += [self.drain[col].eq(result) for col, result in enumerate(above)]
        return m


class WeightBlock(Block):
    """Weight-stationary: each row is a cycle later than the one above it, as the sums come down a row a cycle.

    Weights pass all rows of the block together. Each processing element has two: one in use, one for the next block of
    the reduction.
    """

    def elaborate(self, platform):
        m = Module()
        a, _, _ = self._registers(m)

        config, height, width = self.config, self.height, self.width
        above = self.above
        for row in range(height):
            spare = Signal(self.w.shape(), name=f"spare_{row}", reset_less=True)
            used = Signal(self.w.shape(), name=f"used_{row}", reset_less=True)
            with m.If(self.en & self.control[row].load):
                m.d.sync += spare.eq(self.w)
            with m.If(self.en & self.control[row].swap):
                m.d.sync += used.eq(Mux(self.control[row].full, spare, 0))
            m.submodules[f"terms_{row}"] = Replica(products := terms(config, 1, width))
            m.d.comb += [products.en.eq(self.en), products.a[0].eq(a[row]), products.w.eq(used)]
            below = []
            for col in range(width):
                m.submodules[f"add_{row}_{col}"] = Replica(pe := PartialSum(config))
                m.d.comb += [pe.en.eq(self.en), pe.term.eq(products.terms[0][col]), pe.above.eq(above[col])]
                if carries(config):
                    m.d.comb += pe.carry.eq(products.carries[0][col])
                below.append(pe.below)
            above = below
        m.d.comb += [self.drain[col].eq(result) for col, result in enumerate(above)]
        return m
