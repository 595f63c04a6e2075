"""The program's start: quick, whatever its commands need later; every command has a help of its own."""

import subprocess
import sys

import click
import pytest

from bitloom.cli.program import bitloom

#: What not all commands need, and takes long to import or is not installed by all.
LATE = {
    *("amaranth", "numpy", "importlib.metadata", "rich.table", "rich.progress"),
    *("cocotb", "cocotb_tools", "matplotlib", "serial", "z3", "amaranth_boards", "sklearn", "torch", "tokenizers"),
    *("onnx", "PIL"),
}
#: Rooms of which `bitloom list` needs nothing.
ROOMS = ("bitloom.compare", "bitloom.fpga", "bitloom.testbench", "bitloom.synth", "bitloom.golden.workloads")


def test_list_imports_nothing_that_takes_long():
    code = """if True:
        import sys
        from bitloom.__main__ import main
        try:
            main()
        except SystemExit as ended:
            assert not ended.code
        print(*sys.modules, file=sys.stderr)
    """
    done = subprocess.run([sys.executable, "-c", code, "list"], capture_output=True, text=True)
    loaded = done.stderr.split()
    assert done.returncode == 0 and "bitloom.cores.entries" in loaded
    assert [name for name in loaded if {name, name.partition(".")[0]} & LATE or name.startswith(ROOMS)] == []


def commands(command, way=()):
    yield way, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*way, name))


@pytest.mark.parametrize("way, command", [pytest.param(*c, id=" ".join(c[0])) for c in commands(bitloom) if c[0]])
def test_every_command_has_a_help_with_an_example(way, command):
    with click.Context(command, info_name=" ".join(("bitloom", *way))) as context:
        text = command.get_help(context)
    example = text.partition("Example:\n")[2].split()
    # An example of a core's command names a core.
    known = [word for word in way if word != "CORE"]
    assert example[: 1 + len(known)] == ["bitloom", *known]
    assert command.help and command.get_short_help_str(200).endswith(".")
