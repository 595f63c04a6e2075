"""Names of the ports of inner modules: they follow from what the ports are, whatever is elsewhere."""

import re

import pytest
from amaranth import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import pinout
from bitloom.hdl.emission.verilog import emit_rtlil
from bitloom.hdl.stream.stages import Stage

PAYLOAD = data.StructLayout({"codes": data.ArrayLayout(unsigned(4), 4), "shift": 3, "scale": 5, "last": 1})


def ports(rtlil):
    """Module to the names of its ports."""
    modules = re.findall(r"^module \\(\S+)\n(.*?)^end$", rtlil, flags=re.M | re.S)
    wire = r"^  wire width \d+ (?:input|output) \d+ +(?:signed +)?\\(\S+)$"
    return {name: set(re.findall(wire, text, flags=re.M)) - {"clk", "rst"} for name, text in modules}


class Inner(wiring.Component):
    """Takes a payload."""

    def __init__(self):
        super().__init__({"i": In(PAYLOAD), "o": Out(4)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.i.codes[0] + self.i.codes[3] + self.i.shift + self.i.scale + self.i.last)
        return m


class Outer(wiring.Component):
    """Gives it a payload of registers of so many bits each, which some others come before in the netlist."""

    def __init__(self, pieces, before=0):
        self.pieces, self.before = pieces, before
        super().__init__({"i": In(PAYLOAD), "o": Out(32)})

    def elaborate(self, platform):
        m = Module()
        others = [Signal(name=f"other_{index}") for index in range(self.before)]
        registers = [Signal(width, name=f"register_{index}") for index, width in enumerate(self.pieces)]
        m.d.sync += [other.eq(~other) for other in others]
        at = 0
        for register in registers:
            m.d.sync += register.eq(self.i.as_value()[at : at + len(register)])
            at += len(register)
        m.submodules.inner = inner = Inner()
        m.d.comb += [inner.i.as_value().eq(Cat(registers)), self.o.eq(sum(others, inner.o))]
        return m


@pytest.mark.parametrize("before", [0, 1, 7])
@pytest.mark.parametrize(
    "pieces",
    [
        {"i_codes": 16, "i_shift": 3, "i_scale": 5, "i_last": 1},
        {"i_codes_0": 4, "i_codes_1": 4, "i_14_8": 7, "i_15": 1, "i_23_16": 8, "i_last": 1},
    ],
    ids=["fields", "bits"],
)
def test_a_part_of_a_signal_is_called_after_it(pieces, before):
    assert ports(emit_rtlil(Outer(pieces.values(), before), "top"))["top__inner"] == {*pieces, "o"}


class Several(wiring.Component):
    """Some signals that come one after the other out of one register."""

    def __init__(self, widths):
        self.widths = widths
        super().__init__({"i": In(16), "o": Out(16)})

    def elaborate(self, platform):
        m, inner = Module(), Module()
        register = Signal(16)
        m.d.sync += register.eq(self.i)
        fields = [Signal(width, name=f"field_{index}") for index, width in enumerate(self.widths)]
        m.d.comb += Cat(fields).eq(register)
        total = Signal(16)
        inner.d.sync += total.eq(sum(fields, 0))
        m.submodules.inner = inner
        m.d.comb += self.o.eq(total)
        return m


@pytest.mark.parametrize("widths, name", [((3, 5), "field_0_field_1"), ((3, 5, 4, 2), "field_0_to_field_3")])
def test_several_signals_are_called_after_all_or_after_the_first_and_the_last(widths, name):
    assert ports(emit_rtlil(Several(widths), "top"))["top__inner"] == {name, "total"}


class Line(wiring.Component):
    """Two stages, whose ports have the same names as those of the line."""

    def __init__(self):
        super().__init__({"i": In(stream.Signature(4)), "o": Out(stream.Signature(4))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.first = first = Stage(4)
        m.submodules.then = then = Stage(4)
        connect(m, flipped(self.i), first.i)
        connect(m, first.o, then.i)
        connect(m, then.o, flipped(self.o))
        return m


def test_a_name_that_is_taken_begins_with_the_instance():
    names = {f"{port}__{part}" for port in ("i", "register_o") for part in ("payload", "valid", "ready")}
    found = ports(emit_rtlil(Line(), "top"))
    assert found["top__first"] == names
    assert all("$" not in name for module in found.values() for name in module)


@pytest.mark.parametrize("name", ["ovp-encoder", "gemm", "anda-compressor", "anda-tile", "pwl-unit", "layernorm-unit"])
def test_ports_of_inner_modules_of_cores(name):
    core = lookup(name)
    found = ports(emit_rtlil(pinout(core, core.config.parse(core.small), "axis").component, "top"))
    assert len(found) > 2
    for module, names in found.items():
        assert not [name for name in names if "$" in name or re.search(r"port.\d", name)], module
