"""Private parts of Amaranth and of cocotb are used in one file each, and we use no private part of another library."""

import ast
import re
from pathlib import Path

import pytest

import bitloom

ROOT = Path(bitloom.__file__).parent
ROOMS = ("cli", "compare", "cores", "fpga", "golden", "hdl", "synth", "testbench", "tests", "tools")
HOMES = [ROOT / room / "private.py" for room in ("hdl/emission", "testbench")]

#: What begins with an underscore and is documented for all to use.
PUBLIC = {"_asdict", "_exit", "_replace"}


#: Where a text defines or binds a name of its own, and where it may take one from elsewhere.
OWN = re.compile(r"(?:^|\b(?:def|class|as|for) |\b(?:self|cls)\.|, )(_\w+)", flags=re.M)
TAKEN = re.compile(r"(?<!\bself)(?<!\bcls)\._(?!_)|import .*\b_(?!_)")


def private(name):
    return name.startswith("_") and not name.endswith("__")


def used(tree):
    """Private names that a file takes from elsewhere: a module's, a part of one, an attribute of some object."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (part for name in node.names for part in name.name.split(".") if private(part))
        elif isinstance(node, ast.ImportFrom):
            yield from (part for part in (node.module or "").split(".") if private(part))
            yield from (name.name for name in node.names if private(name.name))
        elif isinstance(node, ast.Attribute) and private(node.attr) and not inherited(node.value):
            yield node.attr


def inherited(value):
    """Whether what is looked into is the object itself: what a library's class hands on to its heirs is not private."""
    return isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "super"


def foreign(texts):
    """File to the private names in it that no file defines."""
    ours = PUBLIC.union(*map(OWN.findall, texts.values()))
    suspected = {path: ast.parse(text) for path, text in texts.items() if TAKEN.search(text)}
    found = {path: sorted(set(used(tree)) - ours) for path, tree in suspected.items()}
    return {path: names for path, names in found.items() if names}


def test_private_parts_are_used_in_one_file_each():
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    assert len(paths) > 250
    assert sorted(foreign({path: path.read_text() for path in paths})) == HOMES


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("from amaranth.hdl._mem import MemoryInstance", "_mem"),
        ("from amaranth.hdl import _ir", "_ir"),
        ("import amaranth.hdl._nir as nir", "_nir"),
        ("x = fragment._data.depth", "_data"),
        ("component._MustUse__used = True", "_MustUse__used"),
        ("statement._lhs_signals()", "_lhs_signals"),
    ],
)
def test_a_private_part_is_seen(line, name):
    ours = (
        "class A:\n    def f(self):\n        self._own = super()._given()\n        return self._own, named._asdict()\n"
    )
    assert foreign({"a": ours, "b": line}) == {"b": [name]}
