"""The machine with everything that it writes, in simulation: results of products, elements of rows, and GELU's codes.

Behind its port is a memory of a word a cycle, whose words are outside, so that a large image is there at once.
"""

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...cores.machine.drain import write_layout
from ...cores.machine.entry import in_layout
from ...cores.machine.machine import ERRORS, Engine, out_layout
from ...cores.machine.row_work import element_layout, residual_layout
from ...golden.machine.jobs import Normalize
from ...golden.machine.parts import WIDE
from ...hdl.memory_port.port import MemoryPort
from ...hdl.memory_port.walk import Walk
from ..memory_port.sdram_model import Storage

__all__ = ["FastMemory", "WatchedMachine", "written_layouts"]

#: What elements of rows are written to.
_ELEMENTS = ("residual", "a", "probabilities")
#: Codes that go into GELU and come out of it.
_CODES = {"up": "up", "gelu": "gelu_codes"}


class FastMemory(wiring.Component):
    """A memory of a word a cycle in both directions; its words are outside.

    Parameters
    ----------
    address_bits, width : int
        As of `MemoryPort`.

    Attributes
    ----------
    port : in `MemoryPort(address_bits, width)`
    storage : out `Storage`
    """

    def __init__(self, address_bits, width):
        self.address_bits = address_bits
        super().__init__({"port": In(MemoryPort(address_bits, width)), "storage": Out(Storage(address_bits, width))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.walk = walk = Walk(self.address_bits, 1 << self.address_bits)
        port, storage, room, last = self.port, self.storage, Signal(), Signal(self.address_bits)
        load = walk.valid & ~walk.write & room
        connect(m, walk.i, flipped(port.request))
        m.d.comb += [
            room.eq(~port.read.valid | port.read.ready),
            walk.step.eq(load | storage.write),
            port.write.ready.eq(walk.valid & walk.write),
            storage.write.eq(port.write.valid & port.write.ready),
            storage.write_data.eq(port.write.payload),
            # A word that is not taken is read once more.
            storage.address.eq(Mux(room, walk.address, last)),
            port.read.payload.eq(storage.read_data),
        ]
        m.d.sync += last.eq(storage.address)
        with m.If(room):
            m.d.sync += port.read.valid.eq(load)
        return m


def written_layouts(config):
    """Layout of the payloads of each stream of `WatchedMachine` that has what is written."""
    base = config.job(Normalize)["base"].shape
    return {
        "products": write_layout(config),
        "residual": residual_layout(config),
        "a": element_layout(config, base),
        "probabilities": element_layout(config, range(config.sizes.scores)),
    } | dict.fromkeys(_CODES, signed(WIDE))


class WatchedMachine(wiring.Component):
    """The machine and what it writes.

    Parameters
    ----------
    config : MachineConfig

    Attributes
    ----------
    i, o, job, error
        As of `Engine`.
    storage : out `Storage`
        Of the memory.
    products : out stream
        Words of results of products, as of `Multiplier`. As all streams below, it does not wait for ready.
    residual, a, probabilities : out stream
        Elements of rows, as of `RowUnit`.
    up, gelu : out stream of codes
        What goes into GELU and comes out, lane by lane.
    """

    def __init__(self, config):
        self.config = config
        super().__init__(
            {
                "i": In(stream.Signature(in_layout(config))),
                "o": Out(stream.Signature(out_layout())),
                "job": Out(range(config.jobs)),
                "error": Out(ERRORS),
                "storage": Out(Storage(config.address_bits, config.word)),
            }
            | {name: Out(stream.Signature(shape)) for name, shape in written_layouts(config).items()}
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.engine = engine = Engine(config)
        m.submodules.memory = memory = FastMemory(config.address_bits, config.word)
        connect(m, engine.memory, memory.port)
        connect(m, memory.storage, flipped(self.storage))
        connect(m, flipped(self.i), engine.i)
        connect(m, engine.o, flipped(self.o))
        m.d.comb += [self.job.eq(engine.job), self.error.eq(engine.error)]
        multiplier, products = engine.multiplier, self.products
        m.d.comb += [products.payload.eq(multiplier.o), products.valid.eq(multiplier.valid)]
        for name in _ELEMENTS:
            mine, source = getattr(self, name), getattr(engine.rows, f"to_{name}")
            m.d.comb += [mine.payload.eq(source.payload), mine.valid.eq(source.valid & source.ready)]
        for name, watched in _CODES.items():
            mine, code = getattr(self, name), getattr(engine.multiplier.drain, watched)
            m.d.comb += [mine.payload.eq(code.code), mine.valid.eq(code.valid)]
        return m
