"""What the pages say of the tree is so: files and folders that they name, modules, words, versions."""

import importlib
import inspect
import re
import tomllib
from pathlib import Path

import pytest
from checkout import ROOT, TRACKED, in_a_checkout

import bitloom
from bitloom.hdl.emission.private import unwarned
from bitloom.hdl.stream import codec

DOCS = ROOT / "docs"
PAGES = sorted({ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")})
FOLDERS = {parent.as_posix() for path in TRACKED for parent in Path(path).parents} - {"."}

#: Of an imaginary core, of which "Add a core" says where it would be; and what a command makes.
IMAGINARY = re.compile(r"pool|max-pool|^build/|^demo/")


@in_a_checkout
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_and_folders_that_a_page_names_are_there(page):
    rooms = "|".join(sorted({Path(path).parts[0] for path in TRACKED if "/" in path}))
    named = re.findall(rf"`((?:{rooms})/[\w./-]*)`", page.read_text())
    missing = [path for path in named if not IMAGINARY.search(path) and path.rstrip("/") not in {*TRACKED, *FOLDERS}]
    assert missing == []


@in_a_checkout
def test_the_house_lists_each_folder_but_systems():
    listed = set(re.findall(r"^\| `([\w./]+?)/?` \|", (DOCS / "house.md").read_text(), flags=re.M)) - {"face.py"}
    systems = set(bitloom.golden.__all__) | {"mx"}
    expected = {
        folder
        for folder in FOLDERS
        if folder.count("/") < 2 and not folder.startswith((".git", "docs/", "tests/", "examples/"))
        if not (folder.count("/") and Path(folder).name in systems - {"workloads"})
    }
    # Rooms whose folders are all listed need no line of their own.
    expected -= {folder for folder in ("hdl", "fpga") if any(path.startswith(f"{folder}/") for path in listed)}
    assert expected - listed == set()
    assert listed - FOLDERS == set()


def test_modules_of_the_change_log_are_where_it_says():
    rows = re.findall(
        r"^ *\| `(?:golden|fpga|synth|hdl)\..*\| (.*) \|$", (ROOT / "CHANGELOG.md").read_text(), flags=re.M
    )
    names = [name for row in rows for name in re.findall(r"`([\w.]+)`", row)]
    assert len(names) > 20
    for name in names:
        importlib.import_module(f"bitloom.{name}")


def test_ports_and_fields_of_the_change_log_are_the_cores():
    """The last column of its table names streams, inputs and fields that the cores have."""
    text = (ROOT / "CHANGELOG.md").read_text()
    rows = re.findall(r"^ *\| (`(?:anda|nm|lvc|sevedo)[^|]*) \| [^|]* \| ([^|]*) \|$", text, flags=re.M)
    assert len(rows) == 7
    for cores, now in rows:
        for core in re.findall(r"`([\w-]+)`", cores):
            made = bitloom.core(core, **({"signs": "beside"} if core == "anda-tile" else {}))
            fields = {
                word for layout in made.streams.values() for key in codec.named(layout) for word in key.split(".")
            }
            ports = unwarned(made.component()).signature.members
            assert set(re.findall(r"`(\w+)`", now)) <= {*ports, *fields}, core


def test_the_change_logs_newest_version_is_the_packages():
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.M)
    assert headings[0] == "Unreleased"
    assert headings[1] == bitloom.__version__


def test_words_of_the_glossary_are_in_order():
    listed = re.findall(r"^(.+)\n: ", (DOCS / "glossary.md").read_text(), flags=re.M)
    assert len(listed) > 40
    assert listed == sorted(listed, key=lambda word: word.partition(",")[0].lower())


def test_what_the_face_gives_is_in_the_reference():
    pages = "".join(path.read_text() for path in (DOCS / "api").glob("*.rst"))
    modules = set(re.findall(r"automodule:: bitloom\.(\S+)", pages))
    single = set(re.findall(r"autoexception:: bitloom\.(\w+)", pages))
    for name in set(bitloom.__all__) - {"CATALOGUE", "__version__", "golden"} - single:
        assert inspect.getmodule(getattr(bitloom, name)).__name__.removeprefix("bitloom.") in modules, name
    # What its methods return, and what packs.
    assert {"testbench.runner", "cores.generate", "synth.report", "hdl.stream.codec"} <= modules


def test_the_extras_of_the_change_log_are_the_packages():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"].keys() - {"test"}
    (listed,) = re.findall(r"The rest are extras: (.*?)\. A command", (ROOT / "CHANGELOG.md").read_text(), flags=re.S)
    assert set(re.findall(r"`(\w+)`", listed)) == extras
