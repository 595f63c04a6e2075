"""Environment variables: which ones every program is given, and how to hide some from a library."""

import contextlib
import os

__all__ = ["plain", "unset"]

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


def plain() -> dict[str, str]:
    """The variables that every program gets."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ} | _FIXED


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
