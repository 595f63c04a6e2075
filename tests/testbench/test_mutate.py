"""The benches find small faults in the cores."""

import json
import re
import time

import pytest

from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.cores.generate import Design, Port, generate
from bitloom.testbench import mutant_proof
from bitloom.testbench import mutate as mutation
from bitloom.testbench.mutate import Mutant, MutationResult, mutate
from bitloom.testbench.runner import Result
from bitloom.tools import running


def test_some_mutants_are_killed():
    core, told = lookup("ovp-decoder"), []
    result = mutate(core, core.config(), 6, 3, progress=lambda *pair: told.append(pair))
    assert told == [(done, 6) for done in range(1, 7)]
    assert [mutant.number for mutant in result.mutants] == [1, 2, 3, 4, 5, 6]
    assert len(result.of("killed")) >= 5
    assert not result.of("survived")
    assert result.score == 1
    assert all(mutant.line for mutant in result.mutants)
    assert json.loads(json.dumps(result.to_dict()))["score"] == 1
    assert "6 mutants" in result.summary()


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "parameters"),
    [(core.name, core.small) for core in CATALOGUE.values()]
    + [("ovp-decoder", ()), ("ovp-encoder", ())]
    + [("systolic-tile", (*lookup("systolic-tile").small, "dataflow=weight-stationary"))]
    + [("systolic-tile", (*lookup("systolic-tile").small, "pipeline=free-running"))],
)
def test_nearly_every_mutant_is_killed(name, parameters):
    core = lookup(name)
    result = mutate(core, core.config.parse(parameters), 60, 1)
    assert len(result.mutants) == 60
    assert result.score >= 0.95, result.summary()


# A register stage that clears what is not valid, with an `and` that does nothing.
STAGE = """module stage(input clk, input rst, input [1:0] i__payload, input i__valid, output i__ready,
             output reg [1:0] o__payload, output reg o__valid, input o__ready);
  wire [1:0] same = i__payload | (i__payload & {2{o__ready}});
  wire [1:0] gate = same & {2{i__valid}};
  initial o__valid = 0;
  assign i__ready = o__ready | ~o__valid;
  always @(posedge clk) begin
    if (i__ready) o__payload <= gate;
    if (rst) o__valid <= 0; else if (i__ready) o__valid <= i__valid;
  end
endmodule
"""


# A flag of an instance that is read only after `en`, and a state that a counter never has.
PARTS = """module turn(input clk, input en, input d, output reg q);
  reg ends = 0, flag = 0;
  initial q = 0;
  wire gate = d & en;
  always @(posedge clk) begin
    ends <= en; flag <= gate;
    if (ends) q <= flag;
  end
endmodule
module stage(input clk, input rst, input en, input d, output q, output odd);
  reg [1:0] state = 0;
  wire two = state == 2;
  wire three = state == 3;
  assign odd = three & d;
  always @(posedge clk) if (rst | two) state <= 0; else state <= state + 1;
  turn turn(clk, en, d, q);
endmodule
"""


def design_of(verilog):
    """A design whose top is `stage`."""
    head = re.search(r"module stage\((.*?)\);", verilog, flags=re.DOTALL)[1]
    found = re.findall(r"(input|output) (?:reg )?(?:\[(\d):0\] )?(\w+)", head)
    ports = tuple(Port(name, direction, int(high or 0) + 1) for direction, high, name in found)
    return Design("stage", "stage", verilog, ports, "clk", "rst", False, {})


@pytest.mark.parametrize(
    ("verilog", "fault", "proof"),
    [
        (STAGE, r"-mode const0 -module stage -cell \$and\S+:3\S+ -port Y -portbit 0 ", "the same in every state"),
        (STAGE, r"-mode const1 -module stage -cell \$and\S+:3\S+ -port Y -portbit 0 ", None),
        # Seen at the output, but only while valid is low.
        (STAGE, r"-mode const1 -module stage -cell \$and\S+:4\S+ -port B -portbit 0 ", "the same outputs"),
        (STAGE, r"-mode inv -module stage -cell \$and\S+:4\S+ -port B -portbit 0 ", None),
        (
            PARTS,
            r"-mode const1 -module stage -cell \S+turn\.\$and\S+ -port B -portbit 0 ",
            "the same for any inputs of turn",
        ),
        (PARTS, r"-mode const0 \S+ stage -cell \$eq\S+:13\S+ -port Y ", "the same in every state that can be reached"),
        (PARTS, r"-mode const0 -module stage -cell \$eq\S+:12\S+ -port Y -portbit 0 ", None),
    ],
    ids=["useless", "stuck", "unseen", "seen", "unread", "unreached", "reached"],
)
def test_a_fault_is_proved_equivalent_only_if_it_is(verilog, fault, proof):
    design = design_of(verilog)
    (command,) = (command for command in mutation._faults(design, 200, 1) if re.search(fault, command))
    same, why = mutant_proof.prove(design, command, "stage-mutant")
    assert same == (proof is not None)
    # A proof that broke would leave the mutant among the survivors too.
    assert why == proof if same else "assert" in why.lower()


def test_clocks_are_left_alone():
    core = lookup("ovp-decoder")
    commands = mutation._faults(generate(core, core.config()), 300, 1)
    assert len(commands) == 300
    assert any("-port D " in command for command in commands)
    assert not any("-port CLK " in command for command in commands)


def test_a_score_leaves_equivalent_mutants_out():
    fates = ["killed"] * 18 + ["survived"] + ["equivalent"] * 5
    mutants = [Mutant(number, "a fault", "a line", fate, "why") for number, fate in enumerate(fates, 1)]
    result = MutationResult("ovp-decoder", {}, 1, mutants)
    assert result.score == 18 / 19
    assert "24 mutants, 18 killed, 5 equivalent, 1 survived: score 94.7%" in result.summary()
    assert "survived: mutant 19, a fault" in result.summary()
    assert MutationResult("ovp-decoder", {}, 1, mutants[-5:]).score == 1


def test_a_bench_that_does_not_pass_is_no_measure(monkeypatch):
    def simulate(core, config, **_):
        return Result(core.name, {}, passed=False, failure="no transfer", seed=1)

    monkeypatch.setattr(mutation, "simulate", simulate)
    core = lookup("ovp-decoder")
    with pytest.raises(running.ToolFailed, match=r"does not pass without a fault: .*no transfer"):
        mutate(core, core.config(), 2, 1)


def test_a_busy_machine_kills_no_mutant(monkeypatch):
    limits = []

    def simulate(core, config, timeout=None, **_):
        limits.append(timeout)
        time.sleep(0 if timeout else 0.2)
        return Result(core.name, {}, passed=True, failure=None, seed=1)

    monkeypatch.setattr(mutation, "simulate", simulate)
    monkeypatch.setattr(mutation, "prove", lambda *_: (True, "a proof"))
    core = lookup("ovp-decoder")
    assert len(mutate(core, core.config(), 3, 1).of("equivalent")) == 3
    # A run has as long as it may take, by what the one without a fault took.
    assert limits[0] is None and min(limits[1:]) > 10 * 0.2


@pytest.mark.parametrize(
    ("count", "seed", "message"),
    [
        (0, 1, "count must be 1 to 65535, not 0"),
        (1 << 16, 1, "count must be 1 to 65535, not 65536"),
        (1, -1, "seed must be 0 to 2147483647, not -1"),
    ],
)
def test_a_wrong_request_is_refused(count, seed, message):
    core = lookup("ovp-decoder")
    with pytest.raises(ValueError, match=message):
        mutate(core, core.config(), count, seed)
