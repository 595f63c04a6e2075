"""What changed between two releases' figures: which core takes more LUTs, and which became slower."""

import math
from dataclasses import dataclass

from . import measured

__all__ = ["LIMIT", "Change", "between", "changes", "logic"]

#: Above this growth of logic or loss of clock, percent, a change is pointed out. Our choice: place and route of one
#: seed moves an Fmax by a few percent without any cause in the core.
LIMIT = 5
#: Logic and clock, by the names that they have in the tables. What a tile costs a processing element is logic, too.
_LOGIC = ("LUT4", "LUT", "LC", "LUT4/PE")
_CLOCK = ("fmax_mhz", "Fmax MHz")


@dataclass(frozen=True)
class Change:
    """A figure that is another one in a later release.

    Attributes
    ----------
    where : str
        Table and row.
    figure : str
    before, after : float or None
        None where the core does not fit, or was not placed.
    tools : str
        What other tools the later figure comes of; empty where they are the same.
    """

    where: str
    figure: str
    before: float | None
    after: float | None
    tools: str = ""

    @property
    def percent(self):
        """By how much it grew; infinite from 0, or to or from none."""
        if self.before is None or self.after is None:
            return math.inf if (self.after is None) == (self.figure in _LOGIC) else -math.inf
        if not self.before:
            return math.copysign(math.inf, self.after)
        return 100 * (self.after - self.before) / abs(self.before)

    @property
    def loss(self):
        """Percent of logic more, or of clock less; None for other figures, of which nobody can say what is worse."""
        return self.percent if self.figure in _LOGIC else -self.percent if self.figure in _CLOCK else None

    def verdict(self, limit=LIMIT):
        """`worse`, `better` or nothing, where logic or clock changed by more than `limit` percent."""
        if self.loss is None or abs(self.loss) <= limit:
            return ""
        return "worse" if self.loss > 0 else "better"


def _numbers(table, row):
    """The figures of a row by name: those of its resources, and each other number."""
    own = {name: value for name, value in row.items() if name not in table["key"]}
    flat = own.pop("uses", {}) | own
    return {
        name: value for name, value in flat.items() if isinstance(value, int | float) and not isinstance(value, bool)
    }


def logic(row):
    """Name of a row's LUTs or logic cells among its resources, or None."""
    return next((name for name in _LOGIC if name in row["uses"]), None)


def between(table, old, new, where=""):
    """The changes from a row to a later one, which has the same key; none where the configuration is another one.

    A figure that only one of them has is none, but for logic and clock: to lose them is to fit no more.
    """
    if old.get("parameters") != new.get("parameters"):
        return []
    before, after = _numbers(table, old), _numbers(table, new)
    names = [name for name in before | after if (name in before and name in after) or name in (*_LOGIC, *_CLOCK)]
    tools = "" if old["tools"] == new["tools"] else f"{old['tools'] or 'none'} -> {new['tools'] or 'none'}"
    pairs = [Change(where, name, before.get(name), after.get(name), tools) for name in names]
    return [change for change in pairs if change.before != change.after]


def changes(old, new):
    """All changes between two files of figures, the worst first, and how many rows only one of them has.

    Parameters
    ----------
    old, new : dict
        As `measured.read` gives them.

    Returns
    -------
    changes : list of Change
        More logic and less clock first, what nobody can judge after these, and what became better at the end.
    gone, came : int
        Rows that only `old`, and only `new` has.
    """
    listed, gone, came = [], 0, 0
    for name in sorted(old["tables"].keys() | new["tables"].keys()):
        before, after = (_rows(figures["tables"].get(name, {"rows": []})) for figures in (old, new))
        gone, came = gone + len(before.keys() - after.keys()), came + len(after.keys() - before.keys())
        for key in sorted(before.keys() & after.keys()):
            listed += between(new["tables"][name], before[key], after[key], _words(name, key))
    return sorted(listed, key=_badness), gone, came


def _rows(table):
    return {measured.identity(table, row): row for row in table["rows"]}


def _words(name, key):
    parts = (part if isinstance(part, tuple) else (str(part),) for part in key)
    return " ".join([f"{name}:", *(word for part in parts for word in part)])


def _badness(change):
    if change.loss is None:
        return 1, -abs(change.percent)
    return (0 if change.loss > 0 else 2), -change.loss
