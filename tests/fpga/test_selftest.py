# amaranth: UnusedElaboratable=no
"""The self-test of every core of the catalogue on the twin of a board, and faults in those cores that it finds."""

import dataclasses
import re
import shlex

import pytest

from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.fpga.bitstream.boards import BOARDS
from bitloom.fpga.session import held_core, selftest, twin
from bitloom.fpga.session.host import Link, LinkError, open_port
from bitloom.testbench import mutant_proof
from bitloom.tools import finding, running

#: Bytes that a phase of the quick tests may have: a sweep of all FP16 values has more.
SMALL_PHASE = 50_000


def recorded_for(core, config, vectors, most=None):
    """The phases of a core's bench; those of at most `most` bytes."""
    recorded = selftest.record(core, config, vectors, 1)
    channels = held_core.expected(core, config).channels

    def size(phase):
        inputs = sum(channels.inputs[name].bytes * len(items) for name, items in phase.inputs.items())
        return inputs + channels.outputs["o"].bytes * len(phase.outputs)

    if most is None:
        return recorded
    return dataclasses.replace(recorded, phases=[phase for phase in recorded.phases if size(phase) <= most])


def run(program, core, config, recorded, **options):
    """The self-test of a twin."""
    there = held_core.expected(core, config)
    with (
        twin.start(program) as board,
        Link(open_port(board.path, held_core.TWIN_BAUD), there.channels, **{"margin": 1.0} | options) as link,
    ):
        return selftest.replay(link, recorded, there.identity)


def sound(core, config):
    """The twin of a core."""
    return twin.build(*held_core.twin_top(core, config), held_core.TWIN_DIVISOR)


def check(core, config, recorded):
    """The self-test passes; the twin's program."""
    program = sound(core, config)
    result = run(program, core, config, recorded)
    whole = [phase for phase in recorded.phases if phase.cut is None]
    assert result.passed and result.failure is None and result.first == [], result.summary()
    assert result.transfers == sum(len(phase.outputs) for phase in whole) > 0
    assert result.sent == sum(len(items) for phase in whole for items in phase.inputs.values())
    assert (result.phases, result.phases + result.cut) == (len(whole), len(recorded.phases))
    return program


# One with several input streams, one with a memory, one with tables and rows; the twins of all take minutes to compile.
QUICK = ("gemm", "anda-buffer", "softmax-unit")


@pytest.mark.parametrize(
    "core",
    [
        pytest.param(core, id=name, marks=[] if name in QUICK else [pytest.mark.long])
        for name, core in CATALOGUE.items()
    ],
)
def test_selftest_of_every_core(core):
    config = core.config.parse(core.small)
    recorded = recorded_for(core, config, 20, SMALL_PHASE)
    program = check(core, config, recorded)
    # It tells the one bit that is not as it must be, of the last output and of the flag.
    phase = next(phase for phase in recorded.phases if phase.cut is None)
    *outputs, last = phase.outputs
    wrong = {"last output": {"outputs": [*outputs, last ^ 1]}}
    if recorded.flag:
        raised = any(phase.flags) or bool(phase.offending)
        wrong["flag"] = {"flags": [not raised], "offending": {}}
    for what, change in wrong.items():
        alone = dataclasses.replace(recorded, phases=[dataclasses.replace(phase, **change)])
        result = run(program, core, config, alone)
        assert (result.passed, result.failure, result.mismatches) == (False, None, 1)
        (told,) = result.first
        assert (told["phase"], told["what"]) == (phase.name, "o" if what == "last output" else recorded.flag)
        assert told["item"] == len(outputs) + (what == "flag")


# What a core has one of a kind of, beside its small configuration; none names a part's primitives: a twin has none.
OTHERS = [
    ("ovp-decoder", ("normal=int8", "bias_port=true")),
    ("pwl-unit", ()),
    ("pwl-unit", ("kind=rom", "table=exp-8")),
]


@pytest.mark.long
@pytest.mark.parametrize(("name", "parameters"), OTHERS, ids=[" ".join([name, *given]) for name, given in OTHERS])
def test_selftest_of_other_configurations(name, parameters):
    core = lookup(name)
    config = core.config.parse(parameters)
    check(core, config, recorded_for(core, config, 100))


@pytest.mark.long
@pytest.mark.parametrize("name", ["anda-compressor", "hgq-quantizer"])
def test_selftest_of_all_values(name):
    core = lookup(name)
    config = core.config.parse(core.small)
    recorded = recorded_for(core, config, 20)
    assert sum(len(phase.outputs) for phase in recorded.phases) > 1 << 16
    check(core, config, recorded)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in CATALOGUE if name not in BOARDS["icebreaker"].unfit])
def test_selftest_of_the_default_of_a_board(name):
    core = lookup(name)
    config = BOARDS["icebreaker"].config(core)
    # A twin has no primitives of a part.
    config = dataclasses.replace(config, **({"target": "generic"} if hasattr(config, "target") else {}))
    check(core, config, recorded_for(core, config, 100, SMALL_PHASE))


# Faults in the core


def flat(top):
    """Commands that leave a flat board top, without what nothing depends on: a fault there changes nothing."""
    return ["read_verilog top.v", f"hierarchy -top {top}", "proc", "flatten", "opt", "wreduce", "opt_clean"]


def mutated(core, config, count, folder):
    """Twins with one fault each in the core, a list of commands; one program, which `+fault=N` makes N of.

    Yosys chooses the faults, as for `bitloom mutate`, in the whole board top; those of the core are taken.
    """
    verilog, top = held_core.twin_top(core, config)
    (folder / "top.v").write_text(verilog)
    inside = "c:$flatten*link.?core.?core.*"  # a backslash each

    def yosys(*script):
        (folder / "script.ys").write_text("\n".join([*flat(top), *script]) + "\n")
        running.run([*finding.find("yosys").command, "-q", "script.ys"], folder)

    yosys(f"mutate -list {4 * count} -seed 1 -o faults.txt {inside}")
    # A register on the other edge of the clock, or other first contents of a memory, are no faults that count.
    commands = (folder / "faults.txt").read_text().splitlines()
    commands = [line for line in commands if " -port CLK " not in line and "$meminit$" not in line][:count]
    assert len(commands) == count
    chosen = [line.replace("mutate ", f"mutate -ctrl fault 8 {n} ", 1) for n, line in enumerate(commands, 1)]
    yosys(*chosen, "write_verilog -noattr faulty.v")
    text = re.sub(r"/\* Generated by .*?\*/\n", "", (folder / "faulty.v").read_text())
    text = re.sub(r"^(module \w+\(.*?), fault\);", r"\1);", text, flags=re.M)
    draw = 'reg [7:0] fault; initial if (!$value$plusargs("fault=%d", fault)) fault = 0;'
    text, replaced = re.subn(r"^ *input \[7:0\] fault;\n *wire \[7:0\] fault;$", draw, text, flags=re.M)
    assert replaced == 1
    program = twin.build(text, top, held_core.TWIN_DIVISOR)
    twins = []
    for number in range(count + 1):
        path = folder / f"twin-{number}"
        path.write_text(f'#!/bin/sh\nexec {shlex.quote(str(program))} +fault={number} "$@"\n')
        path.chmod(0o755)
        twins.append(path)
    return commands, twins


@pytest.mark.long
def test_selftest_finds_a_part_that_does_not_stall():
    core = lookup("hgq-dequantizer")
    config = core.config.parse(core.small)
    verilog, top = held_core.twin_top(core, config)
    always = re.sub(r"(_scaler scaler \([^;]*?\.en\()en\)", r"\g<1>1'h1)", verilog)
    assert always != verilog
    recorded = recorded_for(core, config, 20, SMALL_PHASE)
    result = run(twin.build(always, top, held_core.TWIN_DIVISOR), core, config, recorded)
    assert not result.passed
    assert {found["phase"] for found in result.first} == {"short reductions"}


@pytest.mark.long
@pytest.mark.parametrize("core", CATALOGUE.values(), ids=CATALOGUE)
def test_selftest_finds_faults_in_every_core(core, tmp_path):
    config = core.config.parse(core.small)
    recorded = recorded_for(core, config, 300, SMALL_PHASE)
    commands, (right, *wrong) = mutated(core, config, 8, tmp_path)
    assert run(right, core, config, recorded).passed
    found = []
    for program in wrong:
        try:
            result = run(program, core, config, recorded, patience=0.3)
            found.append("" if result.passed else result.summary())
        except LinkError as error:
            found.append(str(error))
    missed = [command for command, told in zip(commands, found, strict=True) if not told]
    if len(missed) > 2:
        # Some change nothing: the instance around them does the same for any input.
        verilog, top = held_core.twin_top(core, config)
        missed = [
            command
            for command in missed
            if not mutant_proof.alike_in_a_part({"top.v": verilog}, flat(top), top, command, f"{top}-mutant")
        ]
    assert len(missed) <= 2, missed
