"""The tile of a block format: rows x cols dot products of a part of a block a cycle, and their FP32 sums."""

from amaranth import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..emission.replicate import Replica
from .edges import Drain, Feed
from .unit import Unit

__all__ = ["ReductionTile"]


class ReductionTile(wiring.Component):
    """Output-stationary: a row is a token, a column is an output channel.

    Every cycle each processing element takes a part of a block, whose dot product is added to its integer; `lanes` rows
    of a column share the unit that each of them needs once in a block.

    Parameters
    ----------
    config
        As the package says.
    operands : Layout
        Of the elements of a part of a block, as the dot product takes them.
    decode : callable
        From the codes of a part of a block to `operands`: a value of as many bits.
    dot_product : type
        Of the component that makes `config.dot_shape` of two `operands`, in `config.dot` cycles; it takes the config,
        and has `en`, `x`, `w` and `o`.
    scaler : type
        As of `Unit`.

    Attributes
    ----------
    x : in stream of `config.x_layout`
        Activations, a part of a block of all rows a transfer: `groups` and `last`.
    w : in stream of `config.w_layout`
        Weights, a part of a block of all columns a transfer: `groups` and `last`.
    o : out stream of `config.o_layout`
        Results, rows that follow each other a transfer, row 0 in the first one: `values` and `last`.
    """

    def __init__(self, config, operands, decode, dot_product, scaler):
        self.config = config
        self._operands, self._decode, self._dot_product, self._scaler = operands, decode, dot_product, scaler
        super().__init__(
            {
                "x": In(stream.Signature(config.x_layout)),
                "w": In(stream.Signature(config.w_layout)),
                "o": Out(stream.Signature(config.o_layout)),
            }
        )

    def feed(self):
        """One more of the parts that take operands."""
        return Feed(self.config, self._operands, self._decode)

    def dot_product(self):
        """One more of the dot products, of which there are `rows` times `cols`."""
        return self._dot_product(self.config)

    def unit(self):
        """One more of the units, of which there are `units` times `cols`."""
        return Unit(self.config, self._scaler)

    def drain(self):
        """One more of the parts that give results."""
        return Drain(self.config)

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.feed = feed = self.feed()
        connect(m, flipped(self.x), feed.x)
        connect(m, flipped(self.w), feed.w)
        m.submodules.drain = drain = self.drain()
        connect(m, drain.o, flipped(self.o))
        en = drain.ready
        m.d.comb += [feed.en.eq(en), drain.write.eq(feed.control.write)]
        for col in range(config.cols):
            for unit in range(config.units):
                m.submodules[f"unit_{unit}_{col}"] = Replica(dequantize := self.unit())
                m.d.comb += [
                    dequantize.en.eq(en),
                    dequantize.control.eq(feed.control),
                    dequantize.x_scale.eq(feed.x_scales[unit]),
                    dequantize.w_scale.eq(feed.w_scales[col]),
                    drain.values[unit][col].eq(dequantize.o),
                ]
                if config.shift_width:
                    m.d.comb += [
                        dequantize.x_shifts.eq(
                            Cat(feed.x_shifts[row] for row in range(unit, config.rows, config.units))
                        ),
                        dequantize.w_shift.eq(feed.w_shifts[col]),
                    ]
                # Lane j of every unit has its turn at the same time, so rows that follow each other finish together.
                for lane, row in enumerate(range(unit, config.rows, config.units)):
                    m.submodules[f"dot_{row}_{col}"] = Replica(dot := self.dot_product())
                    m.d.comb += [
                        dot.en.eq(en),
                        dot.x.eq(feed.x_codes[row]),
                        dot.w.eq(feed.w_codes[col]),
                        dequantize.dots[lane].eq(dot.o),
                    ]
        return m
