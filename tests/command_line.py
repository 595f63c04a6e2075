"""The command line in a process of its own, for the tests."""

import subprocess
import sys

__all__ = ["bitloom", "complaint"]


def bitloom(*words, cwd=None, status=0):
    """Run the command line in a process of its own; give its standard output and error."""
    done = subprocess.run([sys.executable, "-m", "bitloom", *map(str, words)], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


def complaint(*words, cwd=None):
    """The one line that a wrong request prints."""
    output, error = bitloom(*words, cwd=cwd, status=2)
    assert output == ""
    lines = error.splitlines()
    assert len(lines) == 1 and lines[0].startswith("bitloom: "), error
    return lines[0]
