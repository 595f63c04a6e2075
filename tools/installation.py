"""The installation as a whole: which tools are there, and what else is wrong."""

import importlib.metadata
from dataclasses import dataclass

from .finding import ToolMissing, find
from .inventory import TOOLS

__all__ = ["Row", "rows", "warnings"]


@dataclass(frozen=True)
class Row:
    """One line of ``bitloom doctor``."""

    tool: str
    available: bool
    version: str
    origin: str
    needed_for: str
    hint: str
    path: str = ""


def rows() -> list[Row]:
    """Look for every tool.

    Returns
    -------
    list of Row
        One per tool, in the order of `TOOLS`; `hint` says what to do when `available` is False.
    """
    answers = []
    for name, tool in TOOLS.items():
        try:
            program = find(name)
        except ToolMissing as error:
            answers.append(Row(name, False, "", "", tool.needed_for, str(error)))
        else:
            answers.append(Row(name, True, program.version, program.origin, tool.needed_for, "", program.command[0]))
    return answers


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
