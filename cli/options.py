"""Arguments and options that several commands share, and the types of their values."""

import contextlib
import sys
from pathlib import Path

import click

from ..cores import catalogue
from ..cores.styles import INTERFACES
from ..tools.files import STANDARD_OUTPUT, descriptor
from .numbers import Whole

__all__ = [
    "OUTPUT",
    "baud",
    "board",
    "command",
    "core",
    "encoder",
    "interface",
    "json_file",
    "json_flag",
    "parameters",
    "scheduler",
    "seed",
    "weights",
]


class _Output(click.Path):
    """A file to be written. `-` is standard output; all else that the command prints goes to standard error then."""

    def __init__(self):
        super().__init__(dir_okay=False, readable=False, path_type=Path)

    def convert(self, value, parameter, context):
        path = STANDARD_OUTPUT if value == "-" else super().convert(value, parameter, context)
        if descriptor(path) == 1:
            context.with_resource(contextlib.redirect_stdout(sys.stderr))
        return path


#: Type of a file to be written.
OUTPUT = _Output()


def command(name, example, **options):
    """A command whose help ends in an example; `options` as of `click.command`."""
    return click.command(name, epilog=f"\b\nExample:\n  {example}", **options)


core = click.argument("core", metavar="CORE", callback=lambda context, parameter, name: catalogue.lookup(name))
parameters = click.option(
    "-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Set a parameter; may be repeated."
)
seed = click.option("--seed", type=Whole(0, 2**32 - 1), help="Repeat a run; drawn and printed by default.")
json_file = click.option("--json", "json_file", type=OUTPUT, metavar="F")
json_flag = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
interface = click.option(
    "--interface", type=click.Choice(INTERFACES), default="stream", help="Names of the stream ports."
)
scheduler = click.option(
    "--scheduler", metavar="A", help="Work on the cluster of the dask.distributed scheduler there, as tcp://HOST:8786."
)
baud = click.option(
    "--baud", type=Whole(1), default=115_200, show_default=True, metavar="N", help="Rate of a serial port."
)


encoder = click.option(
    "--model",
    "folder",
    default="minilm",
    show_default=True,
    metavar="M",
    help="minilm for the installed all-MiniLM-L6-v2, or a folder with config.json and model.safetensors.",
)


def _board(context, parameter, name):
    from ..fpga.bitstream import boards

    return boards.lookup(name)


board = click.option(
    "--board",
    required=True,
    metavar="B",
    callback=_board,
    help="Board: icebreaker, ulx3s-85f, orangecrab-85f or tang-nano-9k.",
)


def weights(context, parameter, name):
    """Callback of what names a safetensors file."""
    from ..golden.workloads import transformer

    return transformer.weights_file(name)
