"""Progress of a program that writes it into a file."""

import contextlib
import threading

__all__ = ["watched"]

_POLL = 0.1  # seconds between two looks


@contextlib.contextmanager
def watched(file, progress):
    """Call `progress` with what a program writes into a file, while the block runs, from another thread.

    Parameters
    ----------
    file : Path
        Holds "done total" as soon as the simulation has begun.
    progress : callable
        Called with (done, total).
    """
    ended = threading.Event()

    def watch():
        while not ended.wait(_POLL):
            try:
                done, total = map(int, file.read_text().split())
            except (OSError, ValueError):
                continue  # not there yet, or being written
            progress(done, total)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
