"""What people see: text that is not ours as it is, in every encoding of a terminal; and results are safe before."""

import codecs
import io
import os
import pty
import subprocess
import sys

import numpy as np
import pytest

from bitloom.cli import terminal
from bitloom.cli.program import bitloom as commands
from bitloom.golden.workloads import safetensors

#: Names that rich's markup would change or stumble over, and what a terminal would obey.
NAMES = ("blk[bold].w", "blk[/fp16].w", "a:smile:.w", "esc\x1b[31m.w", "two\nlines.w", "naïve…w")
SHOWN = ("blk[bold].w", "blk[/fp16].w", "a:smile:.w", r"esc\x1b[31m.w", r"two\nlines.w", "naïve…w")


def run(*words, **options):
    return subprocess.run([sys.executable, "-m", "bitloom", *map(str, words)], capture_output=True, **options)


def on_a_terminal(*words, encoding="utf-8"):
    """Exit status, and all that a terminal of 200 columns gets."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "200", "TERM": "xterm", "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "bitloom", *map(str, words)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        told = b""
        try:
            while part := os.read(ours, 1 << 16):
                told += part
        except OSError:
            pass  # How Linux says that nobody has the other end.
        finally:
            os.close(ours)
    return process.returncode, told.decode(encoding)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "w[b].safetensors"
    safetensors.save(path, {name: np.eye(4, 6, dtype=np.float32) for name in NAMES})
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "ascii"])
def test_names_are_shown_as_they_are_on_a_terminal(encoding, file, tmp_path):
    status, told = on_a_terminal(
        *("quantize", file, "--format", "int4", "-o", tmp_path / "q", "--json", tmp_path / "q.json"), encoding=encoding
    )
    assert status == 0, told
    assert "w[b].safetensors as int4" in told and "Traceback" not in told
    spelled = {"…": "..." if encoding != "utf-8" else "…", "ï": "ï" if encoding != "ascii" else r"\xef"}
    for name in SHOWN:
        wanted = "".join(spelled.get(c, c) for c in name)
        assert f" {wanted} " in told
    parts = {f"{name}.{part}" for name in NAMES for part in ("codes", "steps")}
    assert safetensors.load(tmp_path / "q").keys() == parts
    assert told.isascii() or encoding != "ascii"


def test_stages_and_bars_take_no_markup():
    """As they are in the commands: a message in brackets is neither a style nor an error."""
    program = """if True:
        import time
        from bitloom.cli import progress, terminal
        terminal.adapt()
        with progress.stages() as stage:
            stage("mapping to [/lib] …")
            time.sleep(0.3)
        with progress.bar("[bold]x") as bar:
            bar(1, 2, "layer[/0] as [red]int4")
            time.sleep(0.3)
    """
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm", "PYTHONIOENCODING": "ascii"}
    with subprocess.Popen([sys.executable, "-c", program], stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        told = b""
        try:
            while part := os.read(ours, 1 << 16):
                told += part
        except OSError:
            pass
    os.close(ours)
    assert process.returncode == 0, told
    assert b"mapping to [/lib] ..." in told and b"layer[/0] as [red]int4" in told


@pytest.mark.parametrize("setting", ["PYTHONIOENCODING=ascii", "PYTHONIOENCODING=latin-1", "LC_ALL=C"])
def test_every_help_in_every_encoding(setting):
    program = """if True:
        import sys, click
        from bitloom.cli import program as cli, terminal
        terminal.adapt()
        def show(command, words):
            for name, sub in getattr(command, "commands", {}).items():
                show(sub, [*words, name])
            with click.Context(command, info_name=" ".join(words)) as context:
                click.echo(command.get_help(context))
        show(cli.bitloom, ["bitloom"])
    """
    plain = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = {**os.environ, **plain, **dict([setting.split("=")])}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment)
    assert done.returncode == 0 and done.stderr == b"", done.stderr
    assert done.stdout.isascii() and b"[NAME=V1,V2,...]..." in done.stdout
    assert all(f"Usage: bitloom {name} ".encode() in done.stdout for name in commands.commands)


def test_errors_and_plain_tables_in_ascii(file, tmp_path):
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "C"}
    done = run("synth", "ovp-decoder", "--sweep", "--target", "ecp5-25k", env=environment)
    assert (done.returncode, done.stderr) == (2, b"bitloom: a sweep needs what to sweep, as NAME=V1,V2,...\n")
    done = run("quantize", tmp_path / "é", "--format", "int4", env=environment)
    assert done.returncode == 2 and done.stderr.isascii() and done.stderr.count(b"\n") == 1
    done = run("quantize", file, "--format", "int4", "-o", tmp_path / "é", env=environment)
    assert done.returncode == 0 and done.stdout.isascii() and (tmp_path / "é").is_file()
    # Columns are as wide as what is shown.
    rows = done.stdout.decode().splitlines()[1:8]
    assert len({row.index("4x6") for row in rows if "4x6" in row and "xef" not in row}) == 1


def test_results_are_written_before_they_are_shown(file, tmp_path):
    """Whoever reads the table may be gone: what was asked for is in the files."""
    reader, writer = os.pipe()
    os.close(reader)
    words = ["quantize", file, "--format", "int4", "-o", tmp_path / "q", "--json", tmp_path / "q.json"]
    done = subprocess.run([sys.executable, "-m", "bitloom", *map(str, words)], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.returncode == 1 and done.stderr == b""
    assert (tmp_path / "q").is_file() and (tmp_path / "q.json").is_file()


def test_printable_leaves_signs_and_escapes_the_rest():
    for name, shown in zip(NAMES, SHOWN, strict=True):
        assert terminal.printable(name) == shown
    assert terminal.printable("\x9b\u202e\udcff") == r"\x9b\u202e\udcff"


def test_what_an_encoding_lacks_is_spelled(monkeypatch):
    for encoding, shown in (
        ("ascii", rb"a... 2x3 5us -> \xe9 \u4e2d *"),
        ("latin-1", "a... 2×3 5µs -> é \\u4e2d *".encode("latin-1")),
        ("utf-8", "a… 2×3 5µs → é 中 ⠋".encode()),
    ):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        terminal.adapt()
        stream.write("a… 2×3 5µs → é 中 ⠋")
        stream.flush()
        assert stream.buffer.getvalue() == shown
    with pytest.raises(UnicodeDecodeError):
        codecs.decode(b"\xff", "bitloom_ascii", errors="bitloom_spelled")
