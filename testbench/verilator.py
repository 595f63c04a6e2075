"""Verilator programs: a design with cocotb, or with a main program of its own, compiled once and kept.

A program is kept under a hash of all that decides it. What is the same in every program, Verilator's own run time, is
compiled with the first one and kept as object files and as a precompiled header, which leaves one or two seconds for
each further design.
"""

import functools
import hashlib
import importlib.metadata
import os
import shlex
import shutil
import tempfile
from pathlib import Path

from ..hdl.primitives import FAMILIES
from ..tools import caches, finding, running
from ..tools.files import atomic_write

__all__ = ["TRACES", "build", "build_with", "check_target", "libraries"]

#: Suffix of a waveform file to Verilator's option.
TRACES = {".vcd": "--trace-vcd", ".fst": "--trace-fst"}

_PREFIX = "Vtop"  # the name that cocotb's main program includes

_VERILATOR = ["--cc", "--exe", "--prefix", _PREFIX, "-o", "sim", "-Wno-fatal"]

# Unknown values are drawn when the program starts, so that nothing can pass because they happen to be 0.
_VERILATOR += ["--x-assign", "unique", "--x-initial", "unique"]

# One C++ file of a design, however large: every further one reads all headers again, which takes longer than its code.
_VERILATOR += ["--output-split", "0"]

_COCOTB = ["--vpi", "--timescale", "1ns/1ns"]

# Make splits names at spaces, and Verilator's makefile refuses to work in a folder whose name has one. So all is named
# from inside the work folder, where links lead to what lies elsewhere.
_VERILATOR_LINK, _COCOTB_LINK = "verilator", "cocotb"
_PLACES = ["CURDIR=.", f"VERILATOR_ROOT=../{_VERILATOR_LINK}"]

# Fast to compile and still fast to run; the initial values and the tables of names are run once.
_MAKE = ["OPT_FAST=-O1", "OPT_SLOW=-O0"]

# Verilator's headers, which take longer to read than most designs to compile, and the rule that precompiles them with
# the flags of a design.
_HEADERS = f"{_PREFIX}_headers.h"
_RULE = f"""include {_PREFIX}.mk
{_HEADERS}.gch: {_HEADERS}
\t$(CXX) $(OPT_FAST) $(CXXFLAGS) $(CPPFLAGS) -x c++-header -o $@ $<
"""


def check_target(target):
    """Refuse designs that name a family's primitives, of which Verilator has no models.

    Raises
    ------
    ValueError
        If the parameter `target` of a core is not "generic".
    """
    if not FAMILIES[target].portable:
        raise ValueError(f"target must be generic to run in Verilator, not {target!r}")


def build(design, waves=None):
    """Compile a design, or take the program of an earlier time.

    Parameters
    ----------
    design : Design
        Its `verilog`, `top` and `ports` are read.
    waves : str, optional
        Key of `TRACES`: a program that can write such a file, which is slower.

    Returns
    -------
    Path
        The program. It is complete, whatever ended an earlier compilation.

    Raises
    ------
    ValueError
        If the design names primitives of a family.
    ToolMissing, ToolFailed
        Verilator, make or the compiler is missing, or refused the design.
    """
    import cocotb_tools.config

    # Only the ports are visible to cocotb, so Verilator may optimize what is between them.
    control = "`verilator_config\n" + "".join(
        f'public_flat_rw -module "{design.top}" -var "{port.name}"\n' for port in design.ports
    )
    main = cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"
    options = [*_COCOTB, *([TRACES[waves]] if waves else []), "-LDFLAGS", f"-L../{_COCOTB_LINK} -lcocotbvpi_verilator"]
    return _program(design, main, {"ports.vlt": control}, options, waves == ".fst")


def libraries():
    """Folder of the shared libraries that a program of `build` must find when it starts."""
    import cocotb_tools.config

    return Path(cocotb_tools.config.libs_dir)


def build_with(design, main, header):
    """Compile a design with a C++ main program, for speed, or take the program of an earlier time.

    Parameters
    ----------
    design : Design
        Its `verilog` and `top` are read.
    main : Path
        The C++ file; it includes `Vtop.h`, and `ports.h` from `header`.
    header : str
        What the main program must know of the design.

    Returns
    -------
    Path
        The program, as from `build`.

    Raises
    ------
    ValueError, ToolMissing, ToolFailed
        As from `build`.
    """
    return _program(design, main, {"ports.h": header}, ["-CFLAGS", "-I.."])


def _program(design, main, files, options, fst=False):
    """The program of a design and a main program; `files` are theirs, by name, those of Verilator end in .vlt."""
    check_target(design.manifest.get("parameters", {}).get("target", "generic"))
    options = [*_VERILATOR, *options]
    compiler, make = finding.find("g++"), finding.find("make")
    # What decides Verilator's own object files.
    toolset = [
        *options,
        *_MAKE,
        *(finding.find(name).key for name in ("verilator", "g++")),
        importlib.metadata.version("cocotb"),
    ]
    digest = _digest(*toolset, main.read_text(), *files.items(), design.verilog)
    program = caches.cache_dir("verilator") / f"{design.top}-{digest}"
    if program.is_file():
        return program
    runtime = caches.cache_dir("verilator", f"runtime-{_digest(*toolset)}")
    with tempfile.TemporaryDirectory(dir=caches.cache_dir("verilator"), prefix=".build-") as folder:
        work = Path(folder)
        if fst:
            _check_headers(work, compiler)
        for name, text in {"design.v": design.verilog, main.name: main.read_text(), **files}.items():
            (work / name).write_text(text)
        (work / _COCOTB_LINK).symlink_to(libraries())
        (work / _VERILATOR_LINK).symlink_to(_root())
        command = [*finding.find("verilator").command, *options, "--Mdir", "build", "--top-module", design.top]
        running.run([*command, main.name, *(name for name in files if name.endswith(".vlt")), "design.v"], work)
        build = work / "build"
        for ready in runtime.glob("*.o"):
            shutil.copy(ready, build)
        command = [*make.command, "-f", "design.mk", "-j2", f"CXX={shlex.quote(compiler.command[0])}", *_PLACES, *_MAKE]
        (build / "design.mk").write_text(_RULE)
        command.append(_share_headers(build, runtime, command, "--vpi" in options))
        running.run([*command, "sim"], build)
        for made in build.glob("verilated*.o"):
            if not (runtime / made.name).exists():
                atomic_write(runtime / made.name, made.read_bytes())
        os.replace(build / "sim", program)
    return program


@functools.cache
def _root():
    """Folder of Verilator's own files."""
    verilator = finding.find("verilator")
    return Path(running.run([*verilator.command, "--getenv", "VERILATOR_ROOT"], ".").stdout.strip())


def _share_headers(build, runtime, command, vpi):
    """Give a build the headers as precompiled for an earlier one: the variable that makes the compiler take them."""
    names = ["verilated.h", *(["verilated_dpi.h", "verilated_vpi.h"] if vpi else [])]
    (build / _HEADERS).write_text("".join(f"#include <{name}>\n" for name in names))
    ready = runtime / f"{_HEADERS}.gch"
    if not ready.exists():
        running.run([*command, ready.name], build)
        atomic_write(ready, (build / ready.name).read_bytes())
    else:
        (build / ready.name).symlink_to(ready.absolute())
    return f"OPT_FAST=-include {_HEADERS} -O1"


def _check_headers(work, compiler):
    """Refuse FST where Verilator's writer of it would not compile, before the long compilation."""
    (work / "headers.cpp").write_text("#include <lz4.h>\n#include <zlib.h>\n")
    try:
        running.run([*compiler.command, "-fsyntax-only", "headers.cpp"], work)
    except running.ToolFailed:
        raise finding.ToolMissing(
            "waves in the FST format need the headers of lz4 and zlib; install them with: apt install liblz4-dev "
            "zlib1g-dev, or name a file that ends in .vcd"
        ) from None


def _digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
