"""Liberty files: the little that area needs to know of a cell library.

Yosys and ABC read the file themselves; this reader finds what they do not tell: the area of the library's 2-input NAND,
by its function and not by its name, and which cells are flip-flops.
"""

import gzip
import itertools
import os
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Library", "read"]


@dataclass(frozen=True)
class Library:
    """A cell library.

    Attributes
    ----------
    path : str
        The file, for messages.
    name : str
        As the file gives it.
    text : str
        The file, unpacked.
    cells : frozenset of str
        Names of all cells.
    flip_flops : frozenset of str
        Names of the cells that hold a flip-flop.
    reserved : tuple of str
        Names of the cells that logic must not be built of: marked ``dont_use``, or made for the borders of power
        domains (isolation, level shifters, always on).
    nand2 : str
        The smallest 2-input NAND.
    nand2_area : float
        Its area, in the library's unit.
    """

    path: str
    name: str
    text: str
    cells: frozenset[str]
    flip_flops: frozenset[str]
    reserved: tuple[str, ...]
    nand2: str
    nand2_area: float


_TOKEN = re.compile(r"\s*([A-Za-z_][\w\[\]]*|[01()!'&*+|^])")


def _evaluate(function: str, values: dict[str, bool]) -> bool:
    """Value of a Liberty function: ``!`` and ``'`` negate, then ``^``, then ``&``, ``*`` or a blank, then ``|``, ``+``.

    Raises
    ------
    ValueError, KeyError
        Not such a function, or of other pins.
    """
    tokens, at = [], 0
    function = function.strip()
    while at < len(function):
        match = _TOKEN.match(function, at)
        if match is None:
            raise ValueError(function)
        tokens.append(match[1])
        at = match.end()
    tokens.append("")

    def either() -> bool:
        value = both()
        while tokens[0] in ("|", "+"):
            tokens.pop(0)
            value |= both()
        return value

    def both() -> bool:
        value = differ()
        while tokens[0] not in ("", ")", "|", "+"):
            if tokens[0] in ("&", "*"):
                tokens.pop(0)
            value &= differ()
        return value

    def differ() -> bool:
        value = single()
        while tokens[0] == "^":
            tokens.pop(0)
            value ^= single()
        return value

    def single() -> bool:
        token = tokens.pop(0)
        if token == "!":
            return not single()
        if token == "(":
            value = either()
            if tokens.pop(0) != ")":
                raise ValueError(function)
        else:
            value = token == "1" if token in ("0", "1") else values[token]
        while tokens[0] == "'":
            tokens.pop(0)
            value = not value
        return value

    value = either()
    if tokens != [""]:
        raise ValueError(function)
    return value


def _cells(text: str) -> dict[str, str]:
    """Body of every cell by name.

    Raises
    ------
    ValueError
        The braces do not match.
    """
    cells = {}
    depth, name, start = 0, None, 0
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|[{}]', text, re.DOTALL):
        if match[0] == "{":
            depth += 1
            if depth == 2:
                header = re.search(
                    r'\bcell\s*\(\s*"?([^"()]+?)"?\s*\)\s*$', text[max(0, match.start() - 400) : match.start()]
                )
                name, start = (header[1] if header else None), match.end()
        elif match[0] == "}":
            depth -= 1
            if depth < 0:
                raise ValueError("there is a } too many")
            if depth == 1 and name:
                cells[name], name = text[start : match.start()], None
    if depth:
        raise ValueError(f"{depth} groups are not closed, it seems cut off")
    return cells


def _is_nand2(body: str) -> bool:
    if re.search(r"\b(ff|latch|ff_bank|latch_bank|statetable)\s*\(", body):
        return False
    inputs, functions = [], []
    pins = re.split(r'\bpin\s*\(\s*"?([^"()]+?)"?\s*\)\s*\{', body)
    for name, pin in zip(pins[1::2], pins[2::2], strict=True):
        direction = re.search(r'\bdirection\s*:\s*"?(\w+)', pin)
        function = re.search(r'\bfunction\s*:\s*"([^"]*)"', pin)
        if direction and direction[1] == "input":
            inputs.append(name)
        elif function:
            functions.append(function[1])
    if len(inputs) != 2 or len(functions) != 1:
        return False
    try:
        return all(
            _evaluate(functions[0], dict(zip(inputs, values, strict=True))) != all(values)
            for values in itertools.product((False, True), repeat=2)
        )
    except (ValueError, KeyError):
        return False


def read(path: str | os.PathLike) -> Library:
    """Read a Liberty file.

    Parameters
    ----------
    path : path
        A ``.lib`` file, or one packed with gzip.

    Returns
    -------
    Library

    Raises
    ------
    ValueError
        The file is not a Liberty file or is cut off, or its library has no flip-flop or no 2-input NAND.
    OSError
        It cannot be read.
    """
    data = Path(path).read_bytes()
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path} cannot be unpacked: {error}") from None
    text = data.decode(errors="replace")
    bare = re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)
    head = re.match(r'\s*library\s*\(\s*"?([^"()]*?)"?\s*\)\s*\{', bare)
    if head is None:
        raise ValueError(f"{path} is not a Liberty file: it does not begin with library (name) {{")
    try:
        cells = _cells(bare)
    except ValueError as error:
        raise ValueError(f"{path} is not a correct Liberty file: {error}") from None
    flip_flops = frozenset(name for name, body in cells.items() if re.search(r"\bff(_bank)?\s*\(", body))
    if not flip_flops:
        raise ValueError(f"{path} has {len(cells)} cells and no flip-flop among them, which synthesis needs")
    mark = re.compile(r'\b(dont_use|is_isolation_cell|is_level_shifter|always_on)\s*:\s*"?true\b')
    reserved = tuple(sorted(name for name, body in cells.items() if mark.search(body)))
    areas = {}
    for name, body in cells.items():
        if name in reserved:
            continue
        area = re.search(r'\barea\s*:\s*"?(\d[\d.]*(?:[eE][+-]?\d+)?)', body)
        if area and float(area[1]) > 0 and _is_nand2(body):
            areas[name] = float(area[1])
    if not areas:
        raise ValueError(f"{path} has no 2-input NAND with an area, which the equivalents are counted in")
    nand2 = min(areas, key=lambda name: (areas[name], name))
    return Library(str(path), head[1].strip(), text, frozenset(cells), flip_flops, reserved, nand2, areas[nand2])
