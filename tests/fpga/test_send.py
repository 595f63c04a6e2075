"""Bytes that are sent ahead of the answers, to a board that is deaf while it answers."""

import random

import pytest
from line_model import SINK, Deaf, line

from bitloom.fpga.link.protocol import FLAG
from bitloom.fpga.session import host
from bitloom.fpga.session.host import Link, open_port

BAUD = 3_000_000
DATA = random.Random(1).randbytes(60_000)


def linked(path):
    return Link(open_port(path, BAUD), SINK, margin=0.2)


def test_all_bytes_come_and_the_line_has_few_more():
    this, seen = Deaf(), []
    with line(this) as path, linked(path) as link:
        link.hello()
        assert link.send("i", DATA, lambda *step: seen.append(step))
        assert this.taken == DATA and seen[-1] == (len(DATA), len(DATA)) and len(seen) == -(-len(DATA) // 512)
        assert this.heard < 1.15 * len(DATA)
        # What follows in the same session has the next sequence number.
        assert link.send("i", b"more") and link.exchange({"i": b" and more"}, {}).failure is None
        assert this.taken == DATA + b"more and more"
        assert link.repeated == 0


def test_without_a_pause_the_board_hears_nothing_of_the_next_request(monkeypatch):
    monkeypatch.setattr(host, "_PAUSE", b"")
    this = Deaf()
    with line(this) as path, linked(path) as link:
        link.hello()
        assert not link.send("i", DATA)
        assert this.taken != DATA


def damaged(byte, at):
    """A board to which a byte comes damaged."""
    this = Deaf()
    feed = this.feed

    def feed_damaged(data):
        data, first = bytearray(data), this.heard
        if first <= at < first + len(data):
            data[at - first : at - first + 1] = byte
        return feed(bytes(data))

    this.feed = feed_damaged
    return this


@pytest.mark.parametrize("byte", [b"", b"\0\0", b"??", bytes([FLAG])])
def test_what_goes_wrong_ends_it_and_the_next_session_works(byte):
    this = damaged(byte, 30_000)
    with line(this) as path, linked(path) as link:
        link.hello()
        assert not link.send("i", DATA)
        # Nothing that came behind the fault was taken.
        assert DATA.startswith(this.taken) and 25_000 < len(this.taken) < 30_000
        link.hello()
        this.taken.clear()
        assert link.send("i", DATA) and this.taken == DATA


@pytest.mark.parametrize("turn", [5, 12])
def test_an_answer_that_is_lost_ends_it(turn):
    this = Deaf()
    feed, count = this.feed, 0

    def feed_lossy(data):
        nonlocal count
        answers = feed(data)
        count += bool(answers)
        return b"" if count == turn else answers

    this.feed = feed_lossy
    with line(this) as path, linked(path) as link:
        link.hello()
        # Of one or some of the requests.
        assert not link.send("i", DATA)


def test_a_core_that_takes_less_ends_it():
    this = Deaf()
    take = this._move
    this._move = lambda source, sink, data: take(source, sink, data[:-1] if len(this.taken) > 9000 else data)
    with line(this) as path, linked(path) as link:
        link.hello()
        assert not link.send("i", DATA)
