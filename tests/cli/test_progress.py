"""Lines about long work, at the times of a clock that the test sets."""

import threading

import pytest

from bitloom.cli import progress
from bitloom.cli.progress import Pulse


@pytest.fixture
def clock():
    """A clock; call it with the seconds by which it goes on, 0 by default."""

    class Clock:
        now = 100.0

        def __call__(self, seconds=0):
            self.now += seconds
            return self.now

    return Clock()


@pytest.fixture
def lines():
    return []


@pytest.fixture
def pulse(clock, lines):
    return Pulse("measuring", lines.append, clock)


def test_short_work_says_nothing(pulse, clock, lines):
    for done in range(10):
        pulse.update(done, 10)
        clock(0.9)
        pulse.beat()
    pulse.end()
    assert lines == []


def test_long_work_says_how_far_it_is_at_most_every_ten_seconds_and_what_it_took(pulse, clock, lines):
    for done in range(1, 101):
        clock(0.25)
        pulse.update(50 * done, 12_500)
    assert lines == ["measuring: 2,000 of 12,500, 10 s", "measuring: 4,000 of 12,500, 20 s"]
    clock(3)
    pulse.end()
    assert lines[2:] == ["measuring took 28 s"]


def test_work_that_reports_nothing_still_shows_that_it_lives(pulse, clock, lines):
    for _ in range(25):
        clock(1)
        pulse.beat()
    assert lines == ["measuring, 10 s", "measuring, 20 s"]


def test_another_text_and_an_unknown_total(pulse, clock, lines):
    clock(10)
    pulse.update(0, 8, "compiling the tile")
    clock(10)
    pulse.update(3, None)
    pulse.end()
    assert lines == ["compiling the tile: 0 of 8, 10 s", "measuring: 3, 20 s", "measuring took 20 s"]


@pytest.fixture
def quick(monkeypatch, clock):
    """The module's own functions on that clock, which stands still while the thread looks at it."""
    monkeypatch.setattr(progress.Pulse.__init__, "__defaults__", (progress._say, clock))


def test_a_bar_that_is_piped_is_lines_on_standard_error(quick, clock, capsys):
    with progress.bar("quantizing") as update:
        update(1, 4)
        clock(12)
        update(2, 4)
        clock(1)
    assert capsys.readouterr() == ("", "quantizing: 2 of 4, 12 s\nquantizing took 13 s\n")


def test_piped_stages_are_a_line_each_and_what_the_long_ones_took(quick, clock, capsys):
    with progress.stages() as stage:
        stage("synthesis")
        clock(2)
        stage("place and route")
        clock(61)
        stage("bitstream")
        clock(30)
    assert capsys.readouterr() == (
        "",
        "synthesis\nplace and route\nplace and route took 61 s\nbitstream\nbitstream took 30 s\n",
    )


def test_work_that_fails_does_not_say_that_it_is_done(quick, clock, capsys):
    with pytest.raises(ValueError), progress.bar("quantizing"):
        clock(20)
        raise ValueError
    assert "took" not in capsys.readouterr().err


def test_the_thread_beats_while_the_work_is_in_one_long_call():
    beaten = threading.Event()
    with progress._beating(beaten.set, seconds=0.001):
        assert beaten.wait(30)


def test_whoever_reads_may_go(monkeypatch, clock):
    def broken(*args, **kwargs):
        raise BrokenPipeError

    monkeypatch.setattr(progress.click, "echo", broken)
    gone = Pulse("measuring", clock=clock)
    clock(20)
    gone.beat()
    gone.end()
