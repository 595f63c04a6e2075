"""The cache: the folder for what can be made again, and why it cannot be used."""

import os
from pathlib import Path

import platformdirs

__all__ = ["cache_dir", "root", "usable", "wasm_root"]


def root() -> Path:
    """The cache folder, which may not exist yet."""
    try:
        return _expanded(os.environ.get("BITLOOM_CACHE") or platformdirs.user_cache_dir("bitloom", appauthor=False))
    except RuntimeError as error:
        raise OSError(f"there is no folder for the cache, {error}: {_remedy('BITLOOM_CACHE')}") from None


def wasm_root() -> Path:
    """Where the YoWASP tools keep their compiled WebAssembly: in our cache, unless their own variable says where."""
    given = os.environ.get("YOWASP_CACHE_DIR")
    return _expanded(given, "YOWASP_CACHE_DIR") if given else root() / "wasm"


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
    return usable(root().joinpath(*parts))


def usable(path: Path, name: str = "BITLOOM_CACHE") -> Path:
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
