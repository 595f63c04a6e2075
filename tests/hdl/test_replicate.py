"""Replication: one module for all that is alike, and the same circuit as the plain elaboration."""

import re
import subprocess

import pytest
from amaranth import Cat, Module, Value, signed, unsigned
from amaranth.hdl import Fragment
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from bitloom.cores.systolic.tile import SystolicConfig, SystolicTile
from bitloom.hdl.emission.replicate import Replica, Replicable, merge, unwarned
from bitloom.hdl.emission.structure import Chain, Place, Structure
from bitloom.hdl.emission.verilog import emit, emit_rtlil
from bitloom.hdl.stream.delay import Delay, Skew
from bitloom.tools import finding


class Counter(Replicable):
    """Counts up by `step`, the sum of all arguments; counts how often one is elaborated."""

    elaborated = 0

    def __init__(self, step, more=0, *others, last=0, **named):
        self.step = step + more + sum(others) + last + sum(named.values())
        super().__init__({"en": In(1), "count": Out(8)})

    def elaborate(self, platform):
        Counter.elaborated += 1
        m = Module()
        with m.If(self.en):
            m.d.sync += self.count.eq(self.count + self.step)
        return m


class Bank(wiring.Component):
    """Counters, given by their steps or themselves, as replicas or as plain submodules."""

    def __init__(self, steps, replicate):
        self.steps, self.replicate = steps, replicate
        super().__init__({"en": In(1), "total": Out(8)})

    def elaborate(self, platform):
        m = Module()
        total = 0
        for index, step in enumerate(self.steps):
            counter = step if isinstance(step, Counter) else Counter(step)
            m.submodules[f"counter_{index}"] = Replica(counter) if self.replicate else counter
            m.d.comb += counter.en.eq(self.en)
            total = total + counter.count
        m.d.comb += self.total.eq(total)
        return m


def modules(verilog):
    return re.findall(r"^module (\w+)\(", verilog, flags=re.M)


def equivalent(make, tmp_path):
    """Prove in Yosys that a component as emitted is its plain emission; give the number of points compared."""
    (tmp_path / "gold.il").write_text(emit_rtlil(make(), "gold", replicate=False))
    (tmp_path / "gate.il").write_text(emit_rtlil(make(), "gate"))
    # Registers are compared by name; other names are hidden, they may stand for different nets.
    prepare = (
        "proc -norom; flatten; select -set state t:$*dff* %co1:+[Q] w:* %i; select -set rest w:* @state %d; "
        "rename -hide @rest; opt -full; dffunmap; clean"
    )
    script = f"""
        read_rtlil gold.il; hierarchy -top gold; {prepare}; design -stash gold
        read_rtlil gate.il; hierarchy -top gate; {prepare}; design -stash gate
        design -copy-from gold gold; design -copy-from gate gate
        equiv_make gold gate both; hierarchy -top both; clean
        equiv_simple; equiv_induct; tee -o status equiv_status -assert
    """
    command = [*finding.find("yosys").command, "-q", "-p", "; ".join(script.strip().splitlines())]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(re.search(r"Found (\d+) \$equiv cells", (tmp_path / "status").read_text())[1])


def test_a_replica_is_elaborated_once():
    Counter.elaborated = 0
    verilog = emit(Bank([1] * 20 + [3] * 10, True), "bank")
    assert Counter.elaborated == 2
    assert modules(verilog) == ["bank", "bank__shared_counter", "bank__shared_counter_2"]
    assert len(re.findall(r"^  bank__shared_counter counter_", verilog, flags=re.M)) == 20
    assert len(re.findall(r"^  bank__shared_counter_2 counter_", verilog, flags=re.M)) == 10


@pytest.mark.parametrize(
    "counters",
    [
        lambda: [Counter(1, 0), Counter(1, 1)],
        lambda: [Counter(1), Counter(1, more=1)],
        lambda: [Counter(1, 2, 3), Counter(1, 2, 4)],
        lambda: [Counter(1), Counter(1, last=1)],
        lambda: [Counter(1, a=1), Counter(1, a=2)],
        lambda: [Counter(1, a=1), Counter(1, a=1, b=2)],
    ],
    ids=["second", "default", "star", "keyword", "named", "added"],
)
def test_no_argument_is_forgotten(counters, tmp_path):
    """Whatever a class keeps of its arguments: components that differ in any of them have modules of their own."""
    verilog = emit(Bank(counters(), True), "bank")
    assert modules(verilog) == ["bank", "bank__shared_counter", "bank__shared_counter_2"]
    assert equivalent(lambda: Bank(counters(), True), tmp_path) > 8


def test_however_an_argument_is_given_it_is_the_same():
    counters = [
        [Counter(1, 2), Counter(1, more=2), Counter(more=2, step=1), Counter(1, 2, last=0)],
        [Counter(1, last=2, b=1, a=3), Counter(a=3, last=2, more=0, step=1, b=1)],
    ]
    for alike in counters:
        assert len({counter.replication_key() for counter in alike}) == 1
        assert modules(emit(Bank(alike, True), "bank")) == ["bank", "bank__shared_counter"]


class Wide(Replicable):
    """The first of a layout's numbers in more bits."""

    def __init__(self, layout):
        super().__init__({"i": In(layout), "o": Out(8)})

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.o.eq(self.i.x[0])
        return m


def test_equal_arguments_of_different_meaning_are_not_the_same(tmp_path):
    """As 1 is equal to True, and a layout to another one in which numbers have as many bits but a sign."""
    assert unwarned(Counter(1)).replication_key() != unwarned(Counter(True)).replication_key()
    layouts = [data.StructLayout({"x": data.ArrayLayout(shape, 2)}) for shape in (unsigned(4), signed(4))]
    assert layouts[0] == layouts[1]
    assert equivalent(lambda: Pair(*map(Wide, layouts)), tmp_path) >= 8


class Pair(wiring.Component):
    """Two replicas with the same input, whose outputs are in a register."""

    def __init__(self, *pair):
        self.pair = pair
        super().__init__({"i": In(8), "o": Out(16)})

    def elaborate(self, platform):
        m = Module()
        for index, component in enumerate(self.pair):
            m.submodules[f"half_{index}"] = Replica(component)
            m.d.comb += Value.cast(component.i).eq(self.i)
        m.d.sync += self.o.eq(Cat(component.o for component in self.pair))
        return m


class Filter(Replicable):
    """One that takes a list."""

    def __init__(self, taps):
        super().__init__({"o": Out(len(taps))})


@pytest.mark.parametrize(
    "use",
    [
        lambda: Fragment.get(Replica(unwarned(Filter([1, 2]))), None),
        lambda: emit(Top(unwarned(Filter(taps=[1, 2]))), "top"),
    ],
    ids=["simulated", "emitted"],
)
def test_arguments_that_are_no_key(use):
    with pytest.raises(TypeError) as error:
        use()
    message = "argument 'taps' of Filter must be hashable, as replicas are told apart by their arguments, not [1, 2]"
    assert str(error.value) == message


def test_what_cannot_be_a_replica():
    with pytest.raises(TypeError, match="a replica must be of a Replicable, not of a Bank"):
        Fragment.get(Replica(unwarned(Bank([1], True))), None)


def test_identical_modules_are_emitted_once_whatever_made_them_identical():
    verilog = emit(Bank([1, 3, 1, 3, 1], False), "bank")
    assert modules(verilog) == ["bank", "bank__counter_0", "bank__counter_1"]


def test_merging_goes_on_upwards():
    """Parents that become identical when their children are merged are merged too."""
    leaf = "  wire width 1 output 0 \\o\n  connect \\o 1'1\n"
    text = (
        "module \\top\n  cell \\mid_0 \\a\n  end\n  cell \\mid_1 \\b\n  end\nend\n"
        "module \\mid_0\n  cell \\leaf_0 \\x\n  end\nend\n"
        "module \\mid_1\n  cell \\leaf_1 \\x\n  end\nend\n"
        f"module \\leaf_0\n{leaf}end\nmodule \\leaf_1\n{leaf}end\n"
    )
    merged = merge(text)
    assert re.findall(r"^module \\(\w+)", merged, flags=re.M) == ["top", "mid_0", "leaf_0"]
    assert re.findall(r"^  cell \\(\w+)", merged, flags=re.M) == ["mid_0", "mid_0", "leaf_0"]


@pytest.mark.parametrize("replicate", [False, True])
def test_a_bank_is_its_plain_elaboration(replicate, tmp_path):
    assert equivalent(lambda: Bank([1, 3, 1, 3], replicate), tmp_path) > 8


@pytest.mark.parametrize("falling", [False, True])
def test_skew_is_its_plain_elaboration(falling, tmp_path):
    assert equivalent(lambda: Top(Skew(2, 5, falling)), tmp_path) >= 2 * (4 + 3 + 2 + 1)


@pytest.mark.parametrize(
    "config",
    [
        SystolicConfig(rows=3, cols=3, block=2, a_format="int4", w_format="int4", accumulator=8),
        SystolicConfig(rows=2, cols=2, block=1, a_format="ovp-int4", w_format="ovp-flint4", accumulator=18),
    ],
    ids=["int4", "ovp"],
)
def test_an_array_is_its_plain_elaboration(config, tmp_path):
    assert equivalent(lambda: SystolicTile(config), tmp_path) > 300


def test_a_wrong_circuit_is_not_equivalent(tmp_path):
    banks = iter([Bank([1, 3], True), Bank([1, 2], True)])
    with pytest.raises(AssertionError, match="unproven"):
        equivalent(lambda: next(banks), tmp_path)


def test_emission_is_deterministic():
    config = SystolicConfig(rows=5, cols=3, block=2)
    assert emit(SystolicTile(config), "tile") == emit(SystolicTile(config), "tile")


@pytest.mark.parametrize("width, steps", [(3, 1), (2, 5)])
def test_delay(width, steps):
    dut = Delay(width, steps)

    async def bench(ctx):
        ctx.set(dut.en, 1)
        sent = [(3 * cycle + 1) % (1 << width) for cycle in range(20)]
        for cycle, value in enumerate(sent):
            ctx.set(dut.i, value)
            if cycle >= steps:
                assert ctx.get(dut.o) == sent[cycle - steps]
            await ctx.tick()

    simulate(dut, bench)


@pytest.mark.parametrize("falling", [False, True])
@pytest.mark.parametrize("lanes", [2, 3, 8])
def test_skew(lanes, falling):
    dut = Skew(4, lanes, falling)

    async def bench(ctx):
        ctx.set(dut.en, 1)
        for cycle in range(24):
            ctx.set(dut.i, sum((cycle % 16) << 4 * lane for lane in range(lanes)))
            for lane in range(lanes):
                wait = lanes - 1 - lane if falling else lane
                if cycle >= wait:
                    assert ctx.get(dut.o) >> 4 * lane & 15 == (cycle - wait) % 16
            await ctx.tick()

    simulate(dut, bench)


def simulate(dut, bench):
    sim = Simulator(dut)
    sim.add_clock(1e-6)
    sim.add_testbench(bench)
    sim.run()


def test_a_structure_beyond_the_end_of_a_bus(tmp_path):
    """Inputs are zero there, outputs are not connected; the text says so too."""

    class Beyond(Structure):
        def __init__(self):
            places = [
                Place("wide", (Delay, 6, 1), {"en": ("en", 0), "i": ("i", 2), "o": ("middle", 0)}),
                Place("narrow", (Delay, 8, 1), {"en": ("en", 0), "i": ("middle", 0), "o": ("o", 3)}),
            ]
            super().__init__({"en": In(1), "i": In(4), "o": Out(5)}, places, [("o", 0, "i", 0, 3)])

    dut = Beyond()

    async def bench(ctx):
        ctx.set(dut.en, 1)
        ctx.set(dut.i, 0b1101)
        await ctx.tick().repeat(2)
        assert ctx.get(dut.o) == 0b11101

    simulate(dut, bench)

    assert equivalent(lambda: Top(Beyond()), tmp_path) >= 7


class Top(wiring.Component):
    """A replica alone."""

    def __init__(self, component):
        self.component = component
        super().__init__(dict(component.signature.members.items()))

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = Replica(self.component)
        for name, member in self.signature.members.items():
            inner, outer = getattr(self.component, name), getattr(self, name)
            m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        return m


class Padded(Replicable):
    """Adds, with an index of no bits, as of the only one of something, which goes through."""

    def __init__(self):
        super().__init__({"index": In(0), "a": In(3), "o": Out(3), "index_out": Out(range(1))})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.o.eq(self.a + self.index + 1)
        m.d.comb += self.index_out.eq(self.index)
        return m


def test_what_has_no_bits_is_no_port():
    """In a plain top, in a replica, and in a structure: its ports, its buses and its links."""

    class Two(Structure):
        def __init__(self):
            first = {"index": ("index", 0), "a": ("a", 0), "o": ("between", 0), "index_out": ("n", 0)}
            then = {"index": ("n", 0), "a": ("between", 0), "o": ("o", 0), "index_out": (None, 0)}
            places = [Place("first", (Padded,), first), Place("then", (Padded,), then)]
            ports = {"index": In(0), "a": In(3), "o": Out(3), "index_out": Out(0)}
            super().__init__(ports, places, [("index_out", 0, "n", 0, 0)])

    for top in (Padded(), Top(Padded()), Top(Two())):
        verilog = emit(top, "top")
        assert "-1:0" not in verilog and "index" not in verilog


def test_a_chain_checks_its_lanes():
    with pytest.raises(ValueError, match="port 'o' of the chain must have 3 bits, not 4"):
        Chain({"en": In(1), "i": In(3), "o": Out(4)}, [(Delay, 3, 1)] * 2, {"o": "i"}, ["en"])


def test_unused_replicas_do_not_warn(recwarn):
    emit(Bank([1] * 5, True), "bank")
    assert not recwarn.list
