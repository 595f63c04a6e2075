"""The SeVeDo core's low-rank terms, kept until the residual of the same tokens comes, which is in another order."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ...hdl.floating.formats import FP32
from .blocks import Banks, Blocks

__all__ = ["TermBuffer"]


class TermBuffer(wiring.Component):
    """Two banks of as many tokens as the tile has rows; one is filled while the other one is read.

    Parameters
    ----------
    config : SevedoCoreConfig

    Attributes
    ----------
    layer : in, `config.layer_layout`
        Holds still while its tokens come.
    start : in 1
        They come from the next cycle on.
    i : in stream of `config.lvc.o_layout`
        Output by output, token by token.
    available : out 1
        There is a block of tokens that can be read.
    free : in 1
        It is not needed any more; its last read is in this cycle.
    en, row, output : in
        Read that term.
    data : out, FP32
        A cycle later, until the next read.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "layer": In(config.layer_layout),
                "start": In(1),
                "i": In(stream.Signature(config.lvc.o_layout)),
                "available": Out(1),
                "free": In(1),
                "en": In(1),
                "row": In(range(max(config.rows, 2))),
                "output": In(range(config.max_outputs)),
                "data": Out(FP32.width),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, layer = self.config, self.layer
        m.submodules.banks = banks = Banks()
        m.submodules.tokens = tokens = Blocks(config.rows, layer.tokens.shape())
        row, output = Signal.like(self.row), Signal.like(self.output)
        ends, write = Signal(), Signal()
        m.d.comb += [
            tokens.total.eq(layer.tokens),
            tokens.start.eq(self.start),
            self.i.ready.eq(banks.writable),
            write.eq(self.i.valid & banks.writable),
            ends.eq(write & self.i.payload.last),
            banks.fill.eq(ends & (row == tokens.last)),
            banks.free.eq(self.free),
            tokens.next.eq(banks.fill),
            self.available.eq(banks.readable),
        ]
        with m.If(write):
            m.d.sync += output.eq(Mux(ends, 0, output + 1))
        with m.If(ends):
            m.d.sync += row.eq(Mux(banks.fill, 0, row + 1))

        depth = 2 * config.rows * config.max_outputs
        m.submodules.terms = terms = memory.Memory(shape=FP32.width, depth=depth, init=[])
        into, out = terms.write_port(), terms.read_port()
        bits = ceil_log2(depth)
        m.d.comb += [
            into.addr.eq(Cat(output, banks.write, row)[:bits]),
            into.data.eq(self.i.payload.value),
            into.en.eq(write),
            out.addr.eq(Cat(self.output, banks.read, self.row)[:bits]),
            out.en.eq(self.en),
            self.data.eq(out.data),
        ]
        return m
