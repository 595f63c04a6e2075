"""A component with AXI4-Stream port names, for Vivado, LiteX and other designs that speak them."""

from amaranth import ClockDomain, ClockSignal, Module, ResetSignal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["AxisWrapper", "prefix"]


def prefix(name, is_input):
    """What the names of a stream's ports begin with."""
    return ("s_axis" if is_input else "m_axis") + ("" if name in ("i", "o") else f"_{name}")


class AxisWrapper(wiring.Component):
    """Rename the streams of a component as AXI4-Stream.

    `aclk` is the clock and `aresetn` the synchronous active-low reset. The stream `i` becomes `s_axis_…`, `o` becomes
    `m_axis_…`; another input or output `x` becomes `s_axis_x_…` or `m_axis_x_…`. `tdata` is the payload without its
    field `last`, which becomes `tlast`, padded with zeros to whole bytes. Ports that are no streams keep their names.

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
            if tlast is not None:
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
            m.d.comb += inner.eq(outer) if inwards else outer.eq(inner)
        return m


def _split(payload):
    """A payload's bits without its field `last`, and that field or None."""
    bits = Value.cast(payload)
    if not isinstance(payload, data.View) or "last" not in dict(payload.shape()):
        return bits, None
    offset = payload.shape()["last"].offset
    if offset + 1 != len(bits):
        raise ValueError(f"the field 'last' must be the top bit of the payload, bit {len(bits) - 1}, not bit {offset}")
    return bits[:-1], payload.last
