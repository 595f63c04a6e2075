"""The twin of a board: its whole top level, Verilated, with its serial pins behind a pseudo-terminal.

Whoever opens that terminal talks to the same gateware as on the board, bit by bit through `rx` and `tx`. What it does
not have is the board itself: clock, pins, and the part's own delays.
"""

import contextlib
import select
import subprocess
from pathlib import Path
from types import SimpleNamespace

from ...testbench import verilator
from ...tools import running
from ...tools.environment import environment

__all__ = ["Twin", "build", "start"]

_MAIN = Path(__file__).with_name("twin.cpp")
_IDLE = 50_000  # cycles without a bit on the line after which the twin sleeps
_START = 60  # seconds until the twin says where it is


class Twin:
    """A running twin.

    Attributes
    ----------
    path : str
        Of the pseudo-terminal: its serial port.
    pid : int
        Process ID.
    """

    def __init__(self, process, path):
        self._process = process
        self.path, self.pid = path, process.pid

    def reset(self):
        """Reset the board, as its button or its power switch would: whatever is on the line or in the core is lost."""
        self._process.stdin.write(b"r")
        self._process.stdin.flush()

    def stop(self):
        """End it, as pulling the cable would."""
        # The end of its input ends it, also when this process is killed.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()


def build(verilog, top, divisor, power_on=None, storage=None):
    """Compile a board top, or take the program of an earlier time.

    Parameters
    ----------
    verilog : str
        With a top module of ports `clk`, `rst` (active high), `rx` and `tx`; without `rst` if it has initial values.
    top : str
        Its name.
    divisor : int
        Clock cycles of a bit.
    power_on : int, optional
        Without `rst`: clock cycles from power-on until the design must listen.
    storage : int, optional
        With an SDRAM: bits of an address of its columns of 16 bits, whose cells are here, behind the ports `storage`.
        At the first rule that is broken, of the output `broken`, the twin ends.

    Returns
    -------
    Path
        The program.

    Raises
    ------
    ToolMissing, ToolFailed
        As from `verilator.build`.
    """
    design = SimpleNamespace(verilog=verilog, top=top, manifest={})
    numbers = {"DIVISOR": divisor, "IDLE": _IDLE, "POWER_ON": power_on, "STORAGE": storage}
    numbers = {name: number for name, number in numbers.items() if number is not None}
    return verilator.build_with(design, _MAIN, "".join(f"#define {name} {n}\n" for name, n in numbers.items()))


@contextlib.contextmanager
def start(program, seed=1):
    """Run a twin while the block lasts.

    Parameters
    ----------
    program : Path
        As from `build`.
    seed : int
        1 to 2**31 - 1: decides what registers hold before the reset.

    Returns
    -------
    Twin

    Raises
    ------
    ToolFailed
        If it does not start.
    """
    command = [str(program), "+verilator+rand+reset+2", f"+verilator+seed+{seed}"]
    # A session of its own: an interrupt from the keyboard is for us, and we end it.
    pipes = {
        "stdin": subprocess.PIPE,
        "stdout": subprocess.PIPE,
        "start_new_session": True,
        "env": environment(),
    }
    with contextlib.ExitStack() as stack:
        process = subprocess.Popen(command, **pipes)
        twin = Twin(process, "")
        stack.callback(twin.stop)
        ready, _, _ = select.select([process.stdout], [], [], _START)
        twin.path = process.stdout.readline().decode().strip() if ready else ""
        if not twin.path:
            raise running.ToolFailed("the twin did not start")
        yield twin
