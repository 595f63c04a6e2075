"""A system's package has the public names of its models, each of which means one thing in it."""

import ast
import doctest
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from bitloom import golden

SYSTEMS = ("anda", "gqa_lut", "machine", "mx", "olive", "sat", "sevedo", "systolic")


def system(name):
    return importlib.import_module(f"bitloom.golden.{name}")


def models(package):
    """The package's modules by name."""
    return {
        found.name: importlib.import_module(f"{package.__name__}.{found.name}")
        for found in pkgutil.iter_modules(package.__path__)
    }


def test_every_folder_of_golden_is_listed():
    folders = {path.parent.name for path in Path(golden.__file__).parent.glob("*/__init__.py")}
    assert set(golden.__all__) == folders == {*SYSTEMS, "workloads"}


def test_a_system_is_an_attribute_of_golden_before_it_is_imported():
    code = "from bitloom import golden; print(*(getattr(golden, name).__name__ for name in golden.__all__))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == [f"bitloom.golden.{name}" for name in golden.__all__], done.stderr


def test_golden_has_nothing_else():
    with pytest.raises(AttributeError, match=r"module 'bitloom\.golden' has no attribute 'oliv'"):
        golden.oliv  # noqa: B018


@pytest.mark.parametrize("name", SYSTEMS)
def test_what_a_system_names_is_in_one_of_its_models_alone(name):
    package = system(name)
    inside = models(package)
    for public in package.__all__:
        holders = [module for module in inside.values() if public in module.__all__]
        assert [vars(module)[public] for module in holders] == [getattr(package, public)], public
    # A name that hides a model could not be imported any more.
    assert not inside.keys() & set(package.__all__)
    assert all(getattr(package, module) is found for module, found in inside.items())


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_lists_all_that_its_package_imports(name):
    package = system(name)
    tree = ast.parse(Path(package.__file__).read_text())
    imported = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert sorted(imported) == sorted(package.__all__)


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_examples_of_a_system(name):
    result = doctest.testmod(system(name))
    assert result.attempted and not result.failed
