"""The core `machine`: its memories, wrong lists of jobs, resets; and what is proved of its streams."""

import numpy as np
import pytest
from amaranth import Module, Mux, Signal, Value
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from benches import passes

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.cores.machine.core import MachineCore, MachineCoreConfig
from bitloom.cores.machine.machine import ERRORS
from bitloom.golden.machine import host
from bitloom.golden.machine.executor import Executor
from bitloom.hdl.stream import codec
from bitloom.testbench.drive import drive
from bitloom.testbench.formal import held, prove, prove_no_path
from bitloom.testbench.machine import wrong

CORE = lookup("machine")
CONFIG = MachineCoreConfig()
SMALL = CORE.config.parse(CORE.small)


@pytest.fixture(scope="module")
def design():
    return generate(CORE, SMALL)


def run(design, config, *parts, outputs, **more):
    """Items through the core; what it answers, as the fields of its payloads, and the error that it shows then."""
    items = {name: np.concatenate([part[name] for part in parts]) for name in ("data", "item")}
    driven = drive(design, {"i": codec.pack(config.i_layout, **items)}, {"o": outputs}, patience=100_000, **more)
    assert driven.failure is None
    assert driven.transfers["i"] == len(items["item"])
    return codec.unpack(config.o_layout, driven.outputs["o"]), driven.status["error"]


@pytest.mark.parametrize("name", wrong.WRONG)
def test_what_is_wrong_is_told_with_its_job_and_never_hangs_the_input(name, design):
    """Whatever comes behind it is taken, and the state is told as often as it is asked for."""
    made = wrong.make(name, np.random.default_rng(3), SMALL)
    sums = [Executor(made.right)(sentences).ravel() for sentences in made.given]
    given = np.concatenate([*sums, np.zeros(0, int)])
    parts = host.image(made.program.words), *made.items, host.ask(), host.image(np.arange(5)), host.ask()
    told, error = run(design, SMALL, *parts, outputs=len(given) + 2, stall_out=30)
    assert told["value"].tolist() == [*given, made.state, made.state]
    assert told["counter"].tolist() == [0] * len(given) + [1, 1]
    assert error == 1 << wrong.ERRORS.index(made.error) and len(wrong.ERRORS) == ERRORS


@pytest.mark.parametrize(
    "memory",
    [
        ["memory=port"],
        pytest.param(["memory=sdram"], marks=pytest.mark.long),
        pytest.param(["memory=sdram", "delay=1", "clock=40"], marks=pytest.mark.long),
        pytest.param(["memory=sdram", "delay=3", "clock=133"], marks=pytest.mark.long),
    ],
)
def test_any_memory_gives_the_same(memory):
    """Sums, errors and resets in the middle of passes, behind an SDRAM, soon or late, and behind a port that stalls."""
    config, result = passes(CORE.name, [*CORE.small[:-2], "address_bits=11", "id_bits=4", *memory], 100)
    assert result.latency == CORE.latency(config)


@pytest.mark.parametrize("delay, clock", [(1, 40), (3, 133)])
def test_the_cells_of_the_bench_come_as_late_as_the_controller_waits(delay, clock):
    """After the CAS latency of the clock, and the registers of the pins."""
    small = ["tokens=4", "channels=4", "hidden=4", "jobs=16", "address_bits=11", "id_bits=1"]
    passes(CORE.name, [*small, "memory=sdram", f"delay={delay}", f"clock={clock}"], 1)


#: Cycles from reset on of the proof of the whole core: minutes. Of all times, `test_entry` proves a part.
DEPTH = 6
#: As small as can be, its memory outside.
PROVED = MachineCoreConfig(tokens=4, channels=4, hidden=4, panels=16, jobs=16, address_bits=8, id_bits=1, memory="port")


@pytest.mark.parametrize(
    "source", ["o__ready", *(pytest.param(f"{name}__ready", marks=pytest.mark.long) for name in ("request", "write"))]
)
def test_no_path_from_a_ready_to_any_valid_or_ready(source):
    sinks = ["i__ready", "read__ready", "o__valid", "request__valid", "write__valid", "error"]
    prove_no_path(MachineCore(PROVED), source, sinks, f"machine-{source}")


@pytest.mark.long
@pytest.mark.parametrize("source", ["i__valid", "read__valid"])
def test_no_path_from_a_valid_to_any_ready(source):
    sinks = ["i__ready", "read__ready", "o__valid", "request__valid", "write__valid"]
    prove_no_path(MachineCore(PROVED), source, sinks, f"machine-{source}")


class Holds(wiring.Component):
    """What the core owes with its memory outside: payloads of `o`, `request` and `write` hold until ready.

    Whatever comes in, as long as `i` and `read` hold, and no word is read that was not asked for.
    """

    def __init__(self, config):
        self.core = MachineCore(config)
        free = {"i": len(self.core.i.payload.as_value()), "read": config.word}
        ports = {f"{name}_payload": In(bits) for name, bits in free.items()}
        super().__init__(
            ports | dict.fromkeys(("i_valid", "read_valid", "o_ready", "request_ready", "write_ready"), In(1))
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        owed = Signal(16)
        for name in ("i", "read"):
            port = getattr(core, name)
            m.d.comb += [
                port.valid.eq(getattr(self, f"{name}_valid")),
                Value.cast(port.payload).eq(getattr(self, f"{name}_payload")),
            ]
            held(m, port, Assume)
        for name in ("o", "request", "write"):
            port = getattr(core, name)
            m.d.comb += port.ready.eq(getattr(self, f"{name}_ready"))
            held(m, port, Assert)
        request = core.request.payload
        asked = core.request.valid & core.request.ready & ~request.write
        m.d.sync += owed.eq(owed + Mux(asked, request.words + 1, 0) - (core.read.valid & core.read.ready))
        m.d.comb += [
            Assume((owed != 0) | ~core.read.valid, "a word is read that was asked for"),
            Cover(core.write.valid & core.write.ready, "a word is written"),
        ]
        return m


@pytest.mark.long
def test_streams_hold_until_ready_for_the_first_cycles():
    """From the initial state on, whatever comes."""
    prove(Holds(PROVED), "machine-holds", mode="bmc", depth=DEPTH, timeout=3000)
