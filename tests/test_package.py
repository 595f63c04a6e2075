"""What is packed: all that the repository holds, under a name that is ours."""

import importlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from checkout import ROOT, TRACKED, in_a_checkout

ROOMS = ("cli", "compare", "cores", "fpga", "golden", "hdl", "synth", "testbench", "tools")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """What `python -m build` makes of the repository's files: the source distribution, and of that the wheel."""
    folder = tmp_path_factory.mktemp("package")
    for file in TRACKED:
        (folder / "tree" / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / file, folder / "tree" / file)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, folder / "tree"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    (source,), (wheel,) = folder.glob("*.tar.gz"), folder.glob("*.whl")
    return source, wheel


@in_a_checkout
def test_the_source_distribution_holds_all_that_the_tests_and_make_need(archives):
    with tarfile.open(archives[0]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames() if not archive.getmember(name).isdir()}
    assert {*TRACKED} - held == {".gitignore"}
    made = {"PKG-INFO", "setup.cfg"}
    assert {name for name in held - {*TRACKED} if not name.startswith("bitloom_rtl.egg-info/")} == made


@in_a_checkout
def test_the_wheel_holds_all_of_the_package_and_nothing_else(archives):
    with zipfile.ZipFile(archives[1]) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = re.compile(rf"(?:{'|'.join(ROOMS)})/.*|[^/]*\.py|py\.typed|docs/(cores/.*|history/.*\.json)")
    # A picture is for readers of the repository.
    assert held == {f"bitloom/{file}" for file in TRACKED if modules.fullmatch(file) and not file.endswith(".png")}


@pytest.fixture
def public():
    """A folder that everybody may enter; pytest's own are one user's."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@in_a_checkout
@pytest.mark.long
def test_a_read_only_installation_works_for_another_user_in_another_folder(archives, public):
    installed, home = public / "installed", public / "home"
    home.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", installed], check=True)
    python = installed / "bin" / "python"
    (packages,) = installed.glob("lib/python3*/site-packages")
    # What bitloom needs is where the tests have it from; their own bitloom comes later on the path.
    (packages / "needed.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, archives[1]], check=True)
    before = sorted(installed.rglob("*"))
    for path in (installed, *before):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)

    def run(*command):
        path = os.pathsep.join([str(installed / "bin"), os.environ["PATH"]])
        done = subprocess.run(
            [*as_another_user(home), *map(str, command)],
            cwd=home,
            env={"HOME": str(home), "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    try:
        assert run(python, "-c", "import bitloom; print(bitloom.__file__)") == f"{packages / 'bitloom/__init__.py'}\n"
        denied = "import os, sys; sys.exit(os.access(sys.prefix, os.W_OK))"
        run(python, "-c", denied)
        assert "ovp-decoder" in run("bitloom", "list")
        assert "wrote rtl/dec.v" in run("bitloom", "generate", "ovp-decoder", "-o", "rtl/dec.v")
        run(python, "-c", "import bitloom; bitloom.core('ovp-decoder').generate('python/', name='dec')")
        assert (home / "python" / "dec.v").read_text() != ""
        assert "ovp-decoder: passed, seed 1\n" in run("bitloom", "sim", "ovp-decoder", "--vectors", 20, "--seed", 1)
        assert sorted(installed.rglob("*")) == before
        assert (home / ".cache" / "bitloom").is_dir()
    finally:
        for path in (installed, *before):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)


def as_another_user(home):
    """What begins a command of a user who may read all and write to `home` alone; nobody but root can be another."""
    if os.geteuid():
        return []
    if not shutil.which("setpriv"):
        pytest.skip("setpriv, of util-linux, is not there")
    nobody = 65534
    os.chown(home, nobody, nobody)
    kept = "-all,+dac_read_search"
    sets = [f"--{name}={kept}" for name in ("inh-caps", "ambient-caps", "bounding-set")]
    command = ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups", *sets]
    if os.stat("/dev/null").st_mode & stat.S_IWOTH:
        return command
    # In some containers /dev/null is root's alone: for this command there is another one in its place.
    null = home.with_name("null")
    if not null.exists():
        os.mknod(null, stat.S_IFCHR, os.makedev(1, 3))
        null.chmod(0o666)
    return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /dev/null && exec "$@"', str(null), *command]


@in_a_checkout
def test_nobody_is_told_to_install_another_project():
    assert PROJECT["project"]["name"] == "bitloom-rtl"
    assert PROJECT["project"]["scripts"] == {"bitloom": "bitloom.__main__:main"}
    told = re.compile(r"pip install [^`\n]*\bbitloom(?!-rtl)\b")
    texts = [file for file in TRACKED if Path(file).suffix in (".py", ".md", ".toml", "") and file != "LICENSE"]
    assert [file for file in texts if told.search((ROOT / file).read_text())] == []


def test_programs_of_the_tests_import_what_is_there():
    """Those in strings too, which no import of the test itself would miss."""
    wrong = set()
    for path in (ROOT / "tests").rglob("*.py"):
        for package, names in re.findall(r"from (bitloom[\w.]*) import (\w+(?:, *\w+)*)", path.read_text()):
            for name in re.split(", *", names):
                try:
                    if not hasattr(importlib.import_module(package), name):
                        importlib.import_module(f"{package}.{name}")
                except ImportError:
                    wrong.add(f"{path.name}: from {package} import {name}")
    assert wrong == set()
