"""Whether a design fits on a part, and by how much it does not."""

import re

from .parts import Part
from .report import Use

__all__ = ["TooSmall", "check_room", "is_full", "overfull"]

_FULL = re.compile(r"no (more )?BELs|[Uu]nable to (find a placement|place)|[Ff]ailed to (place|expand region)")
_UTILISATION = re.compile(r"^Info:\s+(\w+):\s+(\d+)/\s*(\d+)\s+\d+%$", re.MULTILINE)


class TooSmall(ValueError):
    """A part is too small for a design; the message is one line that says by how much.

    Parameters
    ----------
    design : str
        The core.
    part : str
        Its name.
    uses : tuple of Use
        What the core alone takes.
    lacking : tuple of Use
        What runs out; empty where place and route gives up although nothing does.
    placed : bool
        Whether `lacking` is place and route's count, of the core in its harness.
    """

    def __init__(self, design: str, part: str, uses: tuple[Use, ...], lacking: tuple[Use, ...], placed: bool = False):
        super().__init__(design, part, uses, lacking, placed)
        self.design, self.part, self.uses, self.lacking, self.placed = self.args

    def __str__(self) -> str:
        needs = ", ".join(f"{u.used:,} {u.name} of {u.available:,} ({_over(u)} too many)" for u in self.lacking)
        if not self.placed:
            return f"{self.part} is too small for {self.design}: it needs {needs}"
        alone = ", ".join(f"{u.used:,} {u.name} of {u.available:,}" for u in self.uses if u.used and u.available)
        why = f"it needs {needs}" if needs else "nextpnr finds no place for every cell"
        return f"{self.part} is too small for {self.design} in its harness: {why}; alone it takes {alone}"

    @property
    def missing(self) -> str:
        """The resources that are missing, in a few words."""
        over = ", ".join(f"{_over(use)} {use.name} too many" for use in self.lacking) or "no placement found"
        return f"{over}, harness included" if self.placed else over


def _over(use: Use) -> str:
    return f"{use.used - use.available:,}"


def check_room(design, part: Part, uses: tuple[Use, ...]) -> None:
    """Refuse a core that cannot fit, before place and route.

    Yosys' cells are what place and route has to place, one by one or in fixed groups, so a core of more cells than the
    part has is too large for certain. A core of fewer may still be: packing is place and route's own.

    Raises
    ------
    TooSmall
    """
    lacking = tuple(use for use in uses if use.available is not None and use.used > use.available)
    if lacking:
        raise TooSmall(design.name, part.name, uses, lacking)


def is_full(error: str) -> bool:
    """Whether nextpnr's error says that the part is full."""
    return bool(_FULL.search(error))


def overfull(log: str) -> tuple[Use, ...]:
    """What nextpnr's log says is used more than once over, in nextpnr's names."""
    uses = [Use(name, int(used), int(available)) for name, used, available in _UTILISATION.findall(log)]
    return tuple(use for use in uses if use.used > use.available)
