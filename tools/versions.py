"""Versions of external tools: compared by their numbers, and refused where they will not do."""

import re

from .inventory import TOOLS

__all__ = ["numbers", "refusal"]


def numbers(version: str) -> tuple[int, ...]:
    """The numbers in a version, for comparison."""
    return tuple(int(digits) for digits in re.findall(r"\d+", version))


def refusal(name: str, version: str) -> str | None:
    """Why `version` of tool `name` cannot be used, or None."""
    tool = TOOLS[name]
    if version in tool.bad:
        return f"{name} {version} cannot be used: {tool.bad[version]}"
    if tool.minimum and not version:
        return f"{name} does not tell its version, {tool.minimum} or newer is needed: {tool.reason}"
    if numbers(version) < numbers(tool.minimum):
        return f"{name} {version} is too old, {tool.minimum} or newer is needed: {tool.reason}"
    return None
