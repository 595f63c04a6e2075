"""The emitted Verilog: every core and interface passes three tools without a warning.

That it does what Amaranth's own output does is proved in test_formal; test_generate shows that it is always the same.
"""

import functools
import hashlib
import json
import os
import re

import linters
import pytest
from amaranth import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from bitloom.cores.catalogue import CATALOGUE
from bitloom.cores.generate import generate
from bitloom.hdl.emission.verilog import emit, emit_rtlil
from bitloom.hdl.primitives.block_ram import NO_BYPASS
from bitloom.hdl.stream.stages import Stage
from bitloom.tools import finding, running

#: Configurations beside each core's default.
MORE = {
    "ovp-decoder": [{"normal": "flint4", "pairs": 2}, {"normal": "int8", "bias_port": True}],
    "ovp-encoder": [{"normal": "flint4", "width": 9, "fraction": 1}, {"normal": "int8", "pairs": 2}],
    "systolic-tile": [
        {"rows": 3, "cols": 5, "block": 2, "a_format": "ovp-int4", "w_format": "ovp-flint4"},
        {"rows": 2, "cols": 2, "a_format": "ovp-int8", "w_format": "ovp-int8", "overflow": False},
        {"rows": 5, "cols": 3, "block": 2, "dataflow": "weight-stationary"},
        {"rows": 1, "cols": 1},
    ],
    # One of what is counted elsewhere: indices of no bits.
    "anda-tile": [
        {"rows": 1, "cols": 1, "share": 1, "group": 16, "max_mantissa": 3},
        {"rows": 2, "cols": 1, "share": 1, "pe": "fp16"},
    ],
    "hgq-tile": [{"rows": 1, "cols": 1, "coarse": 8, "fine": 4}],
    "nm-tile": [{"rows": 1, "cols": 1, "group": 4}],
    "machine": [{"memory": "sdram"}],
}
#: Each core's small configuration, which is what is put behind AXI4-Stream.
SMALL = {name: core.config.parse(core.small).to_dict() for name, core in CATALOGUE.items()}
#: Cores of which the default takes seconds to make and to check; two of them, minutes.
LARGE = ("anda-decompressor", "anda-tile", "lvc", "machine", "mx-tile", "sevedo-core")
#: Each core's default, but of those; and other configurations.
REQUESTS = [
    (name, "stream", parameters)
    for name in CATALOGUE
    for parameters in (SMALL[name] if name in LARGE else {}, *MORE.get(name, ()))
]
REQUESTS += [(name, "axis", SMALL[name]) for name in CATALOGUE]
#: Other configurations behind AXI4-Stream too, and defaults that take seconds.
LONG = [(name, "axis", parameters) for name in MORE for parameters in MORE[name]]
LONG += [(name, "stream", {}) for name in ("anda-tile", "mx-tile")]
ALL = [*REQUESTS, *LONG]
EACH = [
    pytest.param(
        index,
        id=f"{name}-{interface}-{'-'.join(map(str, parameters.values()))}",
        marks=[pytest.mark.long] * (index >= len(REQUESTS)),
    )
    for index, (name, interface, parameters) in enumerate(ALL)
]


def design_of(request):
    name, interface, parameters = request
    core = CATALOGUE[name]
    return generate(core, core.config(**parameters), interface)


@functools.cache
def made(index):
    return design_of(ALL[index])


@pytest.fixture(params=EACH)
def design(request):
    return made(request.param)


@pytest.fixture
def file(design, tmp_path):
    (tmp_path / "design.v").write_text(design.verilog)
    return tmp_path / "design.v"


def test_verilator_has_nothing_to_say(file):
    """Of any kind: -Wall is all that it says without, and style."""
    assert linters.verilator(file, "-Wall") == (0, [])


def test_icarus_has_nothing_to_say(file, icarus):
    assert linters.icarus(file) == (0, [])


def test_yosys_has_nothing_to_say_and_sees_the_ports_of_the_manifest(design, file):
    assert linters.yosys(file, design.top, "write_json design.json") == (0, [])
    modules = json.loads((file.parent / "design.json").read_text())["modules"]
    seen = {name: (port["direction"], len(port["bits"])) for name, port in modules[design.top]["ports"].items()}
    assert seen == {port["name"]: (port["direction"], port["width"]) for port in design.manifest["ports"]}
    assert seen == {port.name: (port.direction, port.width) for port in design.ports}
    assert design.manifest["modules"] == len(modules)


def test_manifest_fits_the_text(design):
    manifest = design.manifest
    assert manifest["sha256"] == hashlib.sha256(design.verilog.encode()).hexdigest()
    assert manifest["top"] == design.top
    assert {design.clock, design.reset} <= {port.name for port in design.ports}
    assert design.verilog.endswith("endmodule\n\n/* verilator lint_restore */\n")
    # Whoever uses another name shares no module with this design.
    first, *inner = re.findall(r"^module (\w+)", design.verilog, flags=re.MULTILINE)
    assert first == design.top and all(name.startswith(f"{design.top}__") for name in inner)
    assert len({first, *inner}) == manifest["modules"]
    assert design.verilog.isascii() and "\r" not in design.verilog
    # Nothing of the machine that made it.
    assert os.sep + "hdl" + os.sep not in design.verilog and ".py" not in design.verilog
    # No names that Verilog has to escape: they end at a blank, which text tools do not know.
    assert "\\" not in design.verilog


@pytest.fixture
def stage(tmp_path):
    """Folder with a small emitted file."""
    (tmp_path / "stage.v").write_text(emit(Stage(3), "stage"))
    return tmp_path


@pytest.mark.parametrize(
    "kind, body", [("WIDTHTRUNC", "assign b = a + 16'd1;"), ("UNUSEDSIGNAL", "assign b = a[7:0];")]
)
def test_other_files_keep_their_warnings(kind, body, stage):
    """What is silenced here is not in a file that comes behind, in one text or in one call."""
    mine = f"module mine(input [15:0] a, output [7:0] b);\n  {body}\nendmodule\n"
    (stage / "mine.v").write_text(mine)
    (stage / "both.v").write_text((stage / "stage.v").read_text() + mine)
    for first, *more in (["mine.v"], ["both.v"], ["stage.v", "mine.v"]):
        _, lines = linters.verilator(stage / first, "-Wall", "-Wno-DECLFILENAME", "--top-module", "mine", *more)
        assert re.findall(r"^%Warning-(\w+)", "\n".join(lines), flags=re.M) == [kind]


@pytest.mark.parametrize("files", [("clock.v", "stage.v"), ("stage.v", "clock.v")])
def test_a_time_scale_of_others_is_no_warning(files, stage):
    clock = "`timescale 1ns / 1ps\nmodule clock(input a, output b);\n  assign b = a;\nendmodule\n"
    (stage / "clock.v").write_text(clock)
    assert linters.verilator(stage / files[0], "-Wall", "--top-module", "stage", files[1]) == (0, [])
    (stage / "all.v").write_text("".join((stage / name).read_text() for name in files))
    assert linters.verilator(stage / "all.v", "--top-module", "stage") == (0, [])


class Memories(wiring.Component):
    """A memory of zeros of an odd number of words, a large one, one of a bit, and one with contents."""

    #: Words and their width.
    SIZES = {"odd": (300, 5), "deep": (1 << 16, 32), "narrow": (3, 1), "full": (5, 4)}
    CONTENTS = (1, 0, 7, 0, 9)  # of `full`

    def __init__(self):
        ports = {"write": In(1), "data": In(32), "address": In(16)}
        super().__init__(ports | {f"read_{name}": Out(width) for name, (_, width) in self.SIZES.items()})

    def elaborate(self, platform):
        m = Module()
        for name, (depth, width) in self.SIZES.items():
            init = self.CONTENTS if name == "full" else []
            m.submodules[name] = store = memory.Memory(shape=width, depth=depth, init=init)
            write, read = store.write_port(), store.read_port()
            m.d.comb += [
                *(port.addr.eq(self.address) for port in (write, read)),
                write.data.eq(self.data),
                write.en.eq(self.write),
                getattr(self, f"read_{name}").eq(read.data),
            ]
        return m


class Marked(wiring.Component):
    """Two memories of one name, of which one is marked, and one that is not beside it."""

    def __init__(self):
        super().__init__({"write": In(1), "data": In(4), "address": In(3), "read": Out(12)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = inner = Module()
        for at, (home, name, attrs) in enumerate([(m, "words", NO_BYPASS), (m, "others", {}), (inner, "words", {})]):
            home.submodules[name] = store = memory.Memory(shape=4, depth=8, init=[], attrs=attrs)
            write, read = store.write_port(), store.read_port()
            home.d.comb += [
                *(port.addr.eq(self.address) for port in (write, read)),
                write.data.eq(self.data),
                write.en.eq(self.write),
                self.read.word_select(at, 4).eq(read.data),
            ]
        return m


def test_only_a_memory_without_bypass_is_marked(tmp_path):
    """Yosys puts nothing but a register for its output beside a block RAM of it, and keeps what the others are."""
    text = emit(Marked(), "marked")
    (tmp_path / "marked.v").write_text(text)
    assert linters.verilator(tmp_path / "marked.v", "-Wall") == (0, [])
    first = re.search(r"^module marked\b.*?^endmodule", text, re.M | re.S)[0]
    marked = re.findall(r"\(\* no_rw_check \*\)\n  reg \[3:0\] (\w+) \[7:0\];", text)
    assert marked == ["words"] and "no_rw_check" in first
    assert len(re.findall(r"^  reg \[3:0\] \w+ \[7:0\];", text, re.M)) == 3


@pytest.fixture(scope="module")
def memories():
    return emit(Memories(), "memories")


def test_memories_of_zeros_are_a_few_lines(memories, tmp_path):
    (tmp_path / "memories.v").write_text(memories)
    assert len(memories) < 10_000
    assert linters.verilator(tmp_path / "memories.v", "-Wall") == (0, [])


def test_every_word_of_a_memory_has_its_contents_in_a_simulator(memories, tmp_path, icarus):
    prints = "".join(
        f'for (i = 0; i < {depth}; i = i + 1) $display("%b", core.{name}[i]);\n'
        for name, (depth, _) in Memories.SIZES.items()
    )
    bench = f"module bench; memories core(); integer i; initial begin #1;\n{prints}$finish; end endmodule\n"
    (tmp_path / "bench.v").write_text(memories + bench)
    running.run([*icarus, "-o", "bench.vvp", "bench.v"], tmp_path)
    words = running.run(["vvp", "-n", "bench.vvp"], tmp_path).stdout.split()
    expected = [
        f"{word:0{width}b}"
        for name, (depth, width) in Memories.SIZES.items()
        for word in (Memories.CONTENTS if name == "full" else [0] * depth)
    ]
    assert words == expected


def test_every_word_of_a_memory_has_its_contents_in_yosys(tmp_path):
    """As in RTLIL, which names them bit by bit. A smaller one: Yosys takes half a minute for 65,536 words."""
    component = Memories()
    component.SIZES = {name: size for name, size in Memories.SIZES.items() if name != "deep"}
    (tmp_path / "memories.v").write_text(emit(component, "memories"))
    (tmp_path / "memories.il").write_text(emit_rtlil(component, "memories"))
    for kind in ("read_verilog memories.v", "read_rtlil memories.il"):
        script = f"{kind}; hierarchy -top memories; proc; flatten; opt_clean; memory_collect; write_json memories.json"
        running.run([*finding.find("yosys").command, "-q", "-p", script], tmp_path)
        cells = json.loads((tmp_path / "memories.json").read_text())["modules"]["memories"]["cells"].values()
        found = {
            (int(cell["parameters"]["SIZE"], 2), cell["parameters"]["INIT"])
            for cell in cells
            if cell["type"] == "$mem_v2"
        }
        assert found == {
            (
                depth,
                "".join(f"{word:0{width}b}" for word in reversed(Memories.CONTENTS if name == "full" else [0] * depth)),
            )
            for name, (depth, width) in component.SIZES.items()
        }


def test_emission_leaves_a_memory_as_it_is():
    """What was written can be simulated afterwards."""
    store = memory.Memory(shape=4, depth=8, init=[])
    m = Module()
    m.submodules.store = store
    store.write_port(), store.read_port()
    emit(m, "top", ports={})
    assert list(store.data.init) == [0] * 8


def test_submodules_have_plain_names():
    text = emit_rtlil(Stage(3), "top")
    assert set(re.findall(r"^module \\(\S+)$", text, flags=re.MULTILINE)) == {"top", "top__skid", "top__register"}


class OneWord(wiring.Component):
    """A memory of one word, as a queue of two words has inside."""

    def __init__(self):
        super().__init__({"w": In(4), "en": In(1), "r": Out(4)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.words = words = memory.Memory(shape=4, depth=1, init=[])
        write, read = words.write_port(), words.read_port()
        m.d.comb += [write.data.eq(self.w), write.en.eq(self.en), self.r.eq(read.data)]
        return m


def test_a_memory_of_one_word_is_a_register(tmp_path):
    (tmp_path / "one.v").write_text(emit(OneWord(), "one"))
    assert linters.yosys(tmp_path / "one.v", "one") == (0, [])


class Keywords(wiring.Component):
    """Signals whose names are words of Verilog, or of SystemVerilog."""

    def __init__(self):
        super().__init__({"a": In(2), "b": Out(2)})

    def elaborate(self, platform):
        m = Module()
        table, bit = Signal(2, name="table"), Signal(2, name="bit")
        m.d.sync += [table.eq(self.a), bit.eq(table)]
        m.d.comb += self.b.eq(bit)
        return m


def test_no_signal_is_called_by_a_keyword(tmp_path):
    (tmp_path / "keywords.v").write_text(emit(Keywords(), "keywords"))
    assert linters.verilator(tmp_path / "keywords.v", "-Wall") == (0, [])


class Renamed(wiring.Component):
    """One input, one output, and a signal that is neither."""

    def __init__(self):
        super().__init__({"a": In(2), "b": Out(2)})
        self.aside = Signal(2)

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.b.eq(self.a)
        m.d.comb += self.aside.eq(~self.b)
        return m


def test_ports_can_be_given():
    component = Renamed()
    text = emit(component, "top", ports={"left": (component.a, None), "right": (component.aside, None)})
    header = re.search(r"^module top\((.*?)\);", text, flags=re.MULTILINE | re.DOTALL)[1]
    assert set(re.findall(r"\w+", header)) == {"clk", "rst", "left", "right"}


def test_yosys_refusal_is_one_line(monkeypatch):
    monkeypatch.setattr("bitloom.hdl.emission.verilog.emit_rtlil", lambda component, name, **options: "nonsense")
    with pytest.raises(running.ToolFailed, match=r"^Yosys could not write the Verilog of top: ERROR: [^\n]*$"):
        emit(None, "top")
