"""Running external tools to their end: in one environment, each with its log, and with errors of one line."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from . import processes, wasm
from .environment import environment

__all__ = ["ToolFailed", "communicate", "run"]


class ToolFailed(OSError):
    """A tool ran and failed; the message is one line: the tool's own error and where its log is."""


def communicate(command: Sequence[str], text: str = "") -> subprocess.CompletedProcess:
    """Give a tool a text on its standard input, and take what it prints; an interrupt ends it.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    text : str
        Its standard input.

    Returns
    -------
    subprocess.CompletedProcess
        ``stdout`` and ``stderr`` hold what it printed as text.
    """
    wasm.prepare(command[0])
    return processes.communicate(command, text, env=environment())


def run(
    command: Sequence[str],
    cwd: str | os.PathLike,
    log: str | os.PathLike | None = None,
    timeout: float | None = None,
    env: dict[str, str] | None = None,
    transcript: str | os.PathLike | None = None,
    name: str | None = None,
) -> subprocess.CompletedProcess:
    """Run a tool to its end.

    Parameters
    ----------
    command : sequence of str
        Program and arguments. YoWASP tools see their own ``/tmp``: give them file names relative to `cwd`.
    cwd : path
        Folder to run in.
    log : path or None
        File for the tool's output, standard and error together.
    timeout : float or None
        Seconds.
    env : dict or None
        Environment; `environment` by default.
    transcript : path or None
        File to which the tool is told to write what it prints (``yosys -l``). It is added to the output, because
        YoWASP's Yosys prints nothing any more once ABC has run.
    name : str or None
        What an error calls the tool; the program's name by default.

    Returns
    -------
    subprocess.CompletedProcess
        ``stdout`` holds the output as text.

    Raises
    ------
    ToolFailed
        The tool could not be started, ended with another status than 0, or took longer than `timeout`. Whatever ends
        the wait (timeout, Ctrl-C) also ends the tool and everything that it started.
    """
    wasm.prepare(command[0])
    name = name or Path(command[0]).name
    where = f" (log: {log})" if log else ""
    if log:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
    with open(log, "w+b") if log else tempfile.TemporaryFile() as output:
        options = {"cwd": cwd, "env": environment() if env is None else env, "stdin": subprocess.DEVNULL}
        try:
            with processes.started(command, stdout=output, stderr=subprocess.STDOUT, **options) as process:
                status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ToolFailed(f"{name} took longer than {timeout:g} s and was stopped{where}") from None
        except OSError as error:
            raise ToolFailed(f"{name} could not be started: {error.strerror or error}") from error
        if transcript and os.path.isfile(transcript):
            output.seek(0, os.SEEK_END)
            output.write(Path(transcript).read_bytes())
        output.seek(0)
        text = output.read().decode(errors="replace")
    if status:
        raise ToolFailed(f"{name} failed with status {status}: {processes.error_line(text)}{where}")
    return subprocess.CompletedProcess(list(command), status, text)
