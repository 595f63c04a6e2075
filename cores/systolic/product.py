"""The multipliers of the systolic tile: those of a family, free-running with a register behind them."""

from amaranth import Module, Signal

from ...hdl.emission.private import unwarned
from ...hdl.emission.replicate import Replica, Replicable

__all__ = ["RegisteredProduct", "latency", "multiplier"]


def latency(config):
    """Cycles from operands to the products of a `multiplier`."""
    return 2 + config.free_running


def multiplier(config, kind, *arguments):
    """A multiplier of a kind, with the register that the configuration asks for.

    Parameters
    ----------
    config : TileConfig
    kind : type
        `OuterProduct`, or another one with its parameters and ports.
    *arguments
        Of the constructor.
    """
    return RegisteredProduct(kind, *arguments) if config.free_running else kind(*arguments)


class RegisteredProduct(Replicable):
    """A multiplier with a register behind its products, outside of an FPGA's block: from there the way is shorter.

    Parameters and ports of `kind`, whose latency is a cycle less.
    """

    def __init__(self, kind, *arguments):
        self.multiplier = unwarned(kind(*arguments))
        super().__init__(dict(self.multiplier.signature.members))

    def elaborate(self, platform):
        m = Module()
        m.submodules.multiplier = Replica(inner := self.multiplier)
        m.d.comb += [inner.en.eq(self.en), inner.a.eq(self.a), inner.b.eq(self.b)]
        for name in self.signature.members.keys() & {"products", "carries"}:
            held = Signal(getattr(self, name).shape(), name=f"{name}_q", reset_less=True)
            m.d.comb += getattr(self, name).eq(held)
            with m.If(self.en):
                m.d.sync += held.eq(getattr(inner, name))
        return m
