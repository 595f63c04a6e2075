"""The files that git tracks: what the tests of the package and of the pages compare with."""

import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["ROOT", "TRACKED", "in_a_checkout"]

ROOT = Path(__file__).parents[1]


def _tracked():
    if not shutil.which("git"):
        return []
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    return [] if done.returncode else [file for file in done.stdout.split("\0") if file]


#: Paths below `ROOT`; none in a source distribution.
TRACKED = _tracked()

#: A source distribution has all files, but no list of them that it could be held against.
in_a_checkout = pytest.mark.skipif(not TRACKED, reason="this is not a checkout, so nothing tells what is in the tree")
