"""WebAssembly of the YoWASP tools: compiled once on a machine, by one process at a time.

Alone, a tool that does not find the result compiles itself and writes it in place: two that start at the same time
compile twice, and one may read what the other is writing.
"""

import contextlib
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: each compiles for itself.
    fcntl = None

__all__ = ["compiling", "module"]

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
