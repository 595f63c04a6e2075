"""Rules of the code that no linter knows."""

import ast
from pathlib import Path

import bitloom

LINES = 80
ROOT = Path(bitloom.__file__).resolve().parent
#: Words that say nothing of what they stand for.
WORDS = {"found", "there", "this", "what"}


def functions(text):
    """Name, first line and number of lines without the docstring of each function in a Python source text."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            documented = ast.get_docstring(node, clean=False) is not None
            docstring = first.end_lineno - first.lineno + 1 if documented else 0
            yield node.name, node.lineno, node.end_lineno - node.lineno + 1 - docstring


def test_lines_of_functions_are_counted_without_the_docstring():
    lines = ["def f(", "    a,", "):", '    """Two', '    lines."""', "    return a", ""]
    text = "\n".join([*lines, "class C:", "    async def g(self):", "        return 1"])
    assert list(functions(text)) == [("f", 1, 4), ("g", 9, 2)]


def names(text):
    """Name and line of each variable, parameter and function that a Python source text makes."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id, node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno


def sources():
    """Relative path and text of each Python file of the package: those beside its rooms, and all in them."""
    rooms = [path.parent for path in ROOT.glob("*/__init__.py")]
    files = [*ROOT.glob("*.py"), *(path for room in rooms for path in room.rglob("*.py"))]
    return {str(path.relative_to(ROOT)): path.read_text() for path in sorted(files)}


def test_every_room_is_read():
    rooms = {Path(path).parts[0] for path in sources() if "/" in path}
    assert rooms == {"cli", "compare", "cores", "fpga", "golden", "hdl", "synth", "testbench", "tools"}
    assert {"face.py", "__init__.py"} <= sources().keys() and len(sources()) > 200


def test_no_function_is_long():
    texts = sources()
    long = [
        f"{path}:{line}: {name} has {lines} lines"
        for path, text in texts.items()
        for name, line, lines in functions(text)
        if lines > LINES
    ]
    assert not long, f"functions of more than {LINES} lines: {long}"


def test_names_are_seen():
    text = "def f(found, *this):\n    there: int = [what for what in found]\n    return there.found"
    seen = [name for name, _ in names(text) if name in WORDS]
    assert sorted(seen) == ["found", "there", "this", "what"]


def test_names_say_what_they_stand_for():
    texts = sources()
    vague = [f"{path}:{line}: {name}" for path, text in texts.items() for name, line in names(text) if name in WORDS]
    assert not vague, f"names that say nothing: {vague}"
