"""Progress of long work, on standard error: a bar or a spinner on a terminal, a line now and then elsewhere.

What took long says at its end how long.
"""

import contextlib
import threading
import time

import click

from . import terminal

__all__ = ["INTERVAL", "Pulse", "bar", "stages"]

#: Seconds from one line to the next, and what counts as long.
INTERVAL = 10.0


def _say(line):
    # Whoever reads may have gone, and the work need not end for that.
    with contextlib.suppress(OSError):
        click.echo(terminal.printable(line), err=True)


class Pulse:
    """Lines that say that work goes on, at most one in `INTERVAL`, and at its end how long it took.

    Parameters
    ----------
    text : str
        What is done.
    say : callable
        Takes a line.
    clock : callable
        Gives seconds.
    """

    def __init__(self, text, say=_say, clock=time.monotonic):
        self._text, self._say, self._clock = text, say, clock
        self._state = text
        self._began = self._told = clock()
        self._lock = threading.Lock()

    def update(self, done, total, text=None):
        """Note how far it is; `total` None where nobody knows."""
        count = "" if done is None else f"{done:,}" if total is None else f"{done:,} of {total:,}"
        self._state = ": ".join(filter(None, (text or self._text, count)))
        self.beat()

    def beat(self):
        """Say where it is, if that was not said for a while."""
        with self._lock:
            now = self._clock()
            if now - self._told >= INTERVAL:
                self._told = now
                self._say(f"{self._state}, {now - self._began:.0f} s")

    def end(self):
        """Say how long it took, if that was long."""
        seconds = self._clock() - self._began
        if seconds >= INTERVAL:
            self._say(f"{self._text} took {seconds:.0f} s")


@contextlib.contextmanager
def _beating(beat, seconds=1):
    """Call `beat` every so often while the block runs, from another thread: the work may be in one long call."""
    ended = threading.Event()

    def run():
        while not ended.wait(seconds):
            beat()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def bar(text):
    """Show how far some work is.

    Parameters
    ----------
    text : str
        What is done.

    Yields
    ------
    callable
        Takes what is done and how much there is, and optionally another text.
    """
    pulse, console = Pulse(text), terminal.console(stderr=True)
    if console.is_terminal:
        with _terminal_bar(console, text) as update:
            yield update
    else:
        with _beating(pulse.beat):
            yield pulse.update
    pulse.end()


@contextlib.contextmanager
def _terminal_bar(console, text):
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(terminal.printable(text), total=None)
        yield lambda done, total, text=text: progress.update(
            task, completed=done, total=total, description=terminal.printable(text)
        )


@contextlib.contextmanager
def stages():
    """Show what is being done: a spinner on a terminal, a line a stage elsewhere.

    Yields
    ------
    callable
        Takes the name of the stage that begins.
    """
    console, pulses = terminal.console(stderr=True), []

    def begin(text):
        for pulse in pulses[-1:]:
            pulse.end()
        pulses.append(Pulse(text))

    if console.is_terminal:
        from rich.text import Text

        with console.status("starting") as status:
            yield lambda text: (begin(text), status.update(Text(terminal.printable(text))))
    else:
        with _beating(lambda: [pulse.beat() for pulse in pulses[-1:]]):
            yield lambda text: (begin(text), _say(text))
    for pulse in pulses[-1:]:
        pulse.end()
