"""What is between the two products of the low-rank vector core: sums of 32 bits become operands of 8 and of 16 bits."""

from amaranth import Array, Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...golden.sevedo import lvc as golden
from ...hdl.floating.formats import stage, take
from ...hdl.integer.bits import shift_left

__all__ = ["RankStore"]


class RankStore(wiring.Component):
    """Round sums to the nearest, ties up, clip them, and keep them, `lanes` ranks in a word.

    ``(sum + (2**h >> 1)) >> h`` is ``sum >> h`` and the highest bit that is shifted out. An operand of 8 bits goes one
    place left if its extra shift is odd: it has 9 bits then, a digit's sign included, and what is left of the shift, an
    even number of places, is the product's. An operand that does not go in slices is shifted all the way.

    Three cycles with `en` until it is kept, one more until it can be read.

    Parameters
    ----------
    config : LvcConfig

    Attributes
    ----------
    layer : in, `config.layer_layout`
    en : in 1
        All registers load where it is high.
    write : in 1
        The next rank, the first one after `last`.
    last : in 1
        Of the ranks.
    sum : in signed(32)
        Its sum.
    complete : out 1
        All are kept, from the cycle on in which they can be read, until `clear`.
    clear : in 1
    block : in
        Word that is read.
    ranks : out, array of `config.rank_layout`
        At once. What was never written is anything.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "layer": In(config.layer_layout),
                "en": In(1),
                "write": In(1),
                "last": In(1),
                "sum": In(signed(32)),
                "complete": Out(1),
                "clear": In(1),
                "block": In(range(max(config.max_rank // config.lanes, 2))),
                "ranks": Out(data.ArrayLayout(config.rank_layout, config.lanes)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, layer = self.config, self.layer
        rank = Signal(range(config.max_rank))
        extra = stage(m, "rank", None, extra=Array(layer.rank_shifts)[rank]).extra
        valid = [Signal(name=f"valid_{step}") for step in range(3)]
        last = [Signal(name=f"last_{step}", reset_less=True) for step in range(3)]
        with m.If(self.en):
            m.d.sync += [valid[0].eq(self.write), last[0].eq(self.last)]
            for step in range(2):
                m.d.sync += [valid[step + 1].eq(valid[step]), last[step + 1].eq(last[step])]
            with m.If(self.write):
                m.d.sync += rank.eq(Mux(self.last, 0, rank + 1))
            with m.If(valid[2] & last[2]):
                m.d.sync += self.complete.eq(1)
            with m.If(self.clear):
                m.d.sync += self.complete.eq(0)

        wide = rank < layer.wide_ranks
        taken = stage(m, "taken", self.en, sum=self.sum, by=layer.shift + extra, extra=extra, wide=wide, rank=rank)
        # A place below the unit.
        by, shifted = taken.by, Cat(Const(0, 1), taken.sum).as_signed()
        for position in reversed(range(len(by))):
            value = Mux(by[position], shifted >> (1 << position), shifted)
            shifted = stage(m, f"by_{1 << position}", None, shifted=value).shifted
        first = stage(m, "shifted", self.en, value=shifted, **take(taken, "wide", "extra", "rank"))
        rounded = stage(m, "rounded", None, value=first.value[1:].as_signed() + first.value[0]).value
        limit = stage(m, "limit", None, limit=Mux(first.wide, golden.WIDE, golden.NARROW)).limit
        clipped = Mux(rounded > limit, limit, Mux(rounded < -limit, -limit, rounded))[:16].as_signed()
        clipped = stage(m, "clipped", None, value=clipped).value
        by = first.extra[0] if config.sliced else first.extra
        operand = stage(m, "operand", None, value=shift_left(clipped, by)).value
        fields = {"value": operand} | ({"shift": first.extra[1:]} if config.sliced else {})
        second = stage(m, "kept", self.en, rank=first.rank, **fields)

        words = [
            Signal(data.ArrayLayout(config.rank_layout, config.lanes), name=f"word_{index}", reset_less=True)
            for index in range(config.max_rank // config.lanes)
        ]
        for index in range(config.max_rank):
            place = words[index // config.lanes][index % config.lanes]
            with m.If(self.en & valid[2] & (second.rank == index)):
                m.d.sync += [place[key].eq(getattr(second, key)) for key in fields]
        m.d.comb += self.ranks.eq(Array(words)[self.block] if len(words) > 1 else words[0])
        return m
