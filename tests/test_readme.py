"""The examples of the README and of the docs do what they show: commands run as printed, sessions are doctests.

Each `$` line of a ```console block is run by bash, in the page's order and in one temporary folder a page, and must
succeed. What is printed below it must be its standard output, where a line of `…` stands for any lines, and any number
of blanks for one: a column is as wide as its widest cell, which may be on an omitted line. A command with nothing below
it must only succeed. Text behind a command is a comment.

A few words may differ from machine to machine: seconds and rates (`FREE`), versions of tools and the identity of a
build. Where a command's numbers are estimates of Yosys and nextpnr, or come of floating-point sums whose last digit
depends on the processor (`ESTIMATES`), a number may be a fifth off, and a percentage or a signed difference 1 off.
"""

import doctest
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bitloom.cli import program as cli
from bitloom.fpga.bitstream import boards
from bitloom.golden.workloads.example_data import arrays

ROOT = Path(__file__).parents[1]
#: Text of each page by its path: the README first, then the documentation.
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
}


def blocks(*kinds):
    """Page, kind and text of each fenced block, in order; of some kinds, or of all."""
    return [
        (page, kind, text)
        for page, whole in PAGES.items()
        for kind, text in re.findall(r"^```(\S*)(?: [^\n]*)?\n(.*?)^```$", whole, flags=re.M | re.S)
        if not kinds or kind in kinds
    ]


#: What no test can run, and why. Each pattern has a command on some page.
CANNOT = {
    r"^git clone": "there is no repository to clone from",
    r"^make ": "it is what runs these tests, or what installed them",
    r"^sudo ": "it changes the machine",
    r"--on /dev/": "there is no board",
    r"^bitloom flash (?!.*--dry-run)": "there is no board",
    r"--liberty ": "the cell library is another project's file",
    r"^fusesoc ": "it is no part of the installation",
    r"^dask |--scheduler ": "a cluster does not end, and HOST is no address",
}

#: Commands that take many seconds, or need the files of such a one: run by `make test-long`.
SLOW = (
    r"^bitloom (build|compare|compile|demo|evaluate|flash|mutate|quantize|search|synth|train)\b",
    r"^bitloom run (matmul|layer|model)\b",
    r"^bitloom sim (hgq-tile|sevedo-core)\b",
    r"^bitloom generate sevedo-core\b",
    r"--on build/",
)

#: Commands whose numbers may be a fifth off.
ESTIMATES = r"^bitloom (build|demo|evaluate|mutate|synth|train)\b|--on build/"

#: What may be anything: the part of a line in a group.
FREE = (
    r"seconds to (?:compile|run) ([\d.,]+)$",
    r"simulated MAC/s ([\d,]+)$",
    r"([\d.]+) seconds$",
    r"simulated in ([\d.]+) s$",
    r"% (\d+\.\d)$",  # the last column of a training's table, seconds
    r"\bbuild ([0-9a-f]{16})\b",
    r"(?:Yosys|nextpnr[\w-]*) (\d[\d.]*)",
    r"^longest path: (.*)$",
)


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Attributes
    ----------
    page : str
        Path of the page.
    block : int
        Number of its block.
    text : str
        What is run.
    printed : list of str
        Lines below it.
    """

    page: str
    block: int
    text: str
    printed: tuple

    @property
    def slow(self):
        return any(re.search(pattern, self.text) for pattern in SLOW)

    @property
    def reason(self):
        """Why it cannot be run, or None."""
        return next((why for pattern, why in CANNOT.items() if re.search(pattern, self.text)), None)


def commands():
    """The commands of all console blocks in order."""
    found = []
    for block, (page, _, text) in enumerate(blocks("console")):
        for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
            line, *printed = part.rstrip().split("\n")
            found.append(Command(page, block, line.partition("  #")[0].rstrip(), tuple(printed)))
    return found


COMMANDS = commands()


class Session:
    """A temporary folder for each page, in which each command is run once, and what it needs before it."""

    def __init__(self, folder):
        self.folder, self.done = folder, {}

    def run(self, index):
        """Standard output of a command, after every quick one before it, and the slow ones of its own block."""
        if index not in self.done:
            wanted = COMMANDS[index]
            for before, command in enumerate(COMMANDS[:index]):
                needed = not command.slow or (wanted.slow and command.block == wanted.block)
                if command.page == wanted.page and not command.reason and needed:
                    self.run(before)
            folder = self.folder / wanted.page
            folder.mkdir(parents=True, exist_ok=True)
            path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
            self.done[index] = subprocess.run(
                ["bash", "-c", wanted.text],
                cwd=folder,
                env={**os.environ, "PATH": path},
                capture_output=True,
                text=True,
            )
        done = self.done[index]
        assert done.returncode == 0, f"{COMMANDS[index].text}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return Session(tmp_path_factory.mktemp("pages"))


RUN = [
    pytest.param(index, id=f"{command.page}: {command.text}", marks=[pytest.mark.long] * command.slow)
    for index, command in enumerate(COMMANDS)
    if not command.reason
]


@pytest.mark.parametrize("index", RUN)
def test_command(index, session, request):
    command = COMMANDS[index]
    if "--on build/" in command.text:
        request.getfixturevalue("icestorm")
    output = session.run(index)
    estimates = bool(re.search(ESTIMATES, command.text))
    if command.printed and not shows(command.printed, output.splitlines(), estimates):
        pytest.fail(f"{command.page} shows something else than this:\n$ {command.text}\n{output}", pytrace=False)


def shows(printed, lines, estimates):
    """Whether a page's lines, some omitted, are those of a command."""
    parts, lines = [[]], [plain(line) for line in lines]
    for line in map(plain, printed):
        parts.append([]) if line == "…" else parts[-1].append(line)

    def at(place, part):
        there = lines[place : place + len(part)]
        return len(there) == len(part) and all(same(*pair, estimates) for pair in zip(part, there, strict=True))

    if len(parts) == 1:
        return len(lines) == len(parts[0]) and at(0, parts[0])
    first, *middle, last = parts
    if not at(0, first):
        return False
    place, end = len(first), len(lines) - len(last)
    for part in middle:
        place = next((p + len(part) for p in range(place, end - len(part) + 1) if at(p, part)), None)
        if place is None:
            return False
    return place <= end and at(end, last)


def plain(line):
    """A line with single blanks, and without what may be anything."""
    line = " ".join(line.split())
    for pattern in FREE:
        line = re.sub(pattern, lambda match: match[0].replace(match[1], "#"), line)
    return line


NUMBER = re.compile(r"(?<![\w.-])[-+]?\d[\d,]*(?:\.\d+)?%?|\d[\d,]*(?:\.\d+)?%?")


def same(expected, got, estimates):
    """Whether two lines say the same."""
    if not estimates or expected == got:
        return expected == got
    if NUMBER.sub("#", expected) != NUMBER.sub("#", got):
        return False
    return all(close(*pair) for pair in zip(NUMBER.findall(expected), NUMBER.findall(got), strict=True))


def close(expected, got):
    value, other = (float(text.strip("%").replace(",", "")) for text in (expected, got))
    return abs(value - other) <= (1 if expected[0] in "+-" or expected[-1] == "%" else abs(value) / 5)


def test_what_may_differ():
    assert shows(["a  1", "…", "z"], ["a 1", "b", "c", "z"], False)
    assert shows(["…", "b", "…"], ["a 1", "b", "z"], False) and shows(["…"], [], False)
    assert not shows(["a 1", "…", "a 1"], ["a 1"], False)
    assert not shows(["a 1"], ["a 1", "b"], False) and not shows(["a 1", "…"], ["a 2", "b"], False)
    assert same(plain("x; 2.1 seconds"), plain("x; 17.5 seconds"), False)
    assert not same(plain("x; 2.1 minutes"), plain("x; 17.5 minutes"), False)
    assert same("Fmax 100.0 MHz", "Fmax 119.0 MHz", True) and not same("Fmax 100.0 MHz", "Fmax 121.0 MHz", True)
    assert not same("Fmax 100.0 MHz", "Fmax 119.0 MHz", False) and not same("LUT 100", "FF 100", True)
    assert same("bdwp-2:8 95.31% -0.06", "bdwp-2:8 95.98% +0.28", True) and not same("95.31%", "93.31%", True)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_what_it_is(page):
    """So that no command escapes: a block of another kind, and one that is not fenced, holds none."""
    of_page = [(kind, text) for name, kind, text in blocks() if name == page]
    for kind, text in of_page:
        if kind != "console":
            assert not re.search(r"^\s*(\$ |bitloom )", text, flags=re.M), text
        else:
            assert text.startswith("$ "), text
        assert (">>> " in text) == (kind == "pycon"), text
    assert PAGES[page].count("\n```") == 2 * len(of_page)
    assert not re.search(r"^ +```|^    (\$|>>>) ", PAGES[page], flags=re.M)


def test_what_is_not_run_is_on_a_page():
    for pattern in (*CANNOT, *SLOW, *ESTIMATES.split("|--")[:1]):
        assert any(re.search(pattern, command.text) for command in COMMANDS), pattern


def test_a_page_reads_no_file_that_none_of_its_commands_makes():
    made = set()
    for command in COMMANDS:
        if command.text == "bitloom example-data":
            made |= {(command.page, f"{name}.npy") for name in arrays()}
        for word in re.findall(r"[\w./-]+\.(?:npy|npz)", command.text):
            written = re.search(rf"(-o|--out) {re.escape(word)}", command.text)
            assert written or (command.page, word) in made, f"{word} of {command.text} in {command.page}"
            made.add((command.page, word))
        assert "bitloom" not in command.text.split()[:1] or command.text.split()[1] in cli.bitloom.commands


#: What is typed on each page: its blocks are one session, as its reader would type them.
PYTHON = {}
for page, _, text in blocks("pycon"):
    PYTHON[page] = f"{PYTHON.get(page, '')}{text}\n"


@pytest.mark.parametrize("page", PYTHON)
def test_python_session(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    test = doctest.DocTestParser().get_doctest(PYTHON[page], {}, page, page, 0)
    failures = []
    doctest.DocTestRunner().run(test, out=failures.append)
    assert test.examples and not failures, "".join(failures)


@pytest.mark.parametrize(("page", "text"), [(page, text) for page, _, text in blocks("python")])
def test_python_entry(page, text):
    exec(compile(text, page, "exec"), dict(vars(boards)))
