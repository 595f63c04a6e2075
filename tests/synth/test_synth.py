"""The synthesis flows on small designs: what is counted, what is placed, what is refused."""

import dataclasses
import gzip
import io
import itertools
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.synth import flow, gowin, harness, liberty, report, room, yosys
from bitloom.synth.flow import synthesize
from bitloom.synth.parts import PARTS, Resource
from bitloom.tools import finding, running


def design(name, text, **ports):
    """Just what the flow reads of a Design; ports as name=(direction, width)."""
    ports = [SimpleNamespace(name=port, direction=d, width=w) for port, (d, w) in ports.items()]
    return SimpleNamespace(name=name, top=name, verilog=text, ports=ports, clock="clk", reset="rst")


CLOCKED = {"clk": ("input", 1), "rst": ("input", 1)}

COUNTER = design(
    "counter",
    """
module counter(input clk, input rst, output reg [7:0] count);
  always @(posedge clk) if (rst) count <= 0; else count <= count + 1;
endmodule
""",
    **CLOCKED,
    count=("output", 8),
)

MAC = design(
    "mac",
    """
module mac(input clk, input rst, input signed [7:0] a, input signed [7:0] b, output reg signed [23:0] q);
  reg signed [15:0] product;
  always @(posedge clk) begin
    product <= a * b;
    if (rst) q <= 0; else q <= q + product;
  end
endmodule
""",
    **CLOCKED,
    a=("input", 8),
    b=("input", 8),
    q=("output", 24),
)

# Combinational, and without a clock: a sign-magnitude decoder.
DECODER = design(
    "decoder",
    """
module decoder(input [4:0] code, output [4:0] value);
  assign value = code[4] ? -{1'b0, code[3:0]} : {1'b0, code[3:0]};
endmodule
""",
    code=("input", 5),
    value=("output", 5),
)


def cell(name, area, pins, function, more=""):
    inputs = "".join(f"pin({pin}) {{ direction : input; capacitance : 1; }}\n" for pin in pins)
    output = f'pin(Y) {{ direction : output; function : "{function}"; }}\n'
    return f"cell ({name}) {{ area : {area}; {more}\n{inputs}{output}}}\n"


FLIP_FLOP = """cell (DFF) { area : 6.5; ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; }
pin(D) { direction : input; capacitance : 1; } pin(CK) { direction : input; clock : true; capacitance : 1; }
pin(Q) { direction : output; function : "IQ"; } }
"""
# ABC takes no library without a buffer.
INVERTER = cell("INV", 0.5, "A", "!A") + cell("BUF", 0.75, "A", "A")
NAND = cell("ND2", 1.25, "AB", "!(A&B)")


def library(*cells):
    return '/* tiny */\nlibrary (tiny) {\n  time_unit : "1ns";\n' + "".join(cells) + "}\n"


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """An empty cache for this file, under /tmp: YoWASP's own /tmp is another one."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BITLOOM_CACHE", str(folder))
        yield folder


@pytest.fixture
def no_tools(monkeypatch):
    """No tool may run."""

    def run(command, *args, **kwargs):
        raise AssertionError(f"{command[0]} was run")

    monkeypatch.setattr(running, "run", run)


def uses(found):
    return {use.name: use.used for use in found.uses}


def printed(found):
    console = Console(width=120, file=io.StringIO())
    console.print(report.table(found))
    return console.file.getvalue()


def test_names_of_others_are_no_markup():
    """A library may call itself and its cells what it likes."""
    hops = (report.Hop("logic", "LUT[/4] A Z", 1.0),)
    found = report.Report(
        *("core", "lib[/bold]", "part[red]", (report.Use("LUT[a]", 3, 10),), 10.0, None),
        *(report.Path("a[0]", "b[/1]", 1.0, 2.0, hops), report.Area("l", 1.0, 2, 1, "ND[/2]", 1.0, 1.0)),
        *({}, {"yosys": "1"}, None, ("note [/x]",)),
    )
    shown = printed(found)
    for text in ("core on lib[/bold], part[red]", "LUT[a]", "(ND[/2])", "logic LUT[/4] A Z", "note [/x]", "a[0] to"):
        assert text in shown


@pytest.mark.parametrize("name", PARTS)
def test_every_part_places_a_counter(name):
    found = synthesize(COUNTER, name)
    assert uses(found)["FF"] == 8
    # Eight bits of carry and no more than a LUT for each.
    assert 4 <= uses(found)["carry"] <= 8
    assert 8 <= uses(found)["LUT4"] <= 12
    assert uses(found).get("DSP", uses(found).get("DSP 9x9")) == 0
    assert found.fmax_mhz > 50
    assert found.part == PARTS[name].product
    assert found.notes == ()


def test_ice40_report():
    stages = []
    found = synthesize(MAC, "ice40-up5k", freq=1, progress=stages.append)
    assert uses(found)["DSP"] == found.cells["SB_MAC16"] == 1
    assert uses(found)["FF"] == sum(n for name, n in found.cells.items() if name.startswith("SB_DFF"))
    assert uses(found)["LUT4"] == found.cells.get("SB_LUT4", 0)
    assert [use.available for use in found.uses] == [5280, 5280, 5280, 8, 30, 4]
    version = finding.find("nextpnr-ice40").version
    assert stages == [
        "synthesis for ice40-up5k (Yosys 0.70)",
        f"place and route on ice40-up5k (nextpnr-ice40 {version})",
    ]
    assert found.wording == f"estimate of Yosys 0.70 / nextpnr-ice40 {version}, seed 1, out of context"
    path = found.path
    assert path.logic_ns + path.routing_ns == pytest.approx(1000 / found.fmax_mhz, rel=0.01)
    assert sum(hop.ns for hop in path.hops) == pytest.approx(path.logic_ns + path.routing_ns, abs=0.01)
    assert {hop.kind for hop in path.hops} >= {"clk-to-q", "routing", "setup"}
    assert found.met is True
    data = json.loads(json.dumps(found.to_dict()))
    assert data["fmax_mhz"] == found.fmax_mhz
    assert data["met"] is True
    assert data["uses"][3] == {"name": "DSP", "used": 1, "available": 8}
    assert pickle.loads(pickle.dumps(found)) == found


def test_ecp5_report():
    found = synthesize(MAC, "ecp5-25k")
    assert uses(found)["DSP"] == found.cells["MULT18X18D"] == 1
    assert uses(found)["FF"] == found.cells["TRELLIS_FF"] == 40
    assert uses(found)["carry"] == found.cells["CCU2C"] == 12
    assert uses(found)["LUT4"] == found.cells.get("LUT4", 0) + 24
    # The inferred multiplier's inputs are not registered in the core: the path starts at the harness' register for a
    # port, and is called by the port's name.
    assert re.fullmatch(r"[ab]\[\d\] \(input\)", found.path.start)
    assert re.fullmatch(r"product\[\d+\]", found.path.end)
    assert any("MULT18X18D" in hop.through for hop in found.path.hops)
    text = "\n".join(report.lines(found))
    assert "FF: 40 of 24,288" in text
    assert f"Fmax: {found.fmax_mhz:.1f} MHz\n" in text
    assert f"longest path: {found.path.start} to {found.path.end}" in text
    assert found.wording in text
    table = printed(found)
    for words in ("mac on ecp5-25k", "24,288", f"{found.fmax_mhz:.1f} MHz", found.path.start, found.wording):
        assert words in table


def test_gowin_report_does_not_vouch_for_a_dsp_path():
    found = synthesize(MAC, "gowin-gw1n-9")
    assert uses(found)["DSP 9x9"] == 1
    assert uses(found)["carry"] == found.cells["ALU"]
    assert any("no delays for DSP blocks" in note for note in found.notes)
    assert "no delays for DSP blocks" in printed(found)


def test_gowin_paths_through_small_luts_are_timed():
    # nextpnr by itself finds no path here at all.
    found = synthesize(DECODER, "gowin-gw1n-9")
    assert found.cells["LUT2"] + found.cells["LUT3"] > 0
    assert found.fmax_mhz > 100
    assert found.path.end.endswith("(output)")


def test_gowin_netlist_for_timing_has_the_same_function():
    cells = {
        "small": {
            "type": "LUT2",
            "parameters": {"INIT": "0110"},
            "port_directions": {"F": "output", "I0": "input", "I1": "input"},
            "connections": {"F": [4], "I0": [2], "I1": [3]},
        }
    }
    for name, source in (("after_lut", 4), ("after_ff", 5), ("constant", "0")):
        cells[name] = {
            "type": "DFFE",
            "parameters": {},
            "port_directions": {"D": "input", "CLK": "input", "Q": "output"},
            "connections": {"D": [source], "CLK": [6], "Q": [{"after_lut": 5, "after_ff": 7, "constant": 8}[name]]},
        }
    module = {"cells": cells, "netnames": {"all": {"bits": list(range(2, 9))}}}
    before = json.dumps(module)
    timed = gowin.make_timed(module)["cells"]
    assert json.dumps(module) == before
    assert timed["small"]["type"] == "LUT4"
    assert timed["small"]["connections"] == cells["small"]["connections"]
    # The table is read from the right: bit I0 + 2 * I1 repeats whatever the inputs that are not there are.
    assert timed["small"]["parameters"]["INIT"] == "0110" * 4
    through = timed.pop("after_ff$through")
    assert (through["connections"]["I0"], through["parameters"]["INIT"]) == ([5], "10" * 8)
    assert timed["after_ff"]["connections"]["D"] == through["connections"]["F"] == [9]
    assert timed["after_lut"] == cells["after_lut"]
    assert timed["constant"] == cells["constant"]
    assert list(timed) == list(cells)


def test_carry_chains_are_one_line_for_people():
    found = synthesize(COUNTER, "ecp5-25k")
    chains = [line for line in report.lines(found) if "carry chain of" in line]
    assert len(chains) == 1
    assert len(found.path.hops) > 8


def test_a_design_without_clock_and_reset():
    found = synthesize(DECODER, "ice40-hx8k")
    assert uses(found)["FF"] == 0
    assert (found.path.start.split("[")[0], found.path.end.split("[")[0]) in (
        ("code", "value"),
        ("code", "harness rows"),
    )


def test_a_design_from_the_catalogue_with_axi_names():
    from bitloom.cores.catalogue import lookup
    from bitloom.cores.generate import generate

    core = lookup("ovp-decoder")
    found = synthesize(generate(core, core.config(), "axis"), "ecp5-25k")
    assert found.design == "ovp-decoder"
    assert found.fmax_mhz > 50


def test_the_harness_keeps_every_bit(tmp_path):
    wide = design("wide", "", **CLOCKED, a=("input", 70), b=("input", 63), x=("output", 200), y=("output", 7))
    box = (
        "(* blackbox *) module wide(input clk, rst, input [69:0] a, input [62:0] b, output [199:0] x, output [6:0] y);"
    )
    (tmp_path / "wide.v").write_text(harness.harness(wide, "whole") + box + " endmodule\n")
    folded = -(-207 // 3)
    # Reset, inputs, caught outputs, fold, and a register at the end of each row of 64.
    registers = 1 + 133 + 207 + folded + -(-folded // 64)
    script = f"read_verilog wide.v; synth_ice40 -top whole; select -assert-count {registers} t:SB_DFF*"
    running.run([*finding.find("yosys").command, "-q", "-p", script], tmp_path)
    names = harness.borders(wide)
    assert len(names) == 1 + 133 + 207
    assert names["fed[70]"] == "b[0] (input)"
    assert names["caught[199]"] == "x[199] (output)"


def test_a_design_without_outputs_is_refused():
    with pytest.raises(ValueError, match="sink has no output, there is nothing to measure"):
        synthesize(design("sink", "", **CLOCKED, a=("input", 1)), "ecp5-25k")


def test_the_wheels_yosys_has_stack_for_long_chains(tmp_path):
    text = "module chain(input c, i, output o); reg [3999:0] r; assign o = r[3999];\n"
    (tmp_path / "chain.v").write_text(text + "always @(posedge c) r <= {r[3998:0], i}; endmodule\n")
    script = "read_verilog chain.v; synth_ecp5 -run begin:map_luts"
    done = subprocess.run([sys.executable, yosys.__file__, "-q", "-p", script], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_repeated_run_comes_from_the_cache_whatever_the_frequency(request):
    synthesize(MAC, "ecp5-25k")
    request.getfixturevalue("no_tools")
    found = synthesize(MAC, "ecp5-25k", freq=1000)
    assert found.met is False
    assert dataclasses.replace(found, freq_mhz=None).met is None
    assert dataclasses.replace(found, freq_mhz=found.fmax_mhz).met is True
    assert f"{found.fmax_mhz:.1f} MHz, 1000 MHz missed" in "\n".join(report.lines(found))
    with pytest.raises(AssertionError, match="was run"):
        synthesize(MAC, "ecp5-25k", seed=2)
    changed = SimpleNamespace(**{**vars(MAC), "verilog": MAC.verilog.replace("q + product", "q - product")})
    with pytest.raises(AssertionError, match="was run"):
        synthesize(changed, "ecp5-25k")


def test_a_damaged_cache_entry_is_made_again(cache):
    before = synthesize(DECODER, "gowin-gw1n-9")
    for entry in (cache / "synth").glob("*.gz"):
        entry.write_bytes(entry.read_bytes()[:-20])
    assert synthesize(DECODER, "gowin-gw1n-9") == before
    for entry in (cache / "synth").glob("*.gz"):
        entry.unlink()
    assert synthesize(DECODER, "gowin-gw1n-9") == before


def test_nothing_is_left_of_work_and_of_logs_that_nobody_needs(cache):
    assert [*(cache / "synth" / "work").iterdir(), *(cache / "synth" / "logs").iterdir()] == []


def test_a_part_that_is_too_small_is_refused_before_place_and_route(monkeypatch):
    nine = "".join(f"assign o[{16 * k + 15}:{16 * k}] = a[{8 * k + 7}:{8 * k}] * b;\n" for k in range(9))
    array = design(
        "nine",
        f"module nine(input [71:0] a, input [7:0] b, output [143:0] o);\n{nine}endmodule\n",
        a=("input", 72),
        b=("input", 8),
        o=("output", 144),
    )
    with pytest.raises(ValueError, match=r"^ice40-up5k is too small for nine: it needs 9 DSP of 8 \(1 too many\)$"):
        synthesize(array, "ice40-up5k")
    small = dataclasses.replace(
        PARTS["ecp5-25k"], name="small", resources=(Resource("FF", 7, (("TRELLIS_FF", 1234),)),)
    )
    monkeypatch.setitem(PARTS, "small", small)
    with pytest.raises(
        ValueError, match=r"^small is too small for counter: it needs 9,872 FF of 7 \(9,865 too many\)$"
    ):
        synthesize(COUNTER, "small")


def test_a_part_without_room_for_the_harness_is_refused_with_what_the_core_takes(monkeypatch):
    part = PARTS["ice40-hx8k"]
    resources = tuple(dataclasses.replace(resource, available=384) for resource in part.resources[:3])
    tiny = dataclasses.replace(
        part, name="tiny", arguments=("--lp384", "--package", "qn32", *part.arguments[3:]), resources=resources
    )
    monkeypatch.setitem(PARTS, "tiny", tiny)
    text = "module s(input clk, input [189:0] i, output reg [189:0] o); always @(posedge clk) o <= i; endmodule\n"
    delay = design(
        "delay", text.replace("module s", "module delay"), clk=("input", 1), i=("input", 190), o=("output", 190)
    )
    said = r"^tiny is too small for delay in its harness: it needs (\d+) ICESTORM_LC of 384 \(\d+ too many\); alone"
    with pytest.raises(ValueError, match=said + r" it takes 190 FF of 384$"):
        synthesize(delay, "tiny")


def test_verilog_that_yosys_does_not_take_is_one_line_with_a_log():
    broken = design(
        "broken", "module broken(input a, output b);\n  assign b = ;\nendmodule\n", a=("input", 1), b=("output", 1)
    )
    with pytest.raises(running.ToolFailed) as error:
        synthesize(broken, "ecp5-25k")
    match = re.fullmatch(r"Yosys failed with status 1: core\.v:2: ERROR: .* \(log: (.*)\)", str(error.value))
    assert "syntax error" in Path(match[1]).read_text()
    Path(match[1]).unlink()


@pytest.mark.parametrize(
    "arguments, said",
    [
        (
            {"part": "virtex"},
            "unknown target 'virtex': there are ice40-up5k, ice40-hx8k, ecp5-25k, ecp5-45k, ecp5-85k, ",
        ),
        ({}, "give either a target or a Liberty file"),
        ({"part": "ecp5-25k", "liberty": "a.lib"}, "give either a target or a Liberty file, not both"),
        ({"part": "ecp5-25k", "seed": -1}, "seed must be an integer from 0 to 2147483647, not -1"),
        ({"part": "ecp5-25k", "seed": True}, "seed must be an integer from 0 to 2147483647, not True"),
        ({"part": "ecp5-25k", "freq": 0}, "freq must be a number of MHz above 0, not 0"),
        ({"part": "ecp5-25k", "freq": float("nan")}, "freq must be a number of MHz above 0, not nan"),
        ({"liberty": "a.lib", "freq": 100}, "freq needs an FPGA target: with a Liberty file only area is estimated"),
    ],
)
def test_wrong_requests(arguments, said, no_tools):
    with pytest.raises(ValueError) as error:
        synthesize(COUNTER, **arguments)
    assert str(error.value).startswith(said)


@pytest.mark.parametrize("packed", [False, True])
def test_area_with_a_liberty_file(packed, tmp_path):
    text = library(INVERTER, FLIP_FLOP, NAND)
    path = tmp_path / ("tiny.lib.gz" if packed else "tiny.lib")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    found = synthesize(COUNTER, liberty=path)
    assert set(found.cells) == {"INV", "DFF", "ND2"}
    assert found.area.flip_flops == found.cells["DFF"] == 8
    assert found.area.cells == sum(found.cells.values())
    areas = {"INV": 0.5, "DFF": 6.5, "ND2": 1.25}
    assert found.area.area == pytest.approx(sum(areas[name] * count for name, count in found.cells.items()))
    assert found.area.nand2_equivalents == pytest.approx(found.area.area / 1.25, abs=0.06)
    assert (found.area.library, found.area.nand2) == ("tiny", "ND2")
    assert (found.fmax_mhz, found.path, found.met, found.uses) == (None, None, None, ())
    assert found.wording == "estimate of Yosys 0.70"
    assert "of them flip-flops: 8" in "\n".join(report.lines(found))
    assert "NAND2 equivalents (ND2)" in printed(found)
    assert json.loads(json.dumps(found.to_dict()))["area"]["cells"] == found.area.cells


def test_cells_that_are_reserved_are_not_used(tmp_path):
    cheap = cell("CHEAP", 0.1, "AB", "!(A&B)", more='is_isolation_cell : "true";')
    path = tmp_path / "tiny.lib"
    path.write_text(library(INVERTER, FLIP_FLOP, NAND, cheap))
    assert "CHEAP" in liberty.read(path).reserved
    found = synthesize(COUNTER, liberty=path)
    assert "CHEAP" not in found.cells
    assert found.area.nand2 == "ND2"


@pytest.mark.parametrize("function", ["!(A&B)", "(A*B)'", "!(A B)", "(!A) | (!B)", "A' + B'", "1^(A B)", "!((B & A))"])
def test_a_nand_is_found_by_its_function(function, tmp_path):
    path = tmp_path / "tiny.lib"
    larger = cell("A_LARGER_ONE", 9, "AB", "!(A&B)")
    path.write_text(library(FLIP_FLOP, larger, cell("sky__nand2_1", 3, "AB", function), cell("NOR", 1, "AB", "!(A|B)")))
    found = liberty.read(path)
    assert (found.nand2, found.nand2_area, found.flip_flops) == ("sky__nand2_1", 3.0, {"DFF"})


def test_functions_have_libertys_precedence():
    for a, b, c in itertools.product((False, True), repeat=3):
        values = {"A": a, "B": b, "C": c}
        assert liberty._evaluate("A + B C", values) == (a or (b and c))
        assert liberty._evaluate("A ^ B * C'", values) == ((a != b) and not c)
        assert liberty._evaluate("!A&B|C", values) == ((not a and b) or c)


@pytest.mark.parametrize(
    "text, said",
    [
        ("module counter(); endmodule", r"is not a Liberty file: it does not begin with library \(name\) {"),
        ("", r"is not a Liberty file: it does not begin with library \(name\) {"),
        (library(NAND, FLIP_FLOP)[:-40], r"is not a correct Liberty file: \d groups are not closed, it seems cut off"),
        (library(NAND, FLIP_FLOP) + "}", "is not a correct Liberty file: there is a } too many"),
        (library(NAND, INVERTER), "has 3 cells and no flip-flop among them, which synthesis needs"),
        (library(INVERTER, FLIP_FLOP), "has no 2-input NAND with an area, which the equivalents are counted in"),
        (library(cell("N", 1, "AB", "!(A&"), FLIP_FLOP), "has no 2-input NAND with an area"),
        (library(cell("N", 1, "AB", "!(A%B)"), FLIP_FLOP), "has no 2-input NAND with an area"),
    ],
)
def test_liberty_files_that_cannot_be_used(text, said, tmp_path, no_tools):
    path = tmp_path / "bad.lib"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} {said}") as error:
        synthesize(COUNTER, liberty=path)
    assert "\n" not in str(error.value)


def test_a_packed_liberty_file_that_is_cut_off(tmp_path):
    path = tmp_path / "bad.lib.gz"
    path.write_bytes(gzip.compress(library(NAND, FLIP_FLOP).encode())[:-9])
    with pytest.raises(ValueError, match="cannot be unpacked"):
        synthesize(COUNTER, liberty=path)


def test_a_liberty_file_that_yosys_does_not_take(tmp_path):
    path = tmp_path / "bad.lib"
    path.write_text(library(NAND, INVERTER, FLIP_FLOP, "cell (X) { area 5 5 ; }\n"))
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))} cannot be used: Yosys failed"):
        synthesize(COUNTER, liberty=path)


@pytest.mark.parametrize(
    "body, said",
    [
        ("reg r; always @* if (e) r = d; assign q = r;", r" cannot be used: .*D latches are not supported"),
        ("MULT18 m(e, d, q);", r" has no cells for MULT18, which gate needs$"),
    ],
)
def test_a_library_without_the_cells_that_a_design_needs(body, said, tmp_path):
    path = tmp_path / "tiny.lib"
    path.write_text(library(INVERTER, FLIP_FLOP, NAND))
    text = f"module gate(input e, input d, output q); {body} endmodule\n"
    text += "(* blackbox *) module MULT18(input a, input b, output c); endmodule\n"
    gate = design("gate", text, e=("input", 1), d=("input", 1), q=("output", 1))
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}{said}"):
        synthesize(gate, liberty=path)


def test_named_dsp_blocks_go_through_synthesis_as_they_are(tmp_path):
    core = lookup("systolic-tile")
    design = generate(core, core.config(rows=2, cols=1, accumulator=24, target="ice40"))
    around = harness.harness(design, f"{design.top}_harness")
    part = PARTS["ice40-up5k"]
    made = json.loads(flow._synthesize_core(design, part, design.verilog, around, tmp_path, tmp_path / "log"))
    (netlist,) = made["netlist"]["modules"].values()
    blocks = [cell for cell in netlist["cells"].values() if cell["type"] == "SB_MAC16"]
    assert len(blocks) == made["cells"]["SB_MAC16"] == 1
    (block,) = blocks
    parameters = {name: int(value, 2) for name, value in block["parameters"].items()}
    assert parameters["MODE_8x8"] == parameters["A_REG"] == 1 and parameters["TOPOUTPUT_SELECT"] == 2
    # Bits of the clock's net, no constant.
    assert isinstance(block["connections"]["CLK"][0], int)


def test_nextpnr_says_in_many_ways_that_a_part_is_full():
    for said in (
        "ERROR: Failed to expand region (0, 0) |_> (25, 31) of 5983 ICESTORM_LCs",
        "ERROR: Unable to place cell 'x', no BELs remaining to implement cell type 'MULT18X18D'",
    ):
        assert room.is_full(said)
    assert not room.is_full("ERROR: timing analysis failed due to presence of combinatorial loops")
