"""The machine behind its serial pins, with an SDRAM that watches its rules."""

import json
import random
from dataclasses import replace
from types import SimpleNamespace

import link_faults
import linked_toy
import numpy as np
import pytest
from command_line import bitloom, complaint
from linked_toy import CONFIG, HELD, linked

from bitloom.fpga.session import machine as machines
from bitloom.fpga.session.host import LinkError
from bitloom.fpga.session.session import Session
from bitloom.golden.machine import host, jobs
from bitloom.golden.machine import program as files
from bitloom.golden.machine.compiler import compile_encoder


@pytest.fixture(scope="module")
def board():
    with linked_toy.running() as board:
        yield board


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return linked_toy.Toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(machines, "BLOCK", 64)


def checked(machine, toy, passes):
    ran = machine.run(toy.program, passes)
    ran.check(toy.sums(passes))
    assert ran.failure is None
    return ran


def test_the_image_is_loaded_once_and_sums_are_those_of_the_golden_machine(board, toy):
    words, seen = toy.program.words, []
    with linked(board.path) as machine:
        machine.begin()
        assert machine.load(words, lambda *step: seen.append(step)) == -(-len(words) // 64)
        assert seen[-1] == (4 * len(words), 4 * len(words)) and seen == sorted(seen)
        ran = checked(machine, toy, toy.passes(random.Random(1), 5))
        assert all(outcome.counters["words"] > 0 for outcome in ran.outcomes)
        assert machine.load(words) == 0
    # The next session resets the machine, and its memory keeps what it has, as it does when the board is reset.
    with linked(board.path) as machine:
        machine.begin()
        assert machine.load(words) == 0
    board.reset()
    with linked(board.path) as machine:
        machine.begin()
        assert machine.missing(words) == []
        checked(machine, toy, toy.passes(random.Random(2), 2))
        assert machine.link.repeated == 0


def test_a_block_that_differs_is_sent_again(board, toy):
    words = toy.program.words.copy()
    with linked(board.path) as machine:
        machine.begin()
        machine.load(words)
        for at in (5, 300):
            words[at] ^= np.uint64(1 << 17)
        assert machine.missing(words) == [(0, 64), (256, 64)]
        assert machine.load(words) == 2 and machine.missing(words) == []
        assert len(machine.missing(toy.program.words)) == 2
        machine.load(toy.program.words)


@pytest.mark.parametrize(("kind", "gap"), [("flipped", 3000), ("dropped", 700)])
def test_loading_goes_on_after_a_fault(board, toy, kind, gap):
    """Faults that are seldom, and faults in each second request."""
    with linked(board.path) as machine:
        machine.begin()
        machine.load(toy.program.words ^ np.uint64(1))
    proxy = link_faults.Proxy(board, random.Random(3))
    try:
        proxy.make(kind, gap)
        with linked(proxy.path, margin=0.4, retries=20) as machine:
            machine.begin()
            assert machine.load(toy.program.words) == -(-len(toy.program.words) // 64)
            proxy.make(None)
            assert machine.missing(toy.program.words) == []
            checked(machine, toy, toy.passes(random.Random(4), 1))
        assert proxy.injected > 0
    finally:
        proxy.close()


def test_loading_goes_on_where_another_host_left(board, toy):
    words = toy.program.words

    def leave(done, total):
        raise KeyboardInterrupt

    with linked(board.path) as machine:
        machine.begin()
        machine.load(words ^ np.uint64(1))
        with pytest.raises(KeyboardInterrupt):
            machine.load(words, leave)
    with linked(board.path) as machine:
        machine.begin()
        # The first request had a block of 64 words and a part of the next one.
        assert machine.load(words) == -(-len(words) // 64) - 1
        checked(machine, toy, toy.passes(random.Random(4), 1))


def test_a_reset_in_the_middle_of_a_pass(board, toy):
    with linked(board.path) as machine:
        machine.begin()
        machine.load(toy.program.words)
        passes = toy.passes(random.Random(5), 8)
        with pytest.raises(LinkError, match="does not know this session: it was reset"):
            machine.run(toy.program, passes, lambda done, total: board.reset() if done == 3 else None)
    with linked(board.path) as machine:
        machine.begin()
        assert machine.load(toy.program.words) == 0
        checked(machine, toy, passes)
        # The host leaves while a pass is under way.
        machine.link.feed({"i": machine._bytes(host.passes(passes[:1]))})
        machine.begin()
        checked(machine, toy, passes[:2])


def test_an_error_is_told_with_its_job_and_the_next_session_works(board, toy):
    program, passes = toy.program, toy.passes(random.Random(6), 2)
    at = next(i for i, job in enumerate(program.jobs) if isinstance(job, jobs.Product) and job.to == "b")
    # A job that is none; one that waits for a signal that nobody gives.
    wrong = {15: "a job that is none", jobs.encode(replace(program.jobs[at], wait=True), CONFIG.sizes): "nothing moves"}
    with linked(board.path) as machine:
        for code, message in wrong.items():
            words = program.words.copy()
            words[4 * at : 4 * at + 4] = [code >> 32 * part & 0xFFFFFFFF for part in range(4)]
            machine.begin()
            machine.load(words)
            failure = machine.run(program, passes).failure
            assert failure.startswith(f"pass 0: {message}") and ", at job " in failure
            assert failure.endswith(f" {at}") or code != 15
        machine.begin()
        machine.load(toy.program.words)
        checked(machine, toy, passes)


def test_a_memory_that_forgets_is_told():
    machine = machines.LinkedMachine.__new__(machines.LinkedMachine)
    machine.link = SimpleNamespace(name="PORT", send=lambda *given: True)
    machine.config, machine.missing = HELD.config, lambda words: [(64, 64)]
    with pytest.raises(LinkError, match="PORT does not keep what its memory is given, at word 64"):
        machine.load(np.zeros(128, np.uint64))


def test_another_machine_is_refused(toy):
    machines.check_program(HELD.config, toy.program, "PORT")
    with pytest.raises(
        ValueError, match=r"^PORT holds a machine with lanes=4 tokens=16 .* compiled for one with lanes=4 "
    ):
        machines.check_program(replace(HELD.config, tokens=16), toy.program, "PORT")
    with pytest.raises(ValueError, match="id_bits must be at least 7 for 68 ids, not the 6 of PORT"):
        machines.check_program(replace(HELD.config, id_bits=6), toy.program, "PORT")
    rtl = SimpleNamespace(where="rtl", _require=lambda *names: None)
    with pytest.raises(ValueError, match="must run on twin or a serial port here, not on rtl"):
        Session.machine(rtl, toy.program)
    with Session("twin", "ovp-decoder") as session, pytest.raises(ValueError, match="needs the core machine"):
        session.machine(toy.program)


def test_a_twin_has_the_boards_memory_or_block_ram():
    assert "memory=sdram" in machines.twin_parameters(CONFIG.to_dict())
    few = replace(CONFIG, address_bits=9).to_dict()
    assert not any("memory" in text for text in machines.twin_parameters(few))


def test_the_command_line_at_a_port(board, toy, tmp_path):
    about = {"model": str(toy.folder), "parameters": CONFIG.to_dict()}
    (tmp_path / "toy.npz").write_bytes(files.dumps(toy.program, about))
    words = ["run", "model", "toy.npz", "red light", "blue", "--on", board.path]
    output, _ = bitloom(*words, "--batch", 2, "--json", "r.json", cwd=tmp_path)
    told = json.loads((tmp_path / "r.json").read_text())
    assert "every sum is that of the golden machine" in output and "answered in" in output
    assert told["failure"] is None and told["passes"][0]["cycles"] > 0 and told["mean_cosine"] > 0.5
    # The program of another machine is refused, and nothing is sent.
    other = replace(CONFIG, panels=32)
    (tmp_path / "toy.npz").write_bytes(files.dumps(compile_encoder(toy.encoder, other.sizes), about))
    refused = complaint(*words, cwd=tmp_path)
    assert f"{board.path} holds a machine with lanes=4 tokens=12" in refused and "compiled for one with" in refused
