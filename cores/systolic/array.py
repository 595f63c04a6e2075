"""The systolic tile's array: rows of blocks of processing elements, and the skew around them."""

from amaranth import Shape
from amaranth.lib import data
from amaranth.lib.wiring import In, Out

from ...hdl.emission.structure import Chain, Place, Structure
from ...hdl.stream.delay import Skew
from .block import controls
from .partials import PARTIALS_CONTROL, PartialSums
from .processing_element import moving_layout

__all__ = ["SystolicArray"]


class SystolicArray(Structure):
    """The rows, with the skew of their operands and the deskew of their results.

    Parameters
    ----------
    config : Config
        Of a tile: its sizes and formats.
    kind : type
        Class of the blocks, a `systolic_block.Block`.

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    a : in, array of `config.rows` of `config.a_shape`
        Activations of a step, top down.
    w : in, array of `config.cols` of `config.w_shape`
        Weights of a step.
    control : in, `controls` of all rows
        Skewed already.
    partials : in, `PARTIALS_CONTROL`
        Only weight-stationary.
    drain : out, array of `config.cols` of `moving_layout(config)`
        A row of results: of the rows of processing elements the lowest one first, or as they were put in.
    """

    def __init__(self, config, kind):
        ports = {
            "en": In(1),
            "a": In(data.ArrayLayout(config.a_shape, config.rows)),
            "w": In(data.ArrayLayout(config.w_shape, config.cols)),
            "control": In(controls(config, config.rows)),
            "drain": Out(data.ArrayLayout(moving_layout(config), config.cols)),
        }
        a, w, result = (
            config.block * Shape.cast(shape).width for shape in (config.a_shape, config.w_shape, moving_layout(config))
        )
        # The last block may be smaller than the others: what the skew has in its place is never used.
        rows, cols = len(config.row_blocks), len(config.col_blocks)
        en = {"en": ("en", 0)}
        inner = {"a": ("a_skewed", 0), "w": ("w_skewed", 0), "control": ("control", 0), "drain": ("drain_skewed", 0)}
        loop = []
        if config.weight_stationary:
            # Rows, not blocks of them, are a cycle apart; sums that come out below go in again above.
            ports["partials"] = In(PARTIALS_CONTROL)
            a, rows = a // config.block, config.rows
            inner["above"] = ("above", 0)
            sums = {"control": ("partials", 0), "i": ("drain_skewed", 0), "o": ("above", 0)}
            loop = [Place("circulate", (PartialSums, config), en | sums)]
        super().__init__(
            ports,
            [
                *loop,
                Place("skew_a", (Skew, a, rows), en | {"i": ("a", 0), "o": ("a_skewed", 0)}),
                Place("skew_w", (Skew, w, cols), en | {"i": ("w", 0), "o": ("w_skewed", 0)}),
                Place("rows", (Rows, config, kind), en | inner),
                Place("deskew", (Skew, result, cols, True), en | {"i": ("drain_skewed", 0), "o": ("drain", 0)}),
            ],
        )


class Row(Chain):
    """One row of blocks of a kind, `height` rows of processing elements.

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    a : in, array of `height` of `config.a_shape`
        Activations.
    control : in, `controls` of these rows
    w, w_below : in, out, arrays of `config.cols` of `config.w_shape`
        Weights from above, and for below.
    above, drain : in, out, arrays of `config.cols` of `moving_layout(config)`
        The drain's lowest row above, and here.
    """

    def __init__(self, config, kind, height):
        weights = data.ArrayLayout(config.w_shape, config.cols)
        results = data.ArrayLayout(moving_layout(config), config.cols)
        ports = {
            "en": In(1),
            "a": In(data.ArrayLayout(config.a_shape, height)),
            "control": In(controls(config, height)),
            "w": In(weights),
            "w_below": Out(weights),
            "above": In(results),
            "drain": Out(results),
        }
        blocks = [(kind, config, height, width) for width in config.col_blocks]
        super().__init__(ports, blocks, {"a_right": "a", "control_right": "control"}, ["en"])


class Rows(Chain):
    """All rows of blocks, top down; the drain's uppermost row takes zeros, that of partial sums the input `above`.

    Attributes
    ----------
    en : in 1
    a : in, array of `config.rows` of `config.a_shape`
        Activations.
    control : in, `controls` of all rows
    w : in, array of `config.cols` of `config.w_shape`
    drain : out, array of `config.cols` of `moving_layout(config)`
    """

    def __init__(self, config, kind):
        ports = {
            "en": In(1),
            "a": In(data.ArrayLayout(config.a_shape, config.rows)),
            "control": In(controls(config, config.rows)),
            "w": In(data.ArrayLayout(config.w_shape, config.cols)),
            "drain": Out(data.ArrayLayout(moving_layout(config), config.cols)),
        }
        if config.weight_stationary:
            ports["above"] = In(data.ArrayLayout(moving_layout(config), config.cols))
        rows = [(Row, config, kind, height) for height in config.row_blocks]
        super().__init__(ports, rows, {"w_below": "w", "drain": "above"}, ["en"])
