"""hdl.numerals and the command line's numbers: plain digits and nothing else that Python reads as a number."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from bitloom.cli import program as cli
from bitloom.cli.numbers import Real, Whole
from bitloom.cores.catalogue import CATALOGUE
from bitloom.synth import sweep
from bitloom.testbench.payloads import parse_settings
from bitloom.tools import files, numerals

#: Python's `int` and `float` take each of them, and all but the last is 1 or 10 to them.
WRONG = ["1_0", " 1", "1 ", "+1", "١", "１", "1\n", "\u20031", ""]


@pytest.mark.parametrize("text", WRONG, ids=ascii)
def test_only_plain_digits_are_numbers(text):
    for read in (numerals.whole, numerals.real):
        with pytest.raises(ValueError, match="must be written with the digits 0 to 9, not "):
            read(text)
    with pytest.raises(ValueError, match="pairs must be 1 to 32, not "):
        CATALOGUE["ovp-decoder"].config.parse([f"pairs={text}"])
    with pytest.raises(ValueError, match="pairs"):
        sweep.plan(CATALOGUE["ovp-decoder"], [], [f"pairs=2,{text}"])
    with pytest.raises(ValueError, match="--set must be NAME=N"):
        parse_settings([f"mantissa={text}"])
    for kind in (Whole(), Whole(0, 20), Real(), Real(0, 20)):
        with pytest.raises(click.BadParameter, match="must be written with the digits 0 to 9"):
            kind.convert(text, None, None)


def test_plain_digits_are():
    assert [numerals.whole(text) for text in ("0", "7", "007", "-12")] == [0, 7, 7, -12]
    assert [numerals.real(text) for text in ("0", "-.5", "2.", "1e-3", "12.5E+1")] == [0, -0.5, 2, 0.001, 125]
    assert CATALOGUE["ovp-decoder"].config.parse(["pairs=12"]).pairs == 12
    assert parse_settings(["mantissa=12"]) == {"mantissa": 12}
    assert (Whole(0, 20).convert("12", None, None), Real(0, 20).convert("1.5", None, None)) == (12, 1.5)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "infinity", "1e", "0x1", "1.5.2"])
def test_no_other_word_is_a_number(text):
    with pytest.raises(ValueError, match=f"not '{text}'"):
        numerals.real(text)
    with pytest.raises(ValueError, match=f"not '{text}'"):
        numerals.whole(text)


def options(command, way=()):
    """Every option and argument of a command and those below, with the way to it."""
    for name, inner in getattr(command, "commands", {}).items():
        yield from options(inner, (*way, name))
    yield from ((way, parameter) for parameter in command.params)


def test_every_number_of_the_command_line_is_read_so():
    found = [
        (way, parameter.name)
        for way, parameter in options(cli.bitloom)
        if isinstance(parameter.type, click.types.IntParamType | click.types.FloatParamType)
        and not isinstance(parameter.type, Whole | Real)
    ]
    assert not found
    assert sum(isinstance(parameter.type, Whole | Real) for _, parameter in options(cli.bitloom)) > 20


@pytest.mark.parametrize("words", [["sim"], ["train", "bdwp"], ["synth"], ["quantize"]], ids=" ".join)
def test_help_has_ranges_where_there_are_any(words):
    text = CliRunner().invoke(cli.bitloom, [*words, "--help"]).output
    # The integers of `quantize` have no ends that the command line knows.
    assert ("x>" in text) == (words != ["quantize"])
    assert "None" not in text


def test_a_file_of_other_digits_is_no_open_file():
    assert files.descriptor(Path("/dev/fd/1")) == 1
    assert files.descriptor(Path("/dev/fd/١")) is None
