"""The program `bitloom`: its commands, and what every error becomes: one line and an exit status.

Each file of this folder holds a group of commands. A command parses, calls and prints; what it does is done elsewhere.
Only what every command needs is imported at the top of these files: `bitloom list` must not wait for plots and
simulators.
"""

import os
import signal
import sys

import click

from .. import __version__
from ..tools import running
from ..tools.missing import sentence
from . import board, compare, cores, demo, doctor, machine, models, run, search, simulate, synthesize, terminal, train
from .output import FAILED, complain

__all__ = ["FAILED", "INTERRUPTED", "WRONG", "bitloom", "main"]

#: Exit status of a wrong request.
WRONG = 2
INTERRUPTED = 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="bitloom")
def bitloom():
    """Generate, verify, measure and run RTL for low-bit transformer accelerators."""


for _command in (
    cores.list_cores,
    cores.info,
    cores.generate_verilog,
    simulate.sim,
    simulate.mutate,
    synthesize.synth,
    board.build,
    board.flash,
    board.selftest,
    run.run,
    models.quantize,
    compare.compare,
    models.evaluate,
    search.search,
    train.train,
    machine.compile_model,
    demo.demo,
    demo.example_data,
    doctor.doctor,
):
    bitloom.add_command(_command)


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
    except running.ToolFailed as error:
        complain(error)
        status = FAILED
    except OSError as error:
        complain(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error)
        status = WRONG
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
