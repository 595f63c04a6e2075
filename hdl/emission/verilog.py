"""Verilog text of a component: the same bytes for the same request, on any machine."""

import gc
import hashlib
import re
from contextlib import contextmanager

from amaranth import Value
from amaranth.back import rtlil
from amaranth.hdl import Fragment
from amaranth.lib.wiring import In

from ...tools import caches, finding, running, texts
from ..simulated import WRITTEN
from .port_names import name_ports
from .private import PortDirection, SignalDict, build_netlist, without_zeros
from .replicate import Modules, merge

__all__ = ["emit", "emit_rtlil", "signature_ports"]

# What Verilator would say of the text; it is silenced here and, by `lint_restore`, only here. Amaranth's arithmetic
# makes operands of unlike widths, and Verilog's extension rules give what is meant; a payload whose fields depend on
# each other looks like a loop to a tool that does not split vectors; a multiplexer with a select line for each input is
# a casez in which the first match counts. With -Wall: bits of intermediate results that nobody needs, arguments of
# functions, which are called a, b and s, and several modules in one file. Where other modules have a time scale: that
# these have none, as they have no delays. Families go by their older names, which all versions of Verilator know.
_SILENCED = ("WIDTH", "UNOPTFLAT", "CASEOVERLAP", "UNUSED", "VARHIDDEN", "DECLFILENAME", "TIMESCALEMOD")
_BEFORE = "/* verilator lint_save */\n" + "".join(f"/* verilator lint_off {name} */\n" for name in _SILENCED)
_AFTER = "\n/* verilator lint_restore */\n"

# Words that one loop fills with zeros. Yosys unrolls loops, in a time that grows with the square of their length.
_LOOP = 256

# What Amaranth writes into its RTLIL for people and tools that read RTLIL; some of it holds paths of this machine.
_ATTRIBUTES = "-remove generator -remove top -remove src -remove amaranth.hierarchy -remove amaranth.decoding"


def signature_ports(component):
    """Ports of a component as `Fragment.prepare` takes them: name to (value, direction), streams as `i__payload`.

    A member of no bits, as the index of the only row of a tile, is no port: Verilog has none of that width.
    """
    ports = {}
    for path, member, value in component.signature.flatten(component):
        direction = PortDirection.Input if member.flow == In else PortDirection.Output
        if len(value := Value.cast(value)):
            ports["__".join(map(str, path))] = (value, direction)
    return ports


def emit_rtlil(component, name, *, ports=None, replicate=True):
    """RTLIL text of a component.

    Parameters
    ----------
    component : wiring.Component
        What to elaborate.
    name : str
        Name of the top module.
    ports : dict, optional
        Port name to (value, direction or None); by default the members of the signature.
    replicate : bool
        Emit equal parts once (`hdl/emission/replicate.py`); False gives every submodule a module of its own, as
        Amaranth does.
    """
    with _uncollected():
        if not replicate:
            return _convert(component, name, WRITTEN, ports)
        modules = Modules(f"{name}__shared", _convert, signature_ports)
        text = _convert(component, name, modules, ports)
        return merge(text + modules.text)


@contextmanager
def _uncollected():
    """Keep Python from searching for garbage: a netlist is millions of small objects, all of them in use until it ends.

    The search would take up to half of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _convert(component, name, platform, ports=None):
    """RTLIL text of a component and its plain submodules; replicas go to `platform`."""
    ports = signature_ports(component) if ports is None else ports
    fragment = Fragment.get(component, platform)
    with without_zeros(fragment):
        text = _written(fragment, ports, name)
    text = _ZEROS.sub(_filled, text)
    # Submodules are named after their place in the hierarchy, with dots that other tools would have to escape.
    return re.sub(
        r"^(module|  cell) (\\\w+(?:\.\w+)+)", lambda m: f"{m[1]} {m[2].replace('.', '__')}", text, flags=re.M
    )


def _written(fragment, ports, name):
    """What `rtlil.convert_fragment` gives, but for the names of the ports of inner modules."""
    netlist = build_netlist(fragment, ports=ports, name=name)
    name_ports(netlist)
    empty, design = rtlil.EmptyModuleChecker(netlist), rtlil.Design(emit_src=False)
    for index, module in enumerate(netlist.modules):
        if not empty.is_empty(index):
            builder = design.module(".".join(module.name), src_loc=module.src_loc)
            if not index:
                builder.attribute("top", 1)
            rtlil.ModuleEmitter(builder, netlist, module, SignalDict(), empty_checker=empty).emit()
    return str(design)


# The cell of a memory's contents, where there are none or only zeros; what is before and behind the contents.
_ZEROS = re.compile(
    r"^(  cell \$meminit_v2 .*\n(?:    parameter .*\n)*?    parameter \\WIDTH (\d+)\n"
    r"    parameter \\WORDS (?!1\n)(\d+)\n"
    r"(?:    .*\n)*?    connect \\DATA )(?:\{  \}|\d+'0+)(\n(?:    .*\n)*  end\n)",
    flags=re.M,
)


def _filled(match):
    bits = int(match[2]) * int(match[3])
    return f"{match[1]}{bits}'{'0' * bits}{match[4]}"


def emit(component, name, *, ports=None, replicate=True):
    """Verilog text of a component; parameters as for `emit_rtlil`.

    Yosys writes it, always the wheel's, as another version would format it otherwise.
    """
    source = emit_rtlil(component, name, ports=ports, replicate=replicate)
    script = "\n".join(
        [
            f"read_rtlil <<end_of_rtlil\n{_ZEROS.sub('', source)}\nend_of_rtlil",
            # Registers with their enables and resets as one statement each, and no wires that only rename others.
            "proc -norom",
            "opt_expr",
            "opt_clean -purge",
            "opt_dff",
            "opt_merge",
            "opt_clean -purge",
            "memory_collect",
            # A memory of one word is a register, and Yosys warns of it as a memory when it reads the text.
            "memory_map t:$mem_v2 r:SIZE=1 %i",
            "opt_clean -purge",
            f"attrmap {_ATTRIBUTES}",
            f"attrmap -modattr {_ATTRIBUTES}",
            "write_verilog -noattr",
        ]
    )
    text = _from_yosys(script, name)
    text = _marked(re.sub(r"/\* Generated by .*?\*/\n", "", text), source)
    # As an attribute, which Verilog knows: about the comment Yosys itself warns when it reads the text again.
    text = re.sub(r"casez \(s\) // \w+ parallel_case$", "(* parallel_case *)\n    casez (s)", text, flags=re.M)
    text = _plain_names(text)
    # In the declaration, Verilator takes an initial value for an assignment beside the one at the clock.
    text = re.sub(r"^(  reg (?:signed )?(?:\[\S+ )?(\w+)) = (\S+);$", r"\1;\n  initial \2 = \3;", text, flags=re.M)
    return _BEFORE + "\n" + _with_zeros(text).strip() + "\n" + _AFTER


def _from_yosys(script, name):
    """What Yosys writes, kept by content: who simulates a core, then synthesizes it, has it generated each time."""
    yosys = finding.find("yosys")

    def write():
        done = running.communicate((*yosys.command, "-q", "-"), script)
        if done.returncode:
            said = done.stderr.strip().splitlines()[-1]
            raise running.ToolFailed(f"Yosys could not write the Verilog of {name}: {said}")
        return done.stdout

    digest = hashlib.sha256(f"{yosys.key}\n{script}".encode()).hexdigest()
    return texts.kept(caches.cache_dir("verilog") / f"{digest}.gz", write)


# A module, and a memory in it, of RTLIL where it has the attribute, and of Verilog.
_MARKED = re.compile(
    r"^(?:module \\(\S+)|  attribute \\no_rw_check 1\n(?:  attribute .*\n)*  memory .* \\(\S+))$", re.M
)
_MEMORY = re.compile(r"^(?:module \\?(\S+?) ?\(|  reg (?:\[\d+:0\] )?\\?(\S+) \[\d+:0\];$)", re.M)


def _marked(text, source):
    """Mark the memories that RTLIL marks with `no_rw_check`: Yosys writes all attributes, or none."""
    module, marked = None, set()
    for match in _MARKED.finditer(source):
        module = match[1] or module
        marked.add((module, match[2]))

    def mark(match):
        nonlocal module
        module = match[1] or module
        return ("  (* no_rw_check *)\n" if match[2] and (module, match[2]) in marked else "") + match[0]

    return _MEMORY.sub(mark, text)


def _with_zeros(text):
    """Fill every memory that has no contents with zeros, in loops: a line for each word would be megabytes."""
    taken = set(re.findall(r"\w+", text))

    def filled(match):
        width, name, depth = int(match[1] or 0) + 1, match[2], int(match[3]) + 1
        part, word, block = (_free(f"{name}_{suffix}", taken) for suffix in ("part", "word", "zeros"))
        return f"""{match[0]}  genvar {part};
  generate
    for ({part} = 0; {part} < {depth}; {part} = {part} + {_LOOP}) begin : {block}
      integer {word};
      initial
        for ({word} = {part}; {word} < {part} + {_LOOP} && {word} < {depth}; {word} = {word} + 1)
          {name}[{word}] = {width}'h0;
    end
  endgenerate
"""

    return re.sub(r"^  reg (?:\[(\d+):0\] )?(\w+) \[(\d+):0\];\n(?!  initial begin\n)", filled, text, flags=re.M)


def _free(name, taken):
    """The name, or one like it that is not taken."""
    while name in taken:
        name += "_"
    return name


def _plain_names(text):
    """Write `\\x[3].y ` as `x_3_y`.

    Not for looks only: a net called `x[3]` beside a vector `x` stops ABC9 in Yosys 0.70 and before (its issues 4349 and
    5274), so that every `synth_*` command fails on it.
    """
    taken, names = set(re.findall(r"(?<![\\\w$])[A-Za-z_][\w$]*", text)), {}

    def plain(match):
        if match[1] not in names:
            name = re.sub(r"\W+", "_", match[1].replace("]", "")).strip("_")
            # What needs no escape is a keyword.
            name += "_" * (name == match[1])
            names[match[1]] = _free(name if name[:1].isalpha() else f"n{name}", taken)
            taken.add(names[match[1]])
        return names[match[1]]

    return re.sub(r"\\(\S+) ", plain, text)
