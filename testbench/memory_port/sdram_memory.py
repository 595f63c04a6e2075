"""A memory port with all that is behind it: a controller, and the SDRAM that watches its rules."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...hdl.memory_port.port import MemoryPort
from ...hdl.memory_port.sdram.controller import SdramController
from .sdram_model import SdramChip, SdramModel
from .sdram_rules import Rule

__all__ = ["SdramMemory"]


class SdramMemory(wiring.Component):
    """A controller and its SDRAM.

    Parameters
    ----------
    timing : SdramTiming
        Of the SDRAM.
    address_bits, width : int
        Of the port.
    cells : sequence of int, optional
        First columns of an SDRAM that has its cells inside, for small ones. Without it they are outside, at the port
        `storage`: `testbench.drive` puts an image there, and text and memory of the design do not grow with it.
    controlled : SdramTiming, optional
        What the controller takes for the timing: by default the right one.
    **options
        `buffer` and `delay` of `SdramController`.

    Attributes
    ----------
    port : in `MemoryPort(address_bits, width)`
    error : out 1
        Of the controller.
    broken : out `Rule`
        The first rule that the controller violated.
    storage : out `Storage`
        Without `cells`.
    """

    def __init__(self, timing, address_bits, width, *, cells=None, controlled=None, **options):
        self.timing, self.cells = timing, cells
        self.controller = controlled or timing, address_bits, width
        self.options = options
        self.delay = options.get("delay", 0)
        outside = {} if cells is not None else {"storage": Out(SdramChip.storage_of(timing))}
        super().__init__(
            {"port": In(MemoryPort(address_bits, width)), "error": Out(1), "broken": Out(Rule, init=Rule.KEPT)}
            | outside
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.controller = controller = SdramController(*self.controller, **self.options)
        if self.cells is None:
            m.submodules.sdram = sdram = SdramChip(self.timing, self.delay)
            connect(m, sdram.storage, flipped(self.storage))
        else:
            m.submodules.sdram = sdram = SdramModel(self.timing, self.delay, self.cells)
        connect(m, flipped(self.port), controller.port)
        connect(m, controller.pins, sdram.pins)
        m.d.comb += [self.error.eq(controller.error), self.broken.eq(sdram.broken)]
        return m
