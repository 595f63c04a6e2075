"""Independent pieces of work side by side, each in a process of its own.

The processes live as long as whoever asked holds its end of a pipe: when that is interrupted, fails or is killed, they
end their tools and leave.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

from . import running

__all__ = ["named", "results"]

# A forked worker would inherit the threads' locks of whoever calls; a spawned one starts from nothing.
_PROCESSES = multiprocessing.get_context("spawn")


def results(function, calls, jobs=None, progress=None, each=None):
    """Results of all calls, in their order.

    Parameters
    ----------
    function : callable
        Of a module; it, its arguments and its results can be pickled.
    calls : dict of str to tuple
        By name, the arguments of each call; one or more.
    jobs : int, optional
        Calls at a time, 1 or more; by default one for each CPU.
    progress : callable, optional
        Called with (done, total) calls.
    each : callable, optional
        Called with the name and the result of each call as soon as it is there.

    Returns
    -------
    list

    Raises
    ------
    ValueError, ToolFailed
        What the first call that fails raises, its name in front; the others are stopped.
    ToolFailed
        When a process was killed.
    """
    ended, held = _PROCESSES.Pipe(duplex=False)
    count = min(jobs or os.cpu_count() or 1, len(calls))
    with ended, held, ProcessPoolExecutor(count, _PROCESSES, _begin, (ended,)) as pool:
        try:
            with _interrupts_blocked():
                futures = {pool.submit(_work, function, *call): name for name, call in calls.items()}
            for done, future in enumerate(as_completed(futures), 1):
                result = named(futures[future], future.result)
                if each:
                    each(futures[future], result)
                if progress:
                    progress(done, len(calls))
            return [future.result() for future in futures]
        except BaseException as error:
            held.close()
            pool.shutdown(cancel_futures=True)
            if isinstance(error, BrokenProcessPool):
                raise running.ToolFailed("a worker was killed, perhaps for want of memory: try --jobs 1") from None
            raise


def named(name, result):
    """What `result` gives, or raises, the call named."""
    try:
        return result()
    except running.ToolFailed as error:
        raise running.ToolFailed(f"{name}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


@contextlib.contextmanager
def _interrupts_blocked():
    """Put off Ctrl-C, and let the processes that are started here never see it: whoever asked ends them itself."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# -- in a worker -------------------------------------------------------------------------------------------------------

_leaving = threading.Event()


def _begin(ended):
    """Leave when whoever asked lets go of its end of the pipe."""
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_watch, args=(ended,), daemon=True).start()


def _watch(ended):
    with contextlib.suppress(EOFError, OSError):
        ended.recv()
    # To the main thread by name, as only its own wait for a tool is broken by a signal; and again and again, as a
    # signal just before a wait does not break it.
    for _ in range(50):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)
        time.sleep(0.2)
    os._exit(1)


def _leave(number, frame):
    # Once: the second one would disturb what ends the tool.
    if not _leaving.is_set():
        _leaving.set()
        sys.exit(1)


def _work(function, *arguments):
    """Call, and leave at the end of it all: the executor would take that for a result and wait for the next call."""
    try:
        return function(*arguments)
    finally:
        if _leaving.is_set():
            os._exit(1)
