"""Verilator programs: a design and cocotb, compiled once and kept.

A program is kept under a hash of all that decides it. What is the same in every program, Verilator's own run time, is
compiled with the first one and kept as object files, which leaves one or two seconds for each further design.
"""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import cocotb_tools
import cocotb_tools.config

from ..hdl import tools

__all__ = ["TRACES", "build"]

#: Suffix of a waveform file to Verilator's option.
TRACES = {".vcd": "--trace-vcd", ".fst": "--trace-fst"}

_PREFIX = "Vtop"  # the name that cocotb's main program includes

_VERILATOR = ["--cc", "--exe", "--vpi", "--timescale", "1ns/1ns", "--prefix", _PREFIX, "-o", "sim", "-Wno-fatal"]

# Unknown values are drawn when the program starts, so that nothing can pass because they happen to be 0.
_VERILATOR += ["--x-assign", "unique", "--x-initial", "unique"]

# Fast to compile and still fast to run; the initial values and the tables of names are run once. The wheel's makefile
# does not know how a compiler takes a precompiled header, which large designs are compiled with.
_MAKE = ["OPT_FAST=-O1", "OPT_SLOW=-O0", "CFG_CXXFLAGS_PCH_I=-include"]


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
    ToolMissing, ToolFailed
        Verilator, make or the compiler is missing, or refused the design.
    """
    # Only the ports are visible to cocotb, so Verilator may optimize what is between them.
    control = "`verilator_config\n" + "".join(
        f'public_flat_rw -module "{design.top}" -var "{port.name}"\n' for port in design.ports
    )
    options = [*_VERILATOR, *([TRACES[waves]] if waves else [])]
    libraries = str(cocotb_tools.config.libs_dir)
    main = cocotb_tools.config.share_dir / "lib" / "verilator" / "verilator.cpp"
    compiler, make = tools.find("g++"), tools.find("make")
    toolset = [
        *options,
        *_MAKE,
        f"verilator {tools.find('verilator').version}",
        f"{compiler.command[0]} {compiler.version}",
        main.read_text(),
        libraries,
    ]
    program = tools.cache_dir("verilator") / f"{design.top}-{_digest(*toolset, control, design.verilog)}"
    if program.is_file():
        return program
    runtime = tools.cache_dir("verilator", f"runtime-{_digest(*toolset)}")
    with tempfile.TemporaryDirectory(dir=tools.cache_dir("verilator"), prefix=".build-") as folder:
        work = Path(folder)
        if waves == ".fst":
            _check_headers(work, compiler)
        (work / "design.v").write_text(design.verilog)
        (work / "ports.vlt").write_text(control)
        link = f"-Wl,-rpath,{libraries} -L{libraries} -lcocotbvpi_verilator"
        command = [*tools.find("verilator").command, *options, "--Mdir", "build", "--top-module", design.top]
        tools.run([*command, "-LDFLAGS", link, str(main), "ports.vlt", "design.v"], work)
        build = work / "build"
        for ready in runtime.glob("*.o"):
            shutil.copy(ready, build)
        tools.run([*make.command, "-f", f"{_PREFIX}.mk", "-j2", f"CXX={compiler.command[0]}", *_MAKE], build)
        for made in build.glob("verilated*.o"):
            if not (runtime / made.name).exists():
                tools.atomic_write(runtime / made.name, made.read_bytes())
        os.replace(build / "sim", program)
    return program


def _check_headers(work, compiler):
    """Refuse FST where Verilator's writer of it would not compile, before the long compilation."""
    (work / "headers.cpp").write_text("#include <lz4.h>\n#include <zlib.h>\n")
    try:
        tools.run([*compiler.command, "-fsyntax-only", "headers.cpp"], work)
    except tools.ToolFailed:
        raise tools.ToolMissing(
            "waves in the FST format need the headers of lz4 and zlib; install them with: apt install liblz4-dev "
            "zlib1g-dev, or name a file that ends in .vcd"
        ) from None


def _digest(*parts):
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]
