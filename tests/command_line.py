"""The command line for the tests: in this process, whose start it does not pay again.

What is about the process itself, as its interrupts, its pipes and its encodings, starts one: `python -m bitloom`.
"""

import contextlib
import io
import signal
import subprocess
import sys
from unittest import mock

from bitloom.cli import program

__all__ = ["bitloom", "complaint", "printed"]


def bitloom(*words, cwd=None, status=0):
    """Run the command line as its program does, in the folder `cwd`; give its standard output and error."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)]
    handler = signal.getsignal(signal.SIGTERM)
    with contextlib.ExitStack() as stack:
        stack.callback(signal.signal, signal.SIGTERM, handler)
        stack.enter_context(contextlib.chdir(cwd or "."))
        stack.enter_context(mock.patch.object(sys, "argv", ["bitloom", *map(str, words)]))
        stack.enter_context(contextlib.redirect_stdout(streams[0]))
        stack.enter_context(contextlib.redirect_stderr(streams[1]))
        try:
            program.main()
        except SystemExit as ended:
            code = ended.code
    output, error = (stream.buffer.getvalue().decode() for stream in streams)
    assert code == status, f"{words}: {code}\n{output}\n{error}"
    return output, error


def printed(*words, cwd=None):
    """What the command line, in a process of its own, writes to the file that is open as standard output."""
    command = [sys.executable, "-m", "bitloom", *map(str, words)]
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def complaint(*words, cwd=None):
    """The one line that a wrong request prints."""
    output, error = bitloom(*words, cwd=cwd, status=2)
    assert output == ""
    lines = error.splitlines()
    assert len(lines) == 1 and lines[0].startswith("bitloom: "), error
    return lines[0]
