"""A board top with the SDRAM beside it, for simulation."""

from amaranth import ClockDomain, ClockSignal, DomainRenamer, Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ...cores.machine.core import SDRAM_PINS
from ...testbench.memory_port.sdram_model import SdramChip
from ...testbench.memory_port.sdram_rules import Rule

__all__ = ["SdramBoard"]


class SdramBoard(wiring.Component):
    """A board top and an SDRAM that watches its rules. Its cells are outside, and a reset of the board is none of it.

    Parameters
    ----------
    top : LinkTop
        Of a core with `cores.machine.core.SDRAM_PINS`.
    config : Config
        Of that core: `timing` and `delay` are taken from it.

    Attributes
    ----------
    rx, tx
        As of `LinkTop`.
    storage : out `Storage`
    broken : out `Rule`
        The first rule of the SDRAM that was violated.
    """

    def __init__(self, top, config):
        self.top, self.config = top, config
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "storage": Out(SdramChip.storage_of(config.timing)),
                "broken": Out(Rule, init=Rule.KEPT),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.top = top = self.top
        m.domains.chip = ClockDomain(local=True, reset_less=True)
        chip = SdramChip(self.config.timing, self.config.delay)
        m.submodules.chip = DomainRenamer("chip")(chip)
        connect(m, chip.storage, flipped(self.storage))
        m.d.comb += [ClockSignal("chip").eq(ClockSignal()), top.rx.eq(self.rx), self.tx.eq(top.tx)]
        m.d.comb += self.broken.eq(chip.broken)
        for name, path in SDRAM_PINS.items():
            pin = chip.pins
            for part in path:
                pin = getattr(pin, part)
            m.d.comb += top.sdram_dq_i.eq(pin) if name == "sdram_dq_i" else pin.eq(getattr(top, name))
        return m
