"""Number formats, quantizers and bit-exact NumPy models of every core: a package a system.

``from bitloom.golden import olive`` gives a system's formats and products, and nothing is imported that is not asked
for. `golden.workloads` has what stands on them: checkpoints, whole models, searches and training.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import anda, gqa_lut, machine, mx, olive, sat, sevedo, systolic, workloads

__all__ = ["anda", "gqa_lut", "machine", "mx", "olive", "sat", "sevedo", "systolic", "workloads"]


def __getattr__(name: str):
    if name in __all__:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
