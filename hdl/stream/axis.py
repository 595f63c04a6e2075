"""A component with AXI4-Stream port names, for Vivado, LiteX and other designs that speak them."""

from amaranth import ClockDomain, ClockSignal, Const, Module, ResetSignal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AxisWrapper", "prefix"]


def prefix(name, is_input):
    """Prefix of the names of a stream's ports."""
    return ("s_axis" if is_input else "m_axis") + ("" if name in ("i", "o") else f"_{name}")


class AxisWrapper(wiring.Component):
    """Rename the streams of a component as AXI4-Stream.

    `aclk` is the clock and `aresetn` the synchronous active-low reset. The stream `i` becomes `s_axis_…`, `o` becomes
    `m_axis_…`; another input or output `x` becomes `s_axis_x_…` or `m_axis_x_…`. `tdata` is the payload without its
    field `last`, padded with zeros to whole bytes; a payload of no bits has none. Ports outside of streams keep their
    names.

    Every stream has `tlast`, as a DMA engine needs it. It is the payload's field `last` where there is one. Of an input
    without, it is accepted and ignored, since the core counts its transfers itself. On an output without, it is always
    1: every transfer is a packet of its own, so that nothing that waits for a packet's end waits for ever (our choice;
    whoever wants longer packets counts transfers behind the core).

    Parameters
    ----------
    component : wiring.Component
        What to wrap; its streams are direct members of its signature, with `last`, where there is one, as the top bit
        of the payload.
    """

    def __init__(self, component):
        self.component = component
        # Name of an outer port to (signal of the component, whether the outer port drives it).
        self._links = {}
        ports = {"aclk": In(1), "aresetn": In(1)}
        for name, member in component.signature.members.items():
            inner, is_input = getattr(component, name), member.flow == In
            if member.is_port:
                self._links[name] = (Value.cast(inner), is_input)
                continue
            begin = prefix(name, is_input)
            tdata, tlast = _split(inner.payload)
            self._links[f"{begin}_tdata"] = (tdata, is_input)
            self._links[f"{begin}_tvalid"] = (inner.valid, is_input)
            self._links[f"{begin}_tready"] = (inner.ready, not is_input)
            self._links[f"{begin}_tlast"] = (tlast, is_input)
        for name, (inner, inwards) in self._links.items():
            width = -(-len(inner) // 8) * 8 if name.endswith("_tdata") else len(inner)
            ports[name] = In(width) if inwards else Out(width)
        super().__init__(ports)

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain()
        m.submodules.core = self.component
        m.d.comb += [ClockSignal().eq(self.aclk), ResetSignal().eq(~self.aresetn)]
        for name, (inner, inwards) in self._links.items():
            outer = getattr(self, name)
            if not inwards:
                m.d.comb += outer.eq(inner)
            elif not isinstance(inner, Const):
                m.d.comb += inner.eq(outer)
        return m


def _split(payload):
    """A payload's bits without its field `last`, and what stands for `tlast`: that field, else a constant 1."""
    bits = Value.cast(payload)
    if not isinstance(payload, data.View) or "last" not in dict(payload.shape()):
        return bits, Const(1)
    offset = payload.shape()["last"].offset
    if offset + 1 != len(bits):
        raise ValueError(f"the field 'last' must be the top bit of the payload, bit {len(bits) - 1}, not bit {offset}")
    return bits[:-1], payload.last
