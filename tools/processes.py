"""Processes: whatever ends the wait for one also ends it, and everything that it started."""

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Sequence

__all__ = ["communicate", "error_line", "started"]


@contextlib.contextmanager
def _uninterrupted():
    """Put off Ctrl-C and termination until the end of the block."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Signals are handled in the main thread only.
        return
    arrived = []
    previous = {
        number: signal.signal(number, lambda number, frame: arrived.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])


@contextlib.contextmanager
def started(command: Sequence[str], **options):
    """A started process; whatever ends the block early also ends the process and everything that it started."""
    process = None
    try:
        # Between the start of the tool and the name for it there must be no interrupt: nobody would end it.
        with _uninterrupted():
            process = subprocess.Popen(list(command), start_new_session=True, **options)
        yield process
    except BaseException:
        if process:
            _kill(process)
        raise


def communicate(
    command: Sequence[str],
    text: str = "",
    *,
    env: dict[str, str],
    stderr: int = subprocess.PIPE,
    timeout: float | None = None,
) -> subprocess.CompletedProcess:
    """Give a program a text on its standard input, and take what it prints; an interrupt ends it.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    text : str
        Its standard input.
    env : dict of str to str
        Its environment.
    stderr : int
        As for `subprocess.Popen`.
    timeout : float or None
        Seconds; `subprocess.TimeoutExpired` after them.
    """
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": stderr, "env": env}
    with started(command, text=True, errors="replace", **options) as process:
        output, errors = process.communicate(text, timeout)
    return subprocess.CompletedProcess(list(command), process.returncode, output, errors)


def _kill(process: subprocess.Popen) -> None:
    """End `process` and everything it started, and close its pipes."""
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()
    if os.name != "posix":
        process.kill()
        process.wait()
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=2)
        except ProcessLookupError:
            break
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def error_line(text: str) -> str:
    """The line of a tool's output that says what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    counts = re.compile(r"\d+ warnings?, \d+ errors?")
    for pattern in (r"wasm trap:", r"\bERROR:|%Error", r"\berror\b|Error:|undefined reference|No such file"):
        for line in lines:
            if re.search(pattern, line) and not counts.search(line):
                return line
    return lines[-1] if lines else "no output"
