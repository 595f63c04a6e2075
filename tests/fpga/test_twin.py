# amaranth: UnusedElaboratable=no
"""The Verilated board top behind its pseudo-terminal, the self-test, and the command line on both."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from link_model import Board, served

from bitloom.cli import program as cli
from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.fpga.link import protocol
from bitloom.fpga.session import held_core, linked, selftest, twin
from bitloom.fpga.session.host import Link, LinkError, open_port
from bitloom.golden.olive import ovp

DECODER = lookup("ovp-decoder")
DECODER_HELD = held_core.expected(DECODER, DECODER.config())


def program(core, config):
    return twin.build(*held_core.twin_top(core, config), held_core.TWIN_DIVISOR)


@pytest.fixture(scope="module")
def decoder():
    with twin.start(program(DECODER, DECODER.config())) as board:
        yield board


def session(board, channels=DECODER_HELD.channels, **options):
    return Link(open_port(board.path, held_core.TWIN_BAUD), channels, **{"margin": 1.0} | options)


def codes(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 1)).astype(np.uint8)


def test_a_decoder_behind_its_pins(decoder):
    found = codes(3000)
    rows = np.hstack([found, np.zeros_like(found)])
    with session(decoder) as link:
        assert link.hello(DECODER_HELD.identity) == DECODER_HELD.identity
        result = linked.run_on(link, DECODER_HELD.identity, DECODER, DECODER.config(), {"i": rows})
    assert (result.passed, result.checked, result.transfers) == (True, "golden model", 3000)
    # Once more by hand: exponent and integer of both values, the first one lowest.
    integers, exponents = ovp.decode(found, DECODER.config().format)
    words = [int.from_bytes(result.outputs["o"][at : at + 3], "little") for at in range(0, 9000, 3)]
    for word, pair in zip(words, zip(exponents, integers, strict=True), strict=True):
        for side in range(2):
            value = word >> 8 * side & 255
            assert (value & 15, (value >> 4 ^ 8) - 8) == (pair[0][side], pair[1][side])


def test_a_result_that_differs_is_told(decoder, monkeypatch):
    monkeypatch.setitem(linked.GOLDEN, "ovp-decoder", lambda *inputs: ([1] * 4, {"illegal": 0}))
    with session(decoder) as link:
        result = linked.run_on(
            link, DECODER_HELD.identity, DECODER, DECODER.config(), {"i": np.zeros((4, 2), np.uint8)}
        )
    assert (result.passed, result.outputs) == (False, None)
    assert (
        result.failure == "4 of 4 payloads of stream o differ, the first one is number 0: expected 000001, got 000000"
    )
    monkeypatch.setitem(linked.GOLDEN, "ovp-decoder", lambda *inputs: ([0] * 4, {"illegal": 1}))
    with session(decoder) as link:
        result = linked.run_on(
            link, DECODER_HELD.identity, DECODER, DECODER.config(), {"i": np.zeros((4, 2), np.uint8)}
        )
    assert result.failure == "flag illegal is 0, expected 1"


def test_a_reset_forgets_the_session_and_the_next_one_works(decoder):
    with session(decoder) as link:
        link.hello()
        decoder.reset()
        with pytest.raises(LinkError, match="does not know this session: it was reset"):
            link.exchange({"i": bytes(200)}, {"o": 300})
    with session(decoder) as link:
        link.hello()
        assert link.exchange({"i": bytes(200)}, {"o": 300}).outputs["o"] == bytes(300)


def processor_ticks(pid):
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))


def test_an_idle_twin_sleeps(decoder):
    with session(decoder) as link:
        link.hello()
        deadline = time.monotonic() + 20
        ticks = [processor_ticks(decoder.pid), -1]
        # Until it has gone to sleep: it goes on for a while after the last bit.
        while ticks[-1] != ticks[-2] and time.monotonic() < deadline:
            time.sleep(0.5)
            ticks.append(processor_ticks(decoder.pid))
        time.sleep(1)
        assert processor_ticks(decoder.pid) == ticks[-1]
        assert link.hello()


def test_a_twin_ends_with_its_block_and_its_port_is_gone():
    with twin.start(program(DECODER, DECODER.config())) as board:
        link = session(board)
        link.hello()
    assert not Path(f"/proc/{board.pid}").exists()
    with link, pytest.raises(LinkError, match="is gone in the middle"):
        link.hello()


_PARENT = """
import sys, time
from pathlib import Path
from bitloom.fpga.session import twin
with twin.start(Path(sys.argv[1])) as board:
    print(board.pid, flush=True)
    time.sleep(60)
"""


def test_a_twin_dies_with_its_parent():
    command = [sys.executable, "-c", _PARENT, str(program(DECODER, DECODER.config()))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


def test_two_hosts_cannot_have_one_board(decoder):
    with session(decoder) as link:
        link.hello()
        with pytest.raises(LinkError, match="is in use by another program"):
            open_port(decoder.path)


# The self-test


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_bench_can_be_recorded(name):
    core = CATALOGUE[name]
    recorded = selftest.record(core, core.config.parse(core.small), 20, 1)
    assert recorded.missing == []
    assert sum(phase.vectors for phase in recorded.phases) >= 20
    assert all(phase.reset for phase in recorded.phases[:1]) or recorded.phases[0].cut is None
    for phase, following in zip(recorded.phases, recorded.phases[1:], strict=False):
        assert phase.cut is None or following.reset


def test_the_same_seed_records_the_same():
    first, second, third = (selftest.record(DECODER, DECODER.config(), 50, seed).phases for seed in (1, 1, 2))
    assert [phase.inputs for phase in first] == [phase.inputs for phase in second]
    assert [phase.inputs for phase in first] != [phase.inputs for phase in third]
    for numbers in ({"vectors": 0, "seed": 1}, {"vectors": 1, "seed": -1}):
        with pytest.raises(ValueError, match="must be"):
            selftest.record(DECODER, DECODER.config(), **numbers)


def test_selftest_of_the_decoder(decoder):
    recorded = selftest.record(DECODER, DECODER.config(), 100, 1)
    seen = []
    with session(decoder) as link:
        result = selftest.replay(link, recorded, DECODER_HELD.identity, lambda *step: seen.append(step))
    whole = [phase for phase in recorded.phases if phase.cut is None]
    total = sum(len(phase.outputs) for phase in whole)
    assert result.passed and result.failure is None and result.mismatches == 0
    assert (result.transfers, result.phases, result.vectors) == (total, len(whole), 100)
    assert result.cut == len(recorded.phases) - len(whole) > 0 and seen[-1] == (total, total)


def as_rows(items, size):
    return np.frombuffer(b"".join(item.to_bytes(size, "little") for item in items), np.uint8).reshape(-1, size)


@pytest.mark.parametrize(
    "name", ["systolic-tile", *(pytest.param(n, marks=pytest.mark.long) for n in ("nm-selector", "gemm"))]
)
def test_selftest_of_cores_with_several_streams_and_settings(name):
    core = lookup(name)
    config = core.config.parse(core.small)
    there = held_core.expected(core, config)
    recorded = selftest.record(core, config, 20, 2)
    with twin.start(program(core, config)) as board, session(board, there.channels) as link:
        result = selftest.replay(link, recorded, there.identity)
        assert result.passed, result.summary()
        # Their golden models take no free payloads.
        phase = next(phase for phase in recorded.phases if phase.cut is None and len(phase.outputs) > 1)
        rows = {name: as_rows(items, there.channels.inputs[name].bytes) for name, items in phase.inputs.items()}
        result = linked.run_on(link, there.identity, core, config, rows, phase.ports)
    assert (result.passed, result.checked) == (True, "Verilated core")
    size = there.channels.outputs["o"].bytes
    assert result.outputs["o"] == as_rows(phase.outputs, size).tobytes()


class Decoder:
    """A plain model of the decoder, for boards without a simulator."""

    channels = DECODER_HELD.channels

    def reset(self):
        self.settings, self.flags = {}, 0

    def step(self, queues, give):
        waiting = queues["i"]
        if len(waiting) < 2:
            return False
        code = np.array([[waiting[0]]], np.uint8)
        fmt = DECODER.config().format
        integers, exponents = ovp.decode(code, fmt)
        values = exponents[0] | (integers[0] & 15) << 4
        if not give("o", bytes([*values.tolist(), waiting[1]])):
            return False
        self.flags |= int(ovp.illegal(code, fmt).any())
        del waiting[:2]
        return True


def _right(core, give):
    return give


def _bit(core, give):
    return lambda name, payload: give(name, bytes([payload[0] & ~16, *payload[1:]]))


def _flag(core, give):
    core.flags = 0
    return give


def _twice(core, give):
    return lambda name, payload: give(name, payload * 2 if payload[0] == 16 else payload)


def _never(core, give):
    return lambda name, payload: True


@pytest.mark.parametrize(
    "change, message",
    [
        (_right, ""),
        (_bit, "mismatches, the first in phase 'every legal code"),
        (_flag, "illegal must be True, is False"),
        (_twice, "gave more than the"),
        (_never, "the core hangs: i took"),
    ],
)
def test_selftest_finds_a_wrong_core(change, message):
    class Altered(Decoder):
        def step(self, queues, give):
            moved = super().step(queues, change(self, give))
            change(self, give)
            return moved

    told = DECODER_HELD.identity
    board = Board(Altered(), protocol.identity(told["core"], told["parameters"], told["build"]))
    recorded = selftest.record(DECODER, DECODER.config(), 20, 1)
    options = {"patience": 0.2, "margin": 1.0}
    with served(board) as path, Link(open_port(path), DECODER_HELD.channels, **options) as link:
        result = selftest.replay(link, recorded, told)
        assert result.passed == (not message) and message in result.summary()
        with pytest.raises(LinkError, match="a build of ovp-decoder that is not this one's"):
            selftest.replay(link, recorded, told | {"build": "0" * 16})


# The command line


@pytest.fixture
def bitloom(tmp_path, monkeypatch, capsys):
    """The command line in this process, in a folder of its own; its output, or the one line of a wrong request."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.signal, "signal", lambda number, handler: None)

    def run(*words, status=0):
        monkeypatch.setattr(sys, "argv", ["bitloom", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        output, error = capsys.readouterr()
        assert ended.value.code == status, f"{words}: {ended.value.code}\n{output}\n{error}"
        if status:
            assert output == "" and error.count("\n") == 1
        return error if status else output

    return run


def test_run_a_core_on_rtl_on_the_twin_and_on_a_port(bitloom, tmp_path, decoder):
    found = codes(500, seed=4)[:, 0]
    np.save(tmp_path / "A.npy", found.astype(np.int64))
    np.save(tmp_path / "rows.npy", np.stack([found, 0 * found], axis=1))
    for where, file in (("rtl", "A"), ("twin", "A"), (decoder.path, "rows")):
        words = ["--on", where, "--in", f"{file}.npy", "--out", f"new/{file}.npy", "--json", "r.json"]
        output = bitloom("run", "ovp-decoder", *words, "--baud", held_core.TWIN_BAUD)
        assert "equals the golden model" in output and f"wrote new/{file}.npy" in output
        told = json.loads((tmp_path / "r.json").read_text())
        assert told["passed"] and told["transfers"] == 500 and told["on"] == where
    numbers, rows = np.load(tmp_path / "new/A.npy"), np.load(tmp_path / "new/rows.npy")
    assert (numbers.dtype, rows.dtype, rows.shape) == (np.uint64, np.uint8, (500, 3))
    assert [int.from_bytes(row.tobytes(), "little") for row in rows] == numbers.tolist()
    (tmp_path / "new/rows.npy").unlink()
    words = ["--on", decoder.path, "--in", "i=rows.npy", "--out", "new/rows.npy", "--no-check", "--baud", "1000000"]
    assert re.search(r"check +none", bitloom("run", "ovp-decoder", *words))
    assert (np.load(tmp_path / "new/rows.npy") == rows).all()


def test_run_matmul_on_the_twin(bitloom, tmp_path):
    rng = np.random.default_rng(1)
    a, w = rng.integers(-128, 128, (5, 4)), rng.integers(-128, 128, (4, 7))
    np.save(tmp_path / "A.npy", a), np.save(tmp_path / "W.npy", w)
    tile = [word for parameter in lookup("systolic-tile").small for word in ("-p", parameter)]
    words = ["run", "matmul", "--on", "twin", "--format", "int8", *tile, "A.npy", "W.npy", "-o", "Y.npy"]
    output = bitloom(*words)
    assert re.search(r"check +passed", output)
    found = np.load(tmp_path / "Y.npy")
    assert found.dtype == np.int64 and (found == a @ w).all()


def test_selftest_on_a_port_takes_the_core_that_is_there(bitloom, decoder, tmp_path):
    words = ["--on", decoder.path, "--baud", held_core.TWIN_BAUD, "--vectors", "50", "--seed", "3"]
    output = bitloom("selftest", *words, "--json", tmp_path / "r.json")
    build = DECODER_HELD.identity["build"]
    assert output.startswith(f"ovp-decoder on {decoder.path}, build {build}: passed, seed 3\n")
    assert "not compared: stalls" in output
    told = json.loads((tmp_path / "r.json").read_text())
    assert told["passed"] and told["core"] == "ovp-decoder" and told["vectors"] == 50


@pytest.mark.parametrize(
    "words, message",
    [
        (
            ["run", "ovp-encoder", "--in", "A.npy", "-o", "Y.npy"],
            "holds ovp-decoder, not ovp-encoder: flash that first",
        ),
        (
            ["run", "ovp-decoder", "-p", "pairs=2", "--in", "A.npy", "-o", "Y.npy"],
            "holds ovp-decoder with its default parameters, not with pairs=2",
        ),
        (["run", "matmul", "A.npy", "A.npy", "-o", "Y.npy"], "holds ovp-decoder, not gemm"),
        (["selftest", "systolic-tile"], "holds ovp-decoder, not systolic-tile"),
    ],
)
def test_a_board_with_something_else_is_refused(words, message, bitloom, decoder, tmp_path):
    np.save(tmp_path / "A.npy", np.zeros((3, 3), int))
    error = bitloom(*words, "--on", decoder.path, "--baud", held_core.TWIN_BAUD, status=2)
    assert message in error
    assert [path.name for path in tmp_path.iterdir()] == ["A.npy"]


@pytest.mark.parametrize(
    "words, message",
    [
        (["run", "ovp-decoder", "--in", "none.npy"], "none.npy: No such file or directory"),
        (["run", "ovp-decoder"], "the core's input streams are i: give --in FILE"),
        (["run", "systolic-tile", "--in", "A.npy"], "input streams are a, w: give --in a=FILE --in w=FILE"),
        (
            ["run", "ovp-decoder", "--in", "A.npy"],
            "rows of 2 bytes, uint8, or integers of shape (N,), not int64",
        ),
        (["run", "ovp-decoder", "--in", "big.npy"], "payload 1 of stream i must have 9 bits, 512 has more"),
        (["run", "ovp-decoder", "--in", "rows.npy"], "payload 2 of stream i must have 9 bits, more are set"),
        (["run", "ovp-decoder", "--in", "floats.npy"], "not float64 of shape (3,)"),
        (
            ["run", "ovp-decoder", "--in", "ones.npy", "--set", "bias=1"],
            "unknown input 'bias' in --set",
        ),
        (["run", "ovp-decoder", "-p", "bias_port=true", "--in", "ones.npy", "--set", "bias=99"], "bias must be 0 to"),
        (["run", "ovp-decoder", "--in", "ones.npy", "--set", "bias"], "--set must be NAME=N, once for each name"),
        (["run", "ovp-decoder", "--in", "ones.npy", "--in", "ones.npy"], "--in must be NAME=FILE for each of several"),
        (["run", "ovp-decoder", "--in", "i=ones.npy", "--in", "i=ones.npy"], "--in gives stream 'i' twice"),
        (["run", "ovp-decoder", "--format", "int8", "--in", "ones.npy"], "No such option '--format'"),
        (["run", "ovp-decoder", "ones.npy"], "Got unexpected extra argument (ones.npy)"),
        (["run", "matmul", "--format", "int8", "A.npy"], "Missing argument 'W'"),
        (["run", "matmul", "A.npy", "A.npy"], "--format must be given on rtl"),
        (["run", "matmul", "--format", "int8", "--in", "A.npy", "A.npy", "A.npy"], "No such option '--in'"),
        (["run", "gemm", "--format", "int8", "A.npy"], "Missing argument 'W'"),
        (["run", "gemm", "--format", "int8", "--in", "A.npy", "A.npy", "A.npy"], "No such option '--format'"),
        (["run", "sevedo", "A.npy"], "Missing argument 'X'"),
        (["run", "toaster", "--in", "A.npy"], "unknown core 'toaster'"),
        (["run", "ovp-decoder", "--in", "ones.npy", "--on", "/dev/ttyNONE"], "there is no port /dev/ttyNONE"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_wrong_request_prints_one_line_and_leaves_nothing(words, message, bitloom, tmp_path):
    arrays = {
        "A": np.zeros((3, 3), int),
        "big": np.array([511, 512]),
        "rows": np.array([[0, 0], [0, 1], [0, 2]], np.uint8),
        "floats": np.zeros(3),
        "ones": np.ones(3, int),
    }
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    before = sorted(tmp_path.iterdir())
    error = bitloom(*words, "-o", "Y.npy", status=2)
    assert message in error
    assert sorted(tmp_path.iterdir()) == before


def test_an_interrupt_ends_the_twin(tmp_path):
    np.save(tmp_path / "A.npy", np.zeros(2_000_000, int))
    words = ["run", "ovp-decoder", "--on", "twin", "--in", "A.npy", "-o", "Y.npy", "--no-check"]
    program(DECODER, DECODER.config())
    process = subprocess.Popen(
        [sys.executable, "-m", "bitloom", *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    deadline, children = time.monotonic() + 60, []
    while not children and time.monotonic() < deadline:
        time.sleep(0.05)
        children = [
            pid
            for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            if b"ovp_decoder_twin" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
    assert children
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert (process.returncode, error.splitlines()[-1]) == (130, "bitloom: interrupted")
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    assert [path.name for path in tmp_path.iterdir()] == ["A.npy"]
