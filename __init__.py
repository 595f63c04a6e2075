"""bitloom: a generator of synthesizable RTL for low-bit transformer accelerators.

``bitloom.core(name, **parameters)`` is a core of the catalogue, `bitloom.CATALOGUE`: what the command line does with it
is one call each. `bitloom.golden` has the models in NumPy, a package a system. A name is imported when it is first
asked for, so that `import bitloom` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import golden
    from .cores.catalogue import CATALOGUE
    from .face import ConfiguredCore, Generated, core
    from .tools.finding import ToolMissing
    from .tools.running import ToolFailed

__version__ = "0.1.0"

__all__ = [
    "CATALOGUE",
    "ConfiguredCore",
    "Generated",
    "ToolFailed",
    "ToolMissing",
    "__version__",
    "core",
    "golden",
]

_HOMES = {
    "CATALOGUE": ".cores.catalogue",
    "ConfiguredCore": ".face",
    "Generated": ".face",
    "ToolFailed": ".tools.running",
    "ToolMissing": ".tools.finding",
    "core": ".face",
}


def __getattr__(name: str) -> Any:
    if name == "golden":
        return importlib.import_module(".golden", __name__)
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
