"""The program `bitloom`: its commands, and what every error becomes: one line and an exit status.

Each file of this folder holds a group of commands. A command parses, calls and prints; what it does is done elsewhere.
A command's file is imported when the command is asked for, and only what each of its commands needs at its top:
`bitloom list` must not wait for plots and simulators, nor for NumPy and Amaranth.
"""

import importlib
import os
import signal
import sys
from collections.abc import Mapping

import click

from .. import __version__
from ..tools.missing import sentence
from . import terminal
from .output import FAILED, complain

__all__ = ["FAILED", "INTERRUPTED", "WRONG", "bitloom", "main"]

#: Exit status of a wrong request.
WRONG = 2
INTERRUPTED = 130


#: The commands, `module:name` of this folder, in which each is imported when it is asked for.
_COMMANDS = {
    "list": "cores:list_cores",
    "info": "cores:info",
    "generate": "cores:generate_verilog",
    "sim": "simulate:sim",
    "mutate": "simulate:mutate",
    "synth": "synthesize:synth",
    "build": "board:build",
    "flash": "board:flash",
    "selftest": "board:selftest",
    "run": "run:run",
    "quantize": "models:quantize",
    "compare": "compare:compare",
    "evaluate": "models:evaluate",
    "search": "search:search",
    "train": "train:train",
    "compile": "machine:compile_model",
    "demo": "demo:demo",
    "example-data": "demo:example_data",
    "doctor": "doctor:doctor",
}


class _Commands(Mapping):
    """`_COMMANDS`, imported."""

    def __getitem__(self, name):
        module, attribute = _COMMANDS[name].split(":")
        return getattr(importlib.import_module(f".{module}", __package__), attribute)

    def __iter__(self):
        return iter(_COMMANDS)

    def __len__(self):
        return len(_COMMANDS)


_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


@click.group(commands=_Commands(), context_settings=_CONTEXT)
@click.version_option(__version__, prog_name="bitloom")
def bitloom():
    """Generate, verify, measure and run RTL for low-bit transformer accelerators."""


def main():
    """Entry point: run a command, turn every expected error into one line and an exit status."""
    # A terminated bitloom ends its tools as an interrupted one does.
    # Not by way of SIGINT: a shell script's background commands ignore that.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    terminal.adapt()
    if os.environ.get("BITLOOM_TRACEBACK"):
        sys.exit(bitloom.main(prog_name="bitloom", standalone_mode=False))
    try:
        status = bitloom.main(prog_name="bitloom", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        status = WRONG
    except click.ClickException as error:
        hint = f" (see {error.ctx.command_path} --help)" if getattr(error, "ctx", None) else ""
        complain(f"{error.format_message()}{hint}")
        status = WRONG
    except (KeyboardInterrupt, click.Abort):
        complain("interrupted")
        status = INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`bitloom list | head`); there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = FAILED
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error)
        status = _status(error)
    except ValueError as error:
        complain(error)
        status = WRONG
    except ImportError as error:
        said = sentence(error)
        if said is None:
            raise
        complain(said)
        status = WRONG
    sys.exit(status or 0)


def _status(error):
    """Of a tool that failed, or of a file that cannot be used."""
    from ..tools.running import ToolFailed

    return FAILED if isinstance(error, ToolFailed) else WRONG
