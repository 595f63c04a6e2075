"""The host's side of the link against a second, plain model of the board's side, and against ports that fail."""

import itertools
import os
import random
import threading
import time
import tty

import pytest
import serial
from link_model import ADDER, Adder, Board, expected, served

from bitloom.fpga.link import protocol
from bitloom.fpga.link.protocol import Frame
from bitloom.fpga.session import host
from bitloom.fpga.session.host import Link, LinkError, check_identity, open_port

IDENTITY = {"link": 1, "core": "adder", "parameters": ["width=12"], "build": "0123456789abcdef"}
BAUD = 921_600


def board(core=None, seed=0):
    told = protocol.identity(IDENTITY["core"], IDENTITY["parameters"], IDENTITY["build"])
    return Board(core or Adder(), told, seed)


def linked(path, **options):
    return Link(open_port(path, BAUD), ADDER, **{"margin": 0.1, "patience": 0.3} | options)


def numbers(count, seed=0):
    rng = random.Random(seed)
    a, w = ([rng.randrange(1 << bits) for _ in range(count)] for bits in (12, 8))
    return a, w, {"a": b"".join(x.to_bytes(2, "little") for x in a), "w": bytes(w)}


@pytest.mark.parametrize("seed", range(3))
def test_streams_settings_and_flags(seed):
    a, w, inputs = numbers(700, seed)
    with served(board(seed=seed)) as path, linked(path) as link:
        assert link.hello(IDENTITY) == IDENTITY
        link.set(bias=9)
        seen = []
        moved = link.exchange(inputs, {"o": 1400}, lambda *step: seen.append(step))
        assert moved.failure is None and moved.outputs == {"o": expected(a, w, bias=9)}
        assert link.flags == {"carry": any(x + y + 9 > 4095 for x, y in zip(a, w, strict=True))}
        assert seen[-1] == (1400, 1400) and seen == sorted(seen)
        link.set(invert=1)
        assert link.exchange(inputs, {"o": 1400}).outputs["o"] == expected(a, w, invert=1)
        assert link.hello()["core"] == "adder" and link.flags == {}
        assert link.exchange(inputs, {"o": 1400}).outputs["o"] == expected(a, w)
        assert link.repeated == 0


def test_outputs_are_taken_late():
    a, w, inputs = numbers(1500)
    this = board()
    moves, move = [], this._move

    def noted(source, sink, data):
        told = move(source, sink, data)
        moves.append((sink, int.from_bytes(told[:2], "little")))
        return told

    this._move = noted
    with served(this) as path, linked(path) as link:
        link.hello()
        assert link.exchange(inputs, {"o": 3000}, late=True).outputs["o"] == expected(a, w)
    # Up to the last byte that was sent, nothing is asked for after a request of which the board took something.
    sending = moves[: 1 + max(at for at, (_, taken) in enumerate(moves) if taken)]
    assert all(sink is None for (_, taken), (sink, _) in itertools.pairwise(sending) if taken)
    assert any(sink is not None for sink, _ in sending)


def test_more_than_256_requests():
    a, w, inputs = numbers(3000)
    this = board()
    asked = []
    answer = this._answer
    this._answer = lambda frame: asked.append(frame.sequence) or answer(frame)
    with served(this) as path, linked(path) as link:
        link.hello()
        assert link.exchange(inputs, {"o": 6000}).outputs["o"] == expected(a, w)
    assert len(asked) > 300 and asked == [number % 256 for number in range(len(asked))]


def test_outputs_of_unknown_length_end_when_nothing_moves():
    a, w, inputs = numbers(100)
    with served(board()) as path, linked(path) as link:
        link.hello()
        moved = link.exchange(inputs, {"o": None})
        assert (moved.failure, moved.outputs["o"]) == (None, expected(a, w))


def test_a_core_that_gives_too_little_or_too_much():
    a, w, inputs = numbers(10)
    with served(board()) as path, linked(path) as link:
        link.hello()
        moved = link.exchange(inputs, {"o": 22})
        assert moved.failure == "the core hangs: a took 20 of 20 bytes, w took 10 of 10 bytes, o gave 20 of 22"
        assert moved.outputs["o"] == expected(a, w)
        link.hello()
        failure = link.exchange(inputs, {"o": 18}).failure
        assert failure == "the core gave more than the 18 bytes of stream o that must come"
        # One input missing: the other one fills its queue and stops.
        link.hello()
        failure = link.exchange({"a": bytes(2000)}, {"o": 2000}).failure
        assert failure == "the core hangs: a took 512 of 2,000 bytes, o gave 0 of 2,000"


def test_a_busy_core_is_left_by_the_next_session():
    a, w, inputs = numbers(50)
    with served(board()) as path, linked(path) as link:
        link.hello()
        link.feed({"a": inputs["a"], "w": inputs["w"][:20]}, requests=3)
        link.hello()
        assert link.exchange(inputs, {"o": 100}).outputs["o"] == expected(a, w)


def broken(every, how):
    """Changes one byte in `every` of a board's answers."""
    count = 0

    def mangle(data):
        nonlocal count
        out = bytearray()
        for byte in data:
            count += 1
            out += how(byte) if count % every == 0 else bytes([byte])
        return bytes(out)

    return mangle


@pytest.mark.parametrize(
    "how",
    [
        lambda byte: bytes([byte ^ 16]),
        lambda byte: b"",
        lambda byte: bytes([byte, byte]),
        lambda byte: bytes([byte, protocol.FLAG]),
        lambda byte: bytes([protocol.ESCAPE]),
    ],
    ids=["flip", "drop", "double", "flag", "escape"],
)
def test_damaged_answers_are_asked_for_again(how):
    a, w, inputs = numbers(200)
    with served(board(), broken(397, how)) as path, linked(path) as link:
        link.hello()
        assert link.exchange(inputs, {"o": 400}).outputs["o"] == expected(a, w)
        assert link.repeated > 0


def test_answers_that_are_lost_and_answers_that_come_twice_change_nothing():
    a, w, inputs = numbers(200)
    turn = 0

    def mangle(data):
        nonlocal turn
        turn += 1
        return data * (turn % 3)

    with served(board(), mangle) as path, linked(path, margin=0.02) as link:
        link.hello()
        assert link.exchange(inputs, {"o": 400}).outputs["o"] == expected(a, w)
        assert link.repeated > 0


def test_answers_to_another_session_are_passed_over():
    answers = [
        Frame(kind | protocol.ANSWER, 0, session=1234, payload=b"\1") for kind in (protocol.HELLO, protocol.FAULT)
    ]
    stale = b"".join(frame.to_bytes() for frame in answers)
    a, w, inputs = numbers(20)
    with served(board(), lambda data: stale + data) as path, linked(path) as link:
        link.hello()
        assert link.exchange(inputs, {"o": 40}).outputs["o"] == expected(a, w)


def test_a_board_that_was_reset_is_an_error_and_the_next_run_works():
    a, w, inputs = numbers(300)
    this = board()
    with served(this) as path:
        with linked(path) as link, pytest.raises(LinkError, match=r"does not know this session: it was reset$"):
            link.hello()
            link.exchange(inputs, {"o": 600}, lambda done, total: done > 100 and this.power_on())
        with linked(path) as link:
            link.hello()
            assert link.exchange(inputs, {"o": 600}).outputs["o"] == expected(a, w)


def test_faults_are_told_in_words():
    this = board()
    with served(this) as path, linked(path) as link:
        link.hello()
        this.sequence = 100
        with pytest.raises(LinkError, match="the board expected another sequence number"):
            link.set(bias=1)
        link.hello()
        with pytest.raises(LinkError, match="the board does not understand the request"):
            link._ask(99, 0)


def test_a_host_that_stops_in_the_middle_does_not_harm_the_next_one():
    a, w, inputs = numbers(300)
    with served(board()) as path:
        for size in (1, 5, 14, 40):
            with open_port(path, BAUD) as port:
                # A session, and the first part of a frame.
                port.write(Frame(protocol.HELLO, session=7).to_bytes())
                frame = Frame(protocol.MOVE, 1, 0, 7, bytes(range(100)))
                port.write(frame.to_bytes() + Frame(protocol.MOVE, 2, 0, 7, b"1234567890" * 9).to_bytes()[:size])
            with linked(path) as link:
                link.hello()
                assert link.exchange(inputs, {"o": 600}).outputs["o"] == expected(a, w)


@pytest.mark.parametrize(
    "wanted, message",
    [
        ({"core": "gemm"}, "PORT holds adder, not gemm: flash that first, with `bitloom flash gemm --board B`"),
        (
            {"core": "adder", "parameters": []},
            "PORT holds adder with width=12, not with its default parameters: give these parameters, or build and",
        ),
        ({"build": "f" * 16}, "PORT holds a build of adder that is not this one's (0123456789abcdef, here it is ffff"),
    ],
)
def test_another_bitstream_is_refused(wanted, message):
    with pytest.raises(LinkError) as caught:
        check_identity(IDENTITY, wanted, "PORT")
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    this = board()
    with served(this) as path, linked(path) as link:
        with pytest.raises(LinkError) as caught:
            link.hello(wanted)
        assert str(caught.value).startswith(message.replace("PORT", path))
    check_identity(IDENTITY, IDENTITY)


@pytest.mark.parametrize(
    "told, message",
    [
        (b'{"link":2,"core":"x"}', "speaks version 2 of the link, this bitloom version 1: build and flash again"),
        (b"\xff\xfe", "answers, but not with an identity"),
        (b"[1]", "answers, but not with an identity"),
        (b'{"link":1}', "answers, but not with an identity"),
    ],
)
def test_an_identity_that_is_none(told, message):
    this = board()
    this.identity = told
    with served(this) as path, linked(path) as link, pytest.raises(LinkError, match=message):
        link.hello()


def test_nobody_answers():
    with served(board(), lambda data: b"") as path, linked(path) as link:
        start = time.monotonic()
        with pytest.raises(LinkError, match=f"nobody answers on {path} at 921600 baud: is a bitstream of bitloom on"):
            link.hello()
        assert time.monotonic() - start < 5


def test_a_line_that_is_only_noise():
    with served(board(), lambda data: b"~no frame~") as path, linked(path, retries=3) as link:
        with pytest.raises(LinkError, match="gave no whole answer in 4 attempts: is the line good"):
            link.hello()
        assert link.repeated == 3


def test_answers_that_make_no_sense():
    this = board()
    with served(this) as path, linked(path) as link:
        link.hello()
        this._move = lambda source, sink, data: b"\xff\xff\0"
        with pytest.raises(LinkError, match="took 65535 of 2 bytes"):
            link.exchange({"a": b"12"}, {"o": 2})
        this._move = lambda source, sink, data: b"\0"
        with pytest.raises(LinkError, match="answers a stream with 1 bytes"):
            link.exchange({"a": b"12"}, {"o": 2})


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda link: link.set(volume=1), "unknown setting 'volume': the core has bias, invert"),
        (lambda link: link.set(bias=16), "bias must be 0 to 15, not 16"),
        (lambda link: link.exchange({"b": b""}, {}), "unknown input stream 'b': the core has a, w"),
        (lambda link: link.exchange({}, {"p": 1}), "unknown output stream 'p': the core has o"),
        (lambda link: Link(link._port, retries=-1), "retries must be 0 or more, not -1"),
    ],
)
def test_wrong_calls(call, message):
    with served(board()) as path, linked(path) as link:
        link.hello()
        with pytest.raises(ValueError, match=message):
            call(link)


def test_no_such_port(tmp_path):
    with pytest.raises(LinkError, match="there is no port /dev/ttyNONE: is the board plugged in"):
        open_port("/dev/ttyNONE")
    (tmp_path / "file").write_text("")
    with pytest.raises(LinkError, match="cannot be used as a serial port") as caught:
        open_port(str(tmp_path / "file"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error, message",
    [
        (serial.SerialException(13, "could not open port X: [Errno 13] Permission denied"), "no permission for X: add"),
        (
            serial.SerialException(16, "could not open port X: Device or resource busy"),
            "X is in use by another program",
        ),
        (serial.SerialException("could not open port 'X': PermissionError(13, 'Access is denied.')"), "no permission"),
        (serial.SerialException("could not open port 'X': FileNotFoundError(2, …)"), "there is no port X"),
        (ValueError("Invalid baud rate: 1"), "X does not have the rate of 1 baud"),
    ],
)
def test_a_port_that_cannot_be_opened(error, message, monkeypatch):
    def refuse(*args, **options):
        raise error

    monkeypatch.setattr(host.serial, "Serial", refuse)
    with pytest.raises(LinkError, match=message):
        open_port("X", 1)


def test_a_port_that_is_in_use():
    with served(board()) as path:
        with linked(path) as link:
            link.hello()
            with pytest.raises(LinkError, match=f"^{path} is in use by another program: close it first$"):
                open_port(path)
            assert link.hello() == IDENTITY
        with linked(path) as link:
            assert link.hello() == IDENTITY


def test_a_port_that_is_gone():
    master, slave = os.openpty()
    tty.setraw(slave)
    path = os.ttyname(slave)
    with linked(path) as link:
        os.close(slave)

        def pull():
            os.read(master, 100)
            os.close(master)

        thread = threading.Thread(target=pull)
        thread.start()
        with pytest.raises(LinkError, match=f"^{path} is gone in the middle: was the board unplugged"):
            link.hello()
        thread.join()


def test_a_port_that_takes_no_bytes():
    class Stuck:
        port, baudrate = "X", 9600

        def write(self, data):
            raise serial.SerialTimeoutException("Write timeout")

    with pytest.raises(LinkError, match=r"^X takes no more bytes$"):
        Link(Stuck(), ADDER).hello()
