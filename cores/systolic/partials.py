"""Weight-stationary: the partial sums between two blocks of a reduction."""

from amaranth import Module, Mux, Shape, Signal
from amaranth.lib import data, memory
from amaranth.lib.wiring import In, Out

from ...hdl.emission.replicate import Replicable
from ...hdl.emission.structure import Chain
from .processing_element import moving_layout

__all__ = ["PARTIALS_CONTROL", "PartialSums"]

#: `write` the sums that are below the array an enabled cycle later; `read` what goes in above it two enabled cycles
#: later, else zeros.
PARTIALS_CONTROL = data.StructLayout({"write": 1, "read": 1})


class PartialSums(Chain):
    """Queues from below the array to above it, one for each column of blocks.

    Attributes
    ----------
    en : in 1
        All registers load where it is high.
    control : in, `PARTIALS_CONTROL`
    i, o : in, out, arrays of `config.cols` of `moving_layout(config)`
    """

    def __init__(self, config):
        self.config = config
        sums = data.ArrayLayout(moving_layout(config), config.cols)
        ports = {"en": In(1), "control": In(PARTIALS_CONTROL), "i": In(sums), "o": Out(sums)}
        queues = [(Queue, config, width) for width in config.col_blocks]
        super().__init__(ports, queues, {"control_right": "control"}, ["en"])


class Queue(Replicable):
    """Memory of `config.partials` rows of `width` partial sums, first in, first out.

    Attributes
    ----------
    en, control, i, o
        As of `PartialSums`, for `width` columns.
    control_right : out
        For the next queue, one enabled cycle later.
    """

    def __init__(self, config, width):
        self.config = config
        sums = data.ArrayLayout(moving_layout(config), width)
        super().__init__(
            {
                "en": In(1),
                "control": In(PARTIALS_CONTROL),
                "control_right": Out(PARTIALS_CONTROL),
                "i": In(sums),
                "o": Out(sums),
            }
        )

    def elaborate(self, platform):
        m = Module()
        depth = self.config.partials
        width = Shape.cast(self.i.shape()).width
        m.submodules.memory = store = memory.Memory(shape=width, depth=depth, init=[])
        write, read = store.write_port(), store.read_port()
        control = Signal(PARTIALS_CONTROL, name="control_q")
        keep = Signal(reset_less=True)
        m.d.comb += [
            self.control_right.eq(control),
            write.en.eq(self.en & control.write),
            write.data.eq(self.i),
            read.en.eq(self.en & control.read),
            self.o.as_value().eq(Mux(keep, read.data, 0)),
        ]
        with m.If(self.en):
            m.d.sync += [control.eq(self.control), keep.eq(control.read)]
        for port in (write, read):
            with m.If(port.en):
                m.d.sync += port.addr.eq(Mux(port.addr == depth - 1, 0, port.addr + 1))
        return m
