"""Properties to prove that more than one test file uses."""

from amaranth import Module, Value
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from bitloom.testbench.formal import held


class OutputsHold(wiring.Component):
    """Outputs hold until ready, for any stalls and resets, whatever comes in; for a core with `o` and others.

    Parameters
    ----------
    inputs : sequence of str
        Names of the input streams.
        A cover reaches a transfer of the first one.
    core : wiring.Component
    """

    def __init__(self, inputs, core):
        self.inputs, self.core = inputs, core
        ports = {f"{name}_payload": In(len(Value.cast(getattr(core, name).payload))) for name in inputs}
        super().__init__(ports | {f"{name}_valid": In(1) for name in inputs} | {"o_ready": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        for name in self.inputs:
            port = getattr(core, name)
            m.d.comb += [
                port.valid.eq(getattr(self, f"{name}_valid")),
                Value.cast(port.payload).eq(getattr(self, f"{name}_payload")),
            ]
            held(m, port, Assume)
        m.d.comb += core.o.ready.eq(self.o_ready)
        held(m, core.o, Assert)
        first = getattr(core, self.inputs[0])
        m.d.comb += Cover(first.valid & first.ready, f"a transfer of {self.inputs[0]} is taken")
        return m
