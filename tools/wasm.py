"""WebAssembly of the YoWASP tools: compiled once on a machine, by one process at a time.

Alone, a tool that does not find the result compiles itself and writes it in place: two that start at the same time
compile twice, and one may read what the other is writing.
"""

import contextlib
import functools
import importlib.metadata
import os
import sys
from pathlib import Path

from . import caches, processes, wheels
from .environment import environment
from .inventory import TOOLS

try:
    import fcntl
except ImportError:  # Windows: each compiles for itself.
    fcntl = None

__all__ = ["compiling", "module", "prepare"]

_PREFIX = "yowasp-"

# Programs that run the module of another one.
_ALIASES = {"sby": "yosys", "yosys-smtbmc": "yosys", "yosys-witness": "yosys", "iceunpack": "icepack"}


def module(program: str) -> str | None:
    """Name of the module that a program runs, such as ``nextpnr-ice40``; None for what is no YoWASP tool."""
    name = Path(program).stem
    if not name.startswith(_PREFIX):
        return None
    name = name.removeprefix(_PREFIX)
    return _ALIASES.get(name, name)


@contextlib.contextmanager
def compiling(root: Path, stem: str, *versions: str):
    """Give whether a module must be compiled; the block does it, and meanwhile nobody else.

    Parameters
    ----------
    root : Path
        ``YOWASP_CACHE_DIR``.
    stem : str
        Name of the module.
    *versions : str
        What decides the result of the compilation.

    Yields
    ------
    bool
        Remembered beside the modules once there is a result.
    """
    done = root / f"{stem}-{'-'.join(versions)}.compiled"
    if done.exists():
        yield False
        return
    with open(root / f"{stem}.lock", "w") as lock:
        if fcntl:
            fcntl.flock(lock, fcntl.LOCK_EX)
        missing = not done.exists()
        yield missing
        if missing and any(root.glob(f"*/{stem}.wasm/*")):
            done.touch()


def prepare(program: str) -> None:
    """Compile the WebAssembly of a YoWASP tool, with a line on standard error, unless that has been done.

    Parameters
    ----------
    program : str
        What is about to be called; nothing happens for programs that are not of the wheels installed here.

    Raises
    ------
    OSError
        As from `caches.cache_dir`.
    """
    stem = module(program)
    tool = next((tool for tool in TOOLS.values() if tool.program == f"yowasp-{stem}"), None)
    path = tool and wheels.program(tool.wheel, tool.program)
    if path and os.path.dirname(path) == os.path.dirname(program):
        named = "YOWASP_CACHE_DIR" if os.environ.get("YOWASP_CACHE_DIR") else "BITLOOM_CACHE"
        _prepare(stem, tool.wheel, path, caches.usable(caches.wasm_root(), named))


@functools.cache
def _prepare(stem: str, wheel: str, path: str, root: Path) -> None:
    versions = [importlib.metadata.version(name) for name in (wheel, "wasmtime")]
    with compiling(root, stem, *versions) as missing:
        if missing:
            said = f"compiling the WebAssembly of {stem}, once on this machine: it takes a minute"
            print(said, file=sys.stderr, flush=True)
            processes.communicate([path, "--version"], env=environment())
