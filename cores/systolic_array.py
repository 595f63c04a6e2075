"""The systolic tile's array: rows of blocks of processing elements, and the skew around them."""

from amaranth import Module, Shape, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..hdl.delay import Skew
from ..hdl.replicate import Replica
from ..hdl.structure import Chain, Place, Structure
from .processing_element import CONTROL, Accumulator, result_layout, terms

__all__ = ["SystolicArray"]


class SystolicArray(Structure):
    """The rows, with the skew of their operands and the deskew of their results.

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    a : in, array of `config.rows` of `config.a_shape`
        Activations of a step, top down.
    w : in, array of `config.cols` of `config.w_shape`
        Weights of a step.
    control : in, array of `CONTROL`, one a row of blocks
        Skewed already.
    drain : out, array of `config.cols` of `result_layout(config)`
        A row of results, the lowest one first.
    """

    def __init__(self, config):
        self.config = config
        ports = {
            "en": In(1),
            "a": In(data.ArrayLayout(config.a_shape, config.rows)),
            "w": In(data.ArrayLayout(config.w_shape, config.cols)),
            "control": In(data.ArrayLayout(CONTROL, len(config.row_blocks))),
            "drain": Out(data.ArrayLayout(result_layout(config), config.cols)),
        }
        a, w, result = (
            config.block * Shape.cast(shape).width for shape in (config.a_shape, config.w_shape, result_layout(config))
        )
        # The last block may be smaller than the others: what the skew has in its place is never used.
        en = {"en": ("en", 0)}
        inner = {"a": ("a_skewed", 0), "w": ("w_skewed", 0), "control": ("control", 0), "drain": ("drain_skewed", 0)}
        rows, cols = len(config.row_blocks), len(config.col_blocks)
        super().__init__(
            ports,
            [
                Place("skew_a", (Skew, a, rows), en | {"i": ("a", 0), "o": ("a_skewed", 0)}),
                Place("skew_w", (Skew, w, cols), en | {"i": ("w", 0), "o": ("w_skewed", 0)}),
                Place("rows", (Rows, config), en | inner),
                Place("deskew", (Skew, result, cols, True), en | {"i": ("drain_skewed", 0), "o": ("drain", 0)}),
            ],
        )


class Row(Chain):
    """One row of blocks, `height` rows of processing elements.

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    a : in, array of `height` of `config.a_shape`
        Activations.
    control : in, `CONTROL`
    w, w_below : in, out, arrays of `config.cols` of `config.w_shape`
        Weights from above, and for below.
    above, drain : in, out, arrays of `config.cols` of `result_layout(config)`
        The drain's lowest row above, and here.
    """

    def __init__(self, config, height):
        self.config = (config, height)
        weights = data.ArrayLayout(config.w_shape, config.cols)
        results = data.ArrayLayout(result_layout(config), config.cols)
        ports = {
            "en": In(1),
            "a": In(data.ArrayLayout(config.a_shape, height)),
            "control": In(CONTROL),
            "w": In(weights),
            "w_below": Out(weights),
            "above": In(results),
            "drain": Out(results),
        }
        blocks = [(Block, config, height, width) for width in config.col_blocks]
        super().__init__(ports, blocks, {"a_right": "a", "control_right": "control"}, ["en"])


class Rows(Chain):
    """All rows of blocks, top down; the drain's uppermost row takes zeros.

    Attributes
    ----------
    en : in 1
    a : in, array of `config.rows` of `config.a_shape`
        Activations.
    control : in, array of `CONTROL`, one a row of blocks
    w : in, array of `config.cols` of `config.w_shape`
    drain : out, array of `config.cols` of `result_layout(config)`
    """

    def __init__(self, config):
        self.config = config
        ports = {
            "en": In(1),
            "a": In(data.ArrayLayout(config.a_shape, config.rows)),
            "control": In(data.ArrayLayout(CONTROL, len(config.row_blocks))),
            "w": In(data.ArrayLayout(config.w_shape, config.cols)),
            "drain": Out(data.ArrayLayout(result_layout(config), config.cols)),
        }
        rows = [(Row, config, height) for height in config.row_blocks]
        super().__init__(ports, rows, {"w_below": "w", "drain": "above"}, ["en"])


class Block(wiring.Component):
    """A block of processing elements that share the registers of their operands and of their control.

    Attributes
    ----------
    en, a, control, w, w_below, above, drain
        As of `Row`, for `width` columns.
    a_right, control_right : out
        For the next block, one enabled cycle later.
    """

    def __init__(self, config, height, width):
        self.config = (config, height, width)
        activations = data.ArrayLayout(config.a_shape, height)
        weights = data.ArrayLayout(config.w_shape, width)
        results = data.ArrayLayout(result_layout(config), width)
        super().__init__(
            {
                "en": In(1),
                "a": In(activations),
                "a_right": Out(activations),
                "control": In(CONTROL),
                "control_right": Out(CONTROL),
                "w": In(weights),
                "w_below": Out(weights),
                "above": In(results),
                "drain": Out(results),
            }
        )

    def elaborate(self, platform):
        m = Module()
        a = Signal(self.a.shape(), name="a_q", reset_less=True)
        w = Signal(self.w.shape(), name="w_q", reset_less=True)
        control = Signal(CONTROL, name="control_q")
        m.d.comb += [self.a_right.eq(a), self.w_below.eq(w), self.control_right.eq(control)]
        with m.If(self.en):
            m.d.sync += [a.eq(self.a), w.eq(self.w), control.eq(self.control)]

        config, height, width = self.config
        m.submodules.terms = Replica(products := terms(config, height, width))
        m.d.comb += [products.en.eq(self.en), products.a.eq(a), products.w.eq(w)]
        above = self.above
        for row in range(height):
            drain = []
            for col in range(width):
                m.submodules[f"accumulate_{row}_{col}"] = Replica(pe := Accumulator(config))
                m.d.comb += [
                    pe.en.eq(self.en),
                    pe.term.eq(products.terms[row][col]),
                    pe.control.eq(control),
                    pe.above.eq(above[col]),
                ]
                drain.append(pe.drain)
            above = drain
        m.d.comb += [self.drain[col].eq(result) for col, result in enumerate(above)]
        return m
