"""Calls on a dask.distributed cluster: two workers on this machine, and all that can be wrong with it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import toy_encoder
from command_line import bitloom, complaint

from bitloom.tools import missing, pool, running

distributed = pytest.importorskip("distributed", reason="the package distributed, extra cluster, is not installed")
from bitloom.tools import cluster  # noqa: E402

# What workers import: the tests themselves are in no package.
JOBS = """
import os, signal, time
import distributed
from bitloom.tools import running

def where(seconds):
    time.sleep(seconds)
    return distributed.get_worker().address

def failing(error):
    raise error

def die(nothing):
    os.kill(os.getpid(), signal.SIGKILL)
"""

SWEEP = ["synth", "ovp-decoder", "--sweep", "pairs=1,2"]


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """A module with functions for the workers, importable here and, by PYTHONPATH, there."""
    folder = tmp_path_factory.mktemp("jobs")
    (folder / "cluster_jobs.py").write_text(JOBS)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        import cluster_jobs

        yield cluster_jobs
    del sys.modules["cluster_jobs"]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Cluster:
    """A scheduler and workers, each in processes of its own, each worker with a cache of its own."""

    def __init__(self, folder, path):
        self.folder, self.path = folder, path
        self.address = f"tcp://127.0.0.1:{free_port()}"
        self.processes = []
        self.scheduler = self.start("scheduler", "--host", "127.0.0.1", "--port", self.address.rpartition(":")[2])

    def start(self, role, *words):
        name = f"{role}-{len(self.processes)}"
        # Dask's own commands, whose scripts need not be on PATH.
        command = [sys.executable, "-W", "default", "-m", f"distributed.cli.dask_{role}", "--no-dashboard", *words]
        environment = {**os.environ, "PYTHONPATH": str(self.path), "BITLOOM_CACHE": str(self.folder / name / "cache")}
        with open(self.folder / f"{name}.log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        self.processes.append(process)
        return process

    def add_worker(self):
        place = self.folder / f"work-{len(self.processes)}"
        return self.start("worker", self.address, "--nthreads", "1", "--local-directory", str(place))

    def await_workers(self, count):
        with cluster.connected(self.address) as client:
            client.wait_for_workers(count, timeout=120)

    def stop(self):
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.fixture
def started(tmp_path, jobs, monkeypatch):
    """A cluster that a test may break; its scheduler answers."""
    (tmp_path / "cluster").mkdir()
    made = Cluster(tmp_path / "cluster", Path(jobs.__file__).parent)
    monkeypatch.setattr(cluster, "PATIENCE", 60)
    try:
        yield made
    finally:
        made.stop()


# -- without a cluster -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nowhere", "missing port number"),
        ("127.0.0.1:port", "invalid literal"),
        ("http://127.0.0.1:8786", "unknown address scheme 'http'"),
        ("tls://127.0.0.1:8786", "TLS expects"),
        ("", "missing port number"),
    ],
)
def test_an_address_that_is_none(address, message, tmp_path):
    said = complaint(*SWEEP, "--scheduler", address, "--plot", "a.png", cwd=tmp_path)
    assert said.startswith(f"bitloom: no dask scheduler at {address!r}, as tcp://HOST:PORT: ") and message in said
    assert [*tmp_path.iterdir()] == []


def test_nobody_listens(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 2)
    address = f"127.0.0.1:{free_port()}"
    assert "Connection refused" in complaint(*SWEEP, "--scheduler", address, cwd=tmp_path)


def test_what_listens_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        said = complaint(*SWEEP, "--scheduler", address, cwd=tmp_path)
    assert said.startswith(f"bitloom: no dask scheduler at {address!r}")


def test_jobs_are_processes_of_this_machine(tmp_path):
    said = complaint(*SWEEP, "--scheduler", "127.0.0.1:8786", "--jobs", "2", cwd=tmp_path)
    assert said == "bitloom: jobs are processes of this machine: a cluster has the workers that it has"
    said = complaint("synth", "ovp-decoder", "--scheduler", "127.0.0.1:8786", cwd=tmp_path)
    assert said.startswith("bitloom: --scheduler needs --sweep")


@pytest.fixture
def worker(monkeypatch):
    """This process as a worker."""
    monkeypatch.setattr(cluster.distributed, "get_worker", lambda: SimpleNamespace(address="tcp://w:1"))


@pytest.mark.parametrize("what", ["bitloom's version", "bitloom's code", "Python", "NumPy", "file"])
def test_a_worker_that_has_something_else_refuses(what, worker, tmp_path):
    file = tmp_path / "own.py"
    file.write_text("ROWS = []")
    ours = cluster._surroundings([str(file)])
    assert cluster._work(ours, [str(file)], divmod, (7, 2)) == (3, 1)
    what = str(file) if what == "file" else what
    message = f"{what} is {ours[what]} on the worker tcp://w:1, other here: it must be the same"
    with pytest.raises(ValueError, match="must be the same") as caught:
        cluster._work(ours | {what: "other"}, [str(file)], divmod, (7, 2))
    assert str(caught.value) == message
    file.unlink()
    with pytest.raises(ValueError, match=r"own\.py is missing on the worker tcp://w:1"):
        cluster._work(ours, [str(file)], divmod, (7, 2))


def raising(error):
    raise error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (running.ToolFailed("yosys failed"), running.ToolFailed, "yosys failed (on the worker tcp://w:1)"),
        (ValueError("7 is wrong"), ValueError, "7 is wrong (on the worker tcp://w:1)"),
        (OSError(2, "No such file", "x"), ValueError, "[Errno 2] No such file: 'x' (on the worker tcp://w:1)"),
        (
            ModuleNotFoundError(name="cocotb"),
            ValueError,
            f"the package cocotb is not installed; install it with: {missing.install('sim')} (on the worker tcp://w:1)",
        ),
    ],
)
def test_an_error_says_on_which_worker(error, kind, message, worker):
    with pytest.raises(kind) as caught:
        cluster._work(cluster._surroundings([]), [], raising, (error,))
    assert str(caught.value) == message and type(caught.value) is kind


def test_one_call_at_a_time_in_a_process(worker):
    running_now, most = [], []

    def call():
        running_now.append(1)
        most.append(len(running_now))
        time.sleep(0.02)
        running_now.pop()

    ours = cluster._surroundings([])
    threads = [threading.Thread(target=cluster._work, args=(ours, [], call, ())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1, 1, 1, 1]


# -- with one ----------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_work_on_two_workers(started, jobs, tmp_path, monkeypatch):
    started.add_worker()
    started.add_worker()
    started.await_workers(2)
    told, kept = [], {}
    with pool.pool(scheduler=started.address) as results:
        calls = dict.fromkeys(("a", "b", "c", "d"), (0.5,))
        places = results(jobs.where, calls, progress=lambda *at: told.append(at), each=kept.__setitem__)
        assert (
            len({*places}) == 2 and told == [(n, 4) for n in (1, 2, 3, 4)] and [kept[name] for name in calls] == places
        )
        for error, kind in ((ValueError("no"), ValueError), (running.ToolFailed("no"), running.ToolFailed)):
            with pytest.raises(kind, match=r"^bad: no \(on the worker tcp://127\.0\.0\.1:\d+\)$"):
                results(jobs.failing, {"bad": (error,)})
    # The same rows as on this machine, each measured by one of the workers, and kept where they were asked for.
    toy_encoder.write(tmp_path / "toy")
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path / "here"))
    words = ["compare", "toy", "--rows", "int8,mxfp4,hgq", "--inputs", "2"]
    bitloom(*words, "--scheduler", started.address, "--json", "a.json", cwd=tmp_path)
    entries = {path.name for path in started.folder.glob("worker-*/cache/compare/*.json")}
    assert entries == {path.name for path in (tmp_path / "here" / "compare").iterdir()} and len(entries) == 3
    monkeypatch.setenv("BITLOOM_CACHE", str(tmp_path / "again"))
    bitloom(*words, "--json", "b.json", cwd=tmp_path)
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads((tmp_path / "b.json").read_text())
    # A sweep, too.
    words = [*SWEEP, "--target", "ice40-up5k"]
    assert bitloom(*words, "--scheduler", started.address, cwd=tmp_path)[0] == bitloom(*words, cwd=tmp_path)[0]
    # A worker is no scheduler.
    assert "but a worker" in complaint(*words, "--scheduler", places[0], cwd=tmp_path)


@pytest.mark.long
def test_what_goes_away(started, jobs, monkeypatch):
    first = started.add_worker()
    started.await_workers(1)
    with pool.pool(scheduler=started.address) as results:
        with pytest.raises(running.ToolFailed, match=r"^bad: its worker was killed again and again"):
            results(jobs.die, {"bad": (0,)})
        monkeypatch.setattr(cluster, "PATIENCE", 10)
        threading.Timer(2, os.killpg, (first.pid, signal.SIGKILL)).start()
        with pytest.raises(running.ToolFailed, match="has no workers"):
            results(jobs.where, {"a": (60,)})
        started.add_worker()
        monkeypatch.setattr(cluster, "PATIENCE", 60)
        threading.Timer(8, os.killpg, (started.scheduler.pid, signal.SIGKILL)).start()
        begun = time.monotonic()
        with pytest.raises(running.ToolFailed, match=f"^the scheduler at {started.address} went away"):
            results(jobs.where, {"a": (60,)})
        assert time.monotonic() - begun < 50


@pytest.mark.long
def test_an_interrupt_is_one_line(started, tmp_path):
    started.add_worker()
    started.await_workers(1)
    words = ["synth", "systolic-tile", "--sweep", "rows=4,8", "-p", "cols=8", "--scheduler", started.address]
    command = [sys.executable, "-m", "bitloom", *words]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 120
    begun = started.folder / "worker-1" / "cache" / "synth" / "work"
    while not (begun.is_dir() and any(begun.iterdir())) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert any(begun.iterdir()), "no tool was ever started"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error.splitlines()[-1]) == (130, "bitloom: interrupted") and "Traceback" not in error
