"""The SeVeDo core's quantized activations: written once, read again for each block of output channels."""

from amaranth import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from .blocks import Banks, Blocks

__all__ = ["GroupBuffer"]


class GroupBuffer(wiring.Component):
    """Two banks of fine groups, for each row of the tile a memory; one is filled while the other one is read.

    A block of tokens that has fewer than the tile has rows leaves in the other rows what was there.

    Parameters
    ----------
    config : SevedoCoreConfig

    Attributes
    ----------
    layer : in, `config.layer_layout`
        Holds still while its tokens come.
    start : in 1
        They come from the next cycle on.
    i : in stream of `config.quantizer.output_layout`
        Token by token.
    o : out stream of `config.tile.x_layout`
        A block of tokens side by side, again for each block of output channels. Valid comes from a register.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "layer": In(config.layer_layout),
                "start": In(1),
                "i": In(stream.Signature(config.quantizer.output_layout)),
                "o": Out(stream.Signature(config.tile.x_layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config, layer = self.config, self.layer
        m.submodules.banks = banks = Banks()
        word = Signal(ceil_log2(-(-config.max_channels // config.coarse) * config.groups))
        row = Signal(range(config.rows))
        m.submodules.tokens = tokens = Blocks(config.rows, layer.tokens.shape())
        ends, write = Signal(), Signal()
        m.d.comb += [
            tokens.total.eq(layer.tokens),
            tokens.start.eq(self.start),
            self.i.ready.eq(banks.writable),
            write.eq(self.i.valid & banks.writable),
            ends.eq(write & self.i.payload.last),
            banks.fill.eq(ends & (row == tokens.last)),
            tokens.next.eq(banks.fill),
        ]
        with m.If(write):
            m.d.sync += word.eq(Mux(ends, 0, word + 1))
        with m.If(ends):
            m.d.sync += row.eq(Mux(banks.fill, 0, row + 1))

        # The groups behind the last channel, which fill up a coarse group, are not read.
        step = Signal.like(word)
        m.submodules.groups = groups = Blocks(config.fine, layer.channels.shape())
        m.submodules.outputs = outputs = Blocks(config.cols, layer.outputs.shape())
        valid, go, read = Signal(), Signal(), Signal()
        m.d.comb += [
            groups.total.eq(layer.channels),
            outputs.total.eq(layer.outputs),
            groups.start.eq(self.start),
            outputs.start.eq(self.start),
            go.eq(~valid | self.o.ready),
            read.eq(go & banks.readable),
            groups.next.eq(read),
            outputs.next.eq(read & groups.ending),
            banks.free.eq(outputs.next & outputs.ending),
            self.o.valid.eq(valid),
        ]
        with m.If(go):
            m.d.sync += [valid.eq(banks.readable), self.o.payload.last.eq(groups.ending)]
        with m.If(read):
            m.d.sync += step.eq(Mux(groups.ending, 0, step + 1))

        for index in range(config.rows):
            store = memory.Memory(shape=config.group_layout.size, depth=2 << len(word), init=[])
            m.submodules[f"row_{index}"] = store
            into, out = store.write_port(), store.read_port()
            m.d.comb += [
                into.addr.eq(_address(word, banks.write)),
                into.data.eq(self.i.payload.group),
                into.en.eq(write & (row == index)),
                out.addr.eq(_address(step, banks.read)),
                out.en.eq(go),
                self.o.payload.groups[index].eq(out.data),
            ]
        return m


def _address(word, bank):
    return (bank << len(word)) | word
