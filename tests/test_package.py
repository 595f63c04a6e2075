"""What is packed: all that the repository holds, under a name that is ours."""

import fnmatch
import importlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def tracked():
    """The repository's files; a source distribution is none."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode or not done.stdout:
        pytest.skip("this is no checkout")
    return done.stdout.splitlines()


def packed(file):
    """Whether setuptools takes a file into the source distribution: by itself, or for a line of MANIFEST.in."""
    packages = {name.removeprefix("bitloom").removeprefix(".") for name in PROJECT["tool"]["setuptools"]["packages"]}
    folder, _, name = file.rpartition("/")
    if folder.replace("/", ".") in packages and name.endswith(".py"):
        return True
    if file in ("pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        return True
    for package, patterns in PROJECT["tool"]["setuptools"]["package-data"].items():
        where = package.removeprefix("bitloom").removeprefix(".")
        if any(fnmatch.fnmatch(file, f"{where.replace('.', '/')}/{pattern}") for pattern in patterns):
            return True
    lines = [line.split() for line in (ROOT / "MANIFEST.in").read_text().splitlines()]
    return any(
        (word == "include" and file in names) or (word == "graft" and any(file.startswith(f"{n}/") for n in names))
        for word, *names in lines
    )


def test_the_source_distribution_holds_all_that_the_tests_and_make_need():
    assert [file for file in tracked() if not packed(file)] == [".gitignore"]


def test_nobody_is_told_to_install_another_project():
    assert PROJECT["project"]["name"] == "bitloom-rtl"
    assert PROJECT["project"]["scripts"] == {"bitloom": "bitloom.__main__:main"}
    told = re.compile(r"pip install [^`\n]*\bbitloom(?!-rtl)\b")
    texts = [file for file in tracked() if Path(file).suffix in (".py", ".md", ".toml", "") and file != "LICENSE"]
    assert [file for file in texts if told.search((ROOT / file).read_text())] == []


def test_programs_of_the_tests_import_what_is_there():
    """Those in strings too, which no import of the test itself would miss."""
    wrong = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for package, names in re.findall(r"from (bitloom[\w.]*) import (\w+(?:, *\w+)*)", path.read_text()):
            for name in re.split(", *", names):
                try:
                    if not hasattr(importlib.import_module(package), name):
                        importlib.import_module(f"{package}.{name}")
                except ImportError:
                    wrong.add(f"{path.name}: from {package} import {name}")
    assert wrong == set()
