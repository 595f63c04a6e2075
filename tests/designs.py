"""Designs of components that are in no catalogue, for `drive` and `synthesize`."""

from amaranth import Value

from bitloom.cores.generate import Design, Port
from bitloom.hdl.emission.verilog import emit, signature_ports


def design_of(component, name):
    """The design of a component with clock and reset."""
    ports = signature_ports(component).items()
    listed = [Port(port, direction.value, len(Value.cast(value))) for port, (value, direction) in ports]
    clocking = [Port("clk", "input", 1), Port("rst", "input", 1)]
    return Design(name, name, emit(component, name), (*clocking, *listed), "clk", "rst", False, {})
