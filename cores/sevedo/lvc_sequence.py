"""The order of work of the low-rank vector core: which block of which operands goes to the multipliers in each cycle.

For each token the ranks, `columns` at a time, each a reduction over the blocks of `lanes` channels, and then the
outputs, `columns` at a time, each a reduction over the blocks of `lanes` ranks. A block that has a wide operand takes
two passes, if operands go in slices. The last pass of a group of columns waits until it is `columns` cycles behind that
of the group before, so that the sums of that one, which leave one a cycle, are gone.
"""

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .lvc_layer import BASE, lowest_lanes

__all__ = ["Sequence"]


class Sequence(wiring.Component):
    """Give slots.

    Parameters
    ----------
    config : LvcConfig

    Attributes
    ----------
    layer : in, `config.layer_layout`
        Holds still while there are tokens.
    available : in 1
        There is a token in the buffer; `base`, its exponent.
    begin, vacate : out 1
        As of `TokenBuffer`.
    en : in 1
        The slot is taken.
    valid : out 1
        Nothing else counts in a slot without.
    slot : out, `config.slot_layout`
    word : out
        The word of the token that belongs to the slot.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "layer": In(config.layer_layout),
                "available": In(1),
                "base": In(BASE),
                "begin": Out(1),
                "vacate": Out(1),
                "en": In(1),
                "valid": Out(1),
                "slot": Out(config.slot_layout),
                "word": Out(range(config.max_channels // config.lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, layer, slot = self.config, self.layer, self.slot
        lanes, columns = config.lanes, config.columns
        busy, second, high = Signal(), Signal(reset_less=True), Signal(reset_less=True)
        base = Signal(BASE, reset_less=True)
        # Of the group: what is left of its operands and, of those, of the wide ones.
        left = Signal(range(max(config.max_channels, config.max_rank) + 1), reset_less=True)
        wide_left = Signal.like(left)
        # Counts blocks of channels and blocks of ranks, of which there may be more.
        word = Signal(range(max(config.max_channels, config.max_rank) // lanes), reset_less=True)
        # Cycles since the last pass of a group, up to the least number.
        since = Signal(range(columns), init=columns - 1)
        # Of the product: ranks or outputs that are left.
        results = Signal(layer.outputs.shape(), reset_less=True)

        wide, final, done = Signal(), Signal(), Signal()
        m.d.comb += [
            wide.eq((wide_left != 0) if config.sliced else 0),
            self.valid.eq(busy & ~(slot.last & (since != columns - 1))),
            slot.second.eq(second),
            slot.high.eq(high),
            slot.take.eq(~wide | high),
            slot.last.eq((left <= lanes) & slot.take),
            slot.end.eq(results <= columns),
            slot.wide.eq(lowest_lanes(wide_left, lanes)),
            slot.lanes.eq(lowest_lanes(left, lanes)),
            slot.first.eq((word == 0) & ~high),
            slot.block.eq(word),
            slot.base.eq(base),
            self.word.eq(word),
            done.eq(self.en & self.valid & slot.last),
            final.eq(done & slot.end),
            self.begin.eq(~busy & self.available),
        ]
        # What the next group belongs to.
        follows, load = Signal(), Signal()
        m.d.comb += [
            follows.eq(Mux(busy, second ^ final, layer.rank == 0)),
            load.eq(self.begin | done),
        ]
        with m.If(done):
            m.d.sync += since.eq(0)
        with m.Elif(self.en & (since != columns - 1)):
            m.d.sync += since.eq(since + 1)
        with m.If(self.en & self.valid):
            m.d.sync += high.eq(wide & ~high)
            with m.If(slot.take):
                m.d.sync += [
                    word.eq(word + 1),
                    left.eq(left - lanes),
                    wide_left.eq(wide_left - slot.wide),
                ]
            with m.If(done):
                m.d.sync += results.eq(results - columns)
        with m.If(load):
            m.d.sync += [
                high.eq(0),
                word.eq(0),
                left.eq(Mux(follows, layer.rank, layer.channels)),
                wide_left.eq(Mux(follows, layer.wide_ranks, layer.wide_channels)),
            ]
        with m.If(self.begin | final):
            m.d.sync += [second.eq(follows), results.eq(Mux(follows, layer.outputs, layer.rank))]
        with m.If(self.begin):
            m.d.sync += [busy.eq(1), base.eq(self.base)]
        with m.Elif(final & second):
            m.d.sync += busy.eq(0)
        # No rank: the token is not read.
        m.d.comb += self.vacate.eq((final & ~second) | (self.begin & follows))
        return m
