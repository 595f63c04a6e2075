"""Figures that take minutes to measure, kept in `docs/measurements`; `docs/measure.py` makes them anew.

Each figure has the tools, their versions and the day. Those of Yosys and nextpnr are estimates, and are called so.
"""

import json
from functools import cache
from pathlib import Path

__all__ = ["FOLDER", "TARGETS", "rows"]

FOLDER = Path(__file__).parents[2] / "docs" / "measurements"
#: Parts that a default configuration is measured on.
TARGETS = ("ice40-hx8k", "ecp5-85k", "gowin-gw1n-9")


def rows(kind, core):
    """What is known of a core.

    Parameters
    ----------
    kind : str
        `synthesis`, `boards`, `area`, `mutation` or `proofs`.
    core : str
        Its name.

    Returns
    -------
    list of dict
    """
    return [row for row in _read(FOLDER / f"{kind}.json") if row["core"] == core]


@cache
def _read(path):
    return json.loads(path.read_text()) if path.is_file() else []
