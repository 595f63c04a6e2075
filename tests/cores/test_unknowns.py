"""Four-state simulation: payloads that are unknown while `valid` is low reach no output.

Benches run in Verilator, which knows two states. The simulator of a user may know four, and whoever offers nothing may
drive X on the payload, or nothing at all.
"""

import dataclasses

import pytest

from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.cores.generate import generate
from bitloom.fpga.session.selftest import record
from bitloom.tools import running

#: Parameters beside those of each core's small configuration.
MORE = {
    "systolic-tile": [
        "dataflow=weight-stationary",
        "a_format=ovp-int4 w_format=ovp-flint4",
        "rows=1 cols=1 overflow=false",
        "pipeline=free-running",
        "pipeline=free-running a_format=ovp-int4 w_format=ovp-flint4",
    ],
    "gemm": ["pipeline=free-running"],
    "nm-tile": ["pipeline=free-running"],
    "anda-tile": ["pe=fp16", "pe=figna", "signs=beside"],
    "anda-compressor": ["rounding=nearest"],
    "hgq-tile": ["scheme=flat", "scheme=channel"],
    "lvc": ["multiplier=blocks"],
    "pwl-unit": ["table=none", "kind=rom", "kind=fp32 table=none"],
}
REQUESTS = [(name, more) for name in CATALOGUE for more in ("", *MORE.get(name, ()))]

SHORT, TOTAL = 150, 500  # transfers of the busiest stream in a phase, and in the phases that are run

# A source offers words up to the one with which the phase stops; a sink compares what comes.
STREAMS = """
module source #(parameter WIDTH = 1, COUNT = 1, PHASES = 1, NAME = "")
  (input clk, rst, input [31:0] phase, input ready, output reg valid, output [WIDTH-1:0] payload, output done);
  reg [WIDTH-1:0] words [0:COUNT];
  reg [31:0] stops [0:PHASES], at;
  wire [31:0] next = at + (valid & ready);
  initial begin $readmemh({NAME, ".hex"}, words); $readmemh({NAME, ".stops"}, stops); at = 0; valid = 0; end
  assign payload = valid ? words[at] : {WIDTH{1'bx}};
  assign done = at == stops[phase];
  always @(posedge clk) if (!rst) begin
    at <= next;
    if (!valid || ready) valid <= next < stops[phase] && $random % 4 != 0;
  end
endmodule

module sink #(parameter WIDTH = 1, COUNT = 1, PHASES = 1)
  (input clk, rst, input [31:0] phase, input valid, output reg ready, input [WIDTH-1:0] payload, output done);
  reg [WIDTH-1:0] words [0:COUNT];
  reg [31:0] stops [0:PHASES], at;
  initial begin $readmemh("o.hex", words); $readmemh("o.stops", stops); at = 0; ready = 0; end
  assign done = at == stops[phase];
  always @(posedge clk) begin
    if (!rst && valid && (done || payload !== words[at])) begin
      $display("phase %0d, transfer %0d: %h, not %h", phase, at, payload, words[at]); $finish;
    end
    if (!rst) at <= at + (valid & ready);
    ready <= $random % 4 != 0;
  end
endmodule
"""

BENCH = """
module bench;
  reg clk = 0, rst = 1;
  reg [31:0] phase = 0, cycle = 0;
  reg resets [0:{phases}];
{wires}
{sources}
  sink #({o_bits}, {o_words}, {phases}) sink(clk, rst, phase, o__valid, o__ready, o__payload, o_done);
  {top} core(.clk(clk), .rst(rst){connections});
  initial $readmemb("resets", resets);
  always #5 clk = !clk;
  always @(posedge clk) begin
    rst <= 0;
    cycle <= cycle + 1;
    if (!rst && ^{{{controls}}} === 1'bx) begin
      $display("phase %0d: {controls}: %b", phase, {{{controls}}});
      $finish;
    end
    if (cycle == {cycles}) begin $display("phase %0d does not end", phase); $finish; end
    if ({done}) begin
      phase <= phase + 1;
      rst <= resets[phase + 1];
      if (phase + 1 == {phases}) begin $display("PASSED"); $finish; end
    end
  end
endmodule
"""


def chosen(phases):
    """Short phases that run to their end and follow each other or a reset, each with the values of all settings."""
    found, settings, total, follows = [], {}, 0, True
    for phase in phases:
        settings |= phase.ports
        size = max(map(len, (phase.outputs, *phase.inputs.values())))
        follows = phase.cut is None and not phase.timed and size <= SHORT and (follows or phase.reset)
        if follows and total < TOTAL:
            found.append(dataclasses.replace(phase, ports=dict(settings)))
            total += size
    return found


def write_words(folder, name, columns):
    """Words of all phases of a stream into a file, and into another one where each phase stops; their number."""
    words = [word for column in columns for word in column]
    stops = [sum(map(len, columns[: at + 1])) for at in range(len(columns))]
    (folder / f"{name}.hex").write_text("".join(f"{word:x}\n" for word in words))
    (folder / f"{name}.stops").write_text("".join(f"{stop:x}\n" for stop in stops))
    return len(words)


def bench(design, phases, folder):
    """Verilog that runs the phases; it reads files, which are written into the folder."""
    others = [port for port in design.ports if port.name not in (design.clock, design.reset)]
    widths = {port.name: port.width for port in others}
    wires = [f"  wire [{port.width - 1}:0] {port.name};" for port in others]
    sources, done, count = [], ["o_done"], len(phases)
    for name in (port.name.removesuffix("__ready") for port in others if port.direction == "output"):
        if f"{name}__ready" not in widths:
            continue  # no input stream
        words = write_words(folder, name, [phase.inputs.get(name, ()) for phase in phases])
        sources.append(
            f'  source #({widths[f"{name}__payload"]}, {words}, {count}, "{name}") {name}_source'
            f"(clk, rst, phase, {name}__ready, {name}__valid, {name}__payload, {name}_done);"
        )
        done.append(f"{name}_done")
    for name in (port.name for port in others if port.direction == "input" and "__" not in port.name):
        (folder / f"{name}.hex").write_text("".join(f"{phase.ports[name]:x}\n" for phase in phases))
        sources.append(
            f"  reg [{widths[name] - 1}:0] {name}_values [0:{count}]; assign {name} = {name}_values[phase];\n"
            f'  initial $readmemh("{name}.hex", {name}_values);'
        )
    (folder / "resets").write_text("".join(f"{int(phase.reset)}\n" for phase in phases))
    outputs = [port.name for port in others if port.direction == "output" and not port.name.endswith("__payload")]
    return BENCH.format(
        top=design.top,
        phases=count,
        wires="\n".join([*wires, *(f"  wire {name};" for name in done)]),
        sources="\n".join(sources),
        o_bits=widths["o__payload"],
        o_words=write_words(folder, "o", [phase.outputs for phase in phases]),
        connections="".join(f", .{name}({name})" for name in widths),
        controls=", ".join(outputs),
        cycles=100_000,
        done=" && ".join(["!rst", *done]),
    )


@pytest.mark.parametrize("name, more", REQUESTS, ids=[f"{name} {more}".strip() for name, more in REQUESTS])
def test_unknown_payloads_reach_no_output(name, more, tmp_path, icarus):
    """Every output is that of the golden model, and no `ready`, `valid` or flag is ever unknown after reset."""
    core = lookup(name)
    parameters = dict(assignment.split("=") for assignment in (*core.small, *more.split()))
    config = core.config.parse([f"{key}={value}" for key, value in parameters.items()])
    phases = chosen(record(core, config, vectors=40, seed=5).phases)
    design = generate(core, config)
    (tmp_path / "bench.v").write_text("\n".join([design.verilog, STREAMS, bench(design, phases, tmp_path)]))
    running.run([*icarus, "-g2005", "-o", "bench.vvp", "bench.v"], tmp_path)
    assert running.run(["vvp", "-n", "bench.vvp"], tmp_path).stdout.splitlines()[-1:] == ["PASSED"]
    assert sum(len(phase.outputs) for phase in phases) > 20
