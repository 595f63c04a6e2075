"""hdl.files: outputs that are no plain files, links, modes, long names; and that nothing is written half."""

import contextlib
import errno
import json
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate
from bitloom.fpga.bitstream import build
from bitloom.fpga.bitstream.boards import BOARDS
from bitloom.golden.workloads import checkpoint
from bitloom.tools import files

NAME_MAX = 255


def bitloom(*words, **options):
    done = subprocess.run([sys.executable, "-m", "bitloom", *map(str, words)], stderr=subprocess.PIPE, **options)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def verilog():
    core = lookup("ovp-decoder")
    return generate(core, core.config()).verilog.encode()


@contextlib.contextmanager
def reading(pipe):
    """What comes out of a named pipe, in a list."""
    found = []
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()), daemon=True)
    reader.start()
    yield found
    reader.join(10)


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    target = tmp_path / "real" / "x.v"
    target.parent.mkdir()
    target.write_text("old")
    before = target.stat().st_ino
    link = tmp_path / "x.v"
    link.symlink_to("real/x.v")
    files.atomic_write(link, "new")
    assert (link.is_symlink(), target.read_text()) == (True, "new")
    assert target.stat().st_ino != before
    assert [*target.parent.iterdir()] == [target] and [*tmp_path.glob(".*")] == []


def test_a_link_to_nothing_makes_its_target(tmp_path):
    (tmp_path / "x").symlink_to("folder/y")
    files.check_writable(tmp_path / "x")
    files.atomic_write(tmp_path / "x", "new")
    assert (tmp_path / "folder" / "y").read_text() == "new" and (tmp_path / "x").is_symlink()


def test_links_in_a_circle_are_refused(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for refuse in (files.check_writable, lambda path: files.atomic_write(path, "")):
        with pytest.raises(OSError) as error:
            refuse(tmp_path / "a")
        assert (error.value.errno, error.value.filename) == (errno.ELOOP, str(tmp_path / "a"))
    assert (tmp_path / "a").is_symlink()


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755, 0o666])
def test_the_mode_and_the_owner_of_a_file_are_kept(mode, tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    if os.geteuid() == 0:
        os.chown(path, 12345, 54321)
    path.chmod(mode)
    before = path.stat()
    files.atomic_write(path, "new")
    after = path.stat()
    assert path.read_text() == "new"
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)


def test_a_new_file_has_the_mode_of_a_new_file(tmp_path):
    old = os.umask(0o027)
    try:
        files.atomic_write(tmp_path / "x", "")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_an_owner_that_cannot_be_kept_is_no_error(tmp_path, monkeypatch):
    (tmp_path / "x").write_text("old")

    def refuse(path, owner, group):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(files.os, "chown", refuse)
    files.atomic_write(tmp_path / "x", "new")
    assert (tmp_path / "x").read_text() == "new"


@pytest.mark.parametrize("name", ["x", "link"])
def test_a_pipe_is_written_through(name, tmp_path):
    os.mkfifo(tmp_path / "x")
    (tmp_path / "link").symlink_to("x")
    files.check_writable(tmp_path / name)
    with reading(tmp_path / "x") as found:
        files.atomic_write(tmp_path / name, "text")
    assert found == [b"text"]
    assert stat.S_ISFIFO((tmp_path / "x").stat().st_mode) and len([*tmp_path.iterdir()]) == 2


def test_a_device_is_written_through():
    # A terminal of our own: in its folder no file can be made, so that a fault could not break the machine.
    near, far = os.openpty()
    try:
        path = os.ttyname(far)
        files.check_writable(path)
        files.atomic_write(path, "text")
        assert os.read(near, 100) == b"text"
        assert stat.S_ISCHR(os.stat(path).st_mode)
    finally:
        os.close(near)
        os.close(far)


def test_an_error_while_writing_names_the_path():
    near, far = os.pipe()
    os.close(near)
    path = f"/dev/fd/{far}"
    with pytest.raises(BrokenPipeError) as error:
        files.atomic_write(path, "text")
    os.close(far)
    assert error.value.filename == path


def test_an_open_file_is_written_to_where_it_is(tmp_path):
    with open(tmp_path / "x", "w+") as file:
        file.write("before ")
        file.flush()
        files.check_writable(f"/dev/fd/{file.fileno()}")
        files.atomic_write(f"/dev/fd/{file.fileno()}", "text")
        file.write(" after")
        number = file.fileno()
    assert (tmp_path / "x").read_text() == "before text after"
    with pytest.raises(OSError) as error:
        files.check_writable(f"/dev/fd/{number}")
    assert (error.value.errno, error.value.filename) == (errno.EBADF, f"/dev/fd/{number}")


def test_what_is_a_plain_file(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    assert files.is_plain(tmp_path / "new") and files.is_plain(__file__) and files.is_plain(tmp_path / "link")
    assert not any(map(files.is_plain, (tmp_path, tmp_path / "pipe", "/dev/null", "/dev/stdout", "/dev/fd/7")))


def test_names_up_to_the_limit_and_not_beyond(tmp_path):
    path = tmp_path / ("x" * NAME_MAX)
    files.check_writable(path)
    files.atomic_write(path, "text")
    assert [*tmp_path.iterdir()] == [path]
    for wrong in (tmp_path / "y" / ("x" * (NAME_MAX + 1)), tmp_path / ("x" * (NAME_MAX + 1)) / "y"):
        with pytest.raises(OSError) as error:
            files.check_writable(wrong)
        assert error.value.errno == errno.ENAMETOOLONG
        with pytest.raises(OSError, match="name too long"):
            files.atomic_write(wrong, "text")
    assert [*tmp_path.iterdir()] == [path]


def test_what_cannot_be_written_is_refused_before(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("old")
    with pytest.raises(IsADirectoryError):
        files.check_writable(tmp_path)
    with pytest.raises(NotADirectoryError, match=r"file'$"):
        files.check_writable(tmp_path / "file" / "x" / "y")
    # A superuser may write anywhere.
    monkeypatch.setattr(files.os, "access", lambda path, mode: False)
    for path in ("file", "new", "deep/new"):
        with pytest.raises(PermissionError):
            files.check_writable(tmp_path / path)
        with pytest.raises(PermissionError):
            files.atomic_write(tmp_path / path, "new")
    assert [*tmp_path.iterdir()] == [tmp_path / "file"] and (tmp_path / "file").read_text() == "old"


def test_a_file_in_a_folder_that_may_not_be_written_is_written_in_place(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_text("old")
    before = path.stat().st_ino
    monkeypatch.setattr(files.os, "access", lambda asked, mode: Path(asked) == path)
    files.check_writable(path)
    files.atomic_write(path, "new")
    assert (path.read_text(), path.stat().st_ino) == ("new", before)


def test_a_block_that_fails_or_makes_nothing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as beside:
        beside.write_text("half")
        raise KeyboardInterrupt
    with files.replacing(path):
        pass
    assert path.read_text() == "old" and [*tmp_path.iterdir()] == [path]


# What may rename or write by itself: files of the cache and of folders that are thrown away, bytes in memory.
WRITERS = {
    "tools/files.py",
    "fpga/bitstream/build.py",
    "golden/archive.py",
    "golden/workloads/safetensors.py",
    "golden/sevedo/layer.py",
    "tools/pictures.py",
    "tools/running.py",
    "tools/wasm.py",
    "testbench/bench.py",
    "testbench/formal.py",
    "testbench/payload_files.py",
    "testbench/runner.py",
    "testbench/verilator.py",
}


def test_nothing_else_writes_by_a_way_of_its_own():
    ways = re.compile(r"""os\.rename|os\.replace|\.rename\(|savefig|np\.save|open\([^)]*, *["'][rbt]*[wax+]|mkstemp""")
    root = Path(files.__file__).parents[1]
    packages = [path.parent for path in root.glob("*/__init__.py")]
    sources = [path for package in packages for path in package.rglob("*.py")]
    assert {str(path.relative_to(root)) for path in sources if ways.search(path.read_text())} == WRITERS


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["-", "/dev/stdout", "/dev/fd/1"])
def test_verilog_on_standard_output_and_nothing_else(output, verilog, tmp_path):
    words = ("generate", "ovp-decoder", "-o", output)
    assert bitloom(*words, cwd=tmp_path, stdout=subprocess.PIPE).stdout == verilog
    # A file behind it is neither replaced nor emptied.
    with open(tmp_path / "x", "wb") as file:
        file.write(b"before\n")
        file.flush()
        bitloom(*words, cwd=tmp_path, stdout=file)
        file.write(b"after\n")
    assert (tmp_path / "x").read_bytes() == b"before\n" + verilog + b"after\n"
    assert [*tmp_path.iterdir()] == [tmp_path / "x"]


def test_verilog_into_what_is_no_plain_file(verilog, tmp_path):
    os.mkfifo(tmp_path / "pipe.v")
    with reading(tmp_path / "pipe.v") as found:
        bitloom("generate", "ovp-decoder", "-o", "pipe.v", cwd=tmp_path)
    assert found == [verilog]
    assert [*tmp_path.iterdir()] == [tmp_path / "pipe.v"]


def test_a_file_that_is_called_minus(verilog, tmp_path):
    bitloom("generate", "ovp-decoder", "-o", "./-", cwd=tmp_path)
    assert (tmp_path / "-").read_bytes() == verilog


def test_other_commands_keep_standard_output_for_what_goes_there(tmp_path):
    words = ("search", "pwl", "--function", "gelu", "-o", "-")
    done = bitloom(*words, cwd=tmp_path, stdout=subprocess.PIPE)
    assert json.loads(done.stdout)["about"]["function"] == "x Phi(x)"
    assert b"MSE" in done.stderr and [*tmp_path.iterdir()] == []


def test_a_name_that_leaves_no_room_for_what_is_beside_is_refused_whole(tmp_path):
    words = [sys.executable, "-m", "bitloom", "generate", "ovp-decoder", "-o"]
    done = subprocess.run([*words, "x" * 251 + ".v"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "name too long" in done.stderr and done.stderr.count("\n") == 1
    assert [*tmp_path.iterdir()] == []
    done = subprocess.run([*words, "x" * 250 + ".v"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len([*tmp_path.iterdir()]) == 3


def test_a_bitstream_that_could_not_be_written_is_refused_before_it_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "_plan", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        build.build(lookup("ovp-decoder"), None, BOARDS["icebreaker"], output=tmp_path / "file" / "x.bin")
    with pytest.raises(OSError, match="name too long"):
        build.build(lookup("ovp-decoder"), None, BOARDS["icebreaker"], output=tmp_path / ("x" * 251 + ".bin"))


def test_codes_go_beside_the_weights_under_their_whole_name():
    assert checkpoint.codes_file(Path("a/m_v1.0.safetensors"), "int4.safetensors") == Path("a/m_v1.0.int4.safetensors")
    assert checkpoint.codes_file(Path("a/m_v1.0"), "sevedo.npz") == Path("a/m_v1.0.sevedo.npz")
