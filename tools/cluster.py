"""Independent pieces of work on a dask.distributed cluster: what `workers.results` does here, on other machines.

A call runs in a thread of a worker, which must have the package that we have, and the files that a user names.
Whatever is wrong with address, scheduler or workers is one line, and nothing is waited for without an end.
"""

import asyncio
import contextlib
import functools
import hashlib
import importlib.metadata
import logging
import pkgutil
import platform
import threading
import time
import uuid
import warnings
from pathlib import Path

import distributed
from distributed.core import rpc
from distributed.security import Security

from .. import __version__
from . import running, sources, workers
from .missing import sentence

__all__ = ["PATIENCE", "connected", "results"]

#: Seconds to wait for an answer of the scheduler, and for a worker where there is none (any more).
PATIENCE = 20.0

#: Seconds from one look at the calls to the next, and at the workers.
_LOOK, _COUNT = 0.05, 1.0


@contextlib.contextmanager
def connected(address):
    """A client of a scheduler.

    Parameters
    ----------
    address : str
        `HOST:PORT`, with `tcp://` in front or without; `tls://` with the keys that dask's own configuration names.

    Yields
    ------
    distributed.Client

    Raises
    ------
    ValueError
        No scheduler answers there within `PATIENCE` seconds; it or a worker has no bitloom.
    """
    # What the library logs, of a scheduler that went away for example, we say in one line.
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # First by ourselves: with an address at which there is none the client waits much longer, and leaves threads.
    _ask(address)
    with warnings.catch_warnings():
        # Of other versions of packages: `_surroundings` has those that decide.
        warnings.simplefilter("ignore")
        client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    try:
        _check(client)
        yield client
    finally:
        # The scheduler drops what this client has asked for, and no one else.
        with contextlib.suppress(OSError):
            client.close(timeout=2)


def _ask(address):
    async def identity():
        options = Security().get_connection_args("client")
        async with rpc(address, timeout=PATIENCE / 2, connection_args=options) as server:
            return await server.identity()

    try:
        server = asyncio.run(asyncio.wait_for(identity(), PATIENCE))
    except (OSError, TypeError, ValueError) as error:
        # Behind a time-out may be that nobody listens, or no such host.
        why = str(error.__cause__ if type(error) is OSError and error.__cause__ else error).rpartition(">: ")[2]
        raise ValueError(
            f"no dask scheduler at {address!r}, as tcp://HOST:PORT: {why or 'it does not answer'}"
        ) from None
    if server["type"] != "Scheduler":
        raise ValueError(f"no dask scheduler at {address!r}, but a {server['type'].lower()}")


def _check(client):
    """Refuse a scheduler or a worker without this module: of a call that it cannot unpickle, a worker dies."""
    look = pkgutil.get_data, __package__, Path(__file__).name
    who = "the scheduler"
    try:
        client.run_on_scheduler(*look)
        for where, answer in client.run(*look, on_error="return").items():
            who = f"the worker {where}"
            if isinstance(answer, Exception):
                raise answer
    except (ImportError, OSError) as error:
        raise ValueError(f"{who} lacks the bitloom that is here: {error}") from None


def results(client, function, calls, progress=None, each=None, files=()):
    """Results of all calls, in their order.

    A worker that leaves has its calls made again by others. A worker makes one call at a time, as cores are
    elaborated with counters of the whole process: it needs one thread and no more.

    Parameters
    ----------
    client : distributed.Client
    function, calls, progress, each
        As of `workers.results`.
    files : sequence of path
        Absolute paths that the calls read: each worker must have the same content there.

    Returns
    -------
    list

    Raises
    ------
    ValueError
        What the first call that fails raises, its name in front; or a worker that has another bitloom or another file
        than this machine, or none.
    ToolFailed
        Also when the scheduler or all workers go away.
    """
    files = [str(file) for file in files]
    ours, run = _surroundings(files), uuid.uuid4().hex
    futures = {
        client.submit(_work, ours, files, function, call, key=f"bitloom-{run}-{name}", pure=False): name
        for name, call in calls.items()
    }
    finished = {}
    for future in _finished(client, futures):
        name = futures[future]
        finished[name] = workers.named(name, functools.partial(_result, future))
        if each:
            each(name, finished[name])
        if progress:
            progress(len(finished), len(calls))
    return [finished[name] for name in calls]


def _finished(client, futures):
    """The futures as they are finished, however; ToolFailed where none will ever be."""
    waiting, seen = [*futures], time.monotonic()
    counted = 0.0
    while waiting:
        for future in [future for future in waiting if future.status != "pending"]:
            if future.status in ("cancelled", "lost"):
                raise _gone(client)
            waiting.remove(future)
            yield future
            seen = time.monotonic()
        if time.monotonic() - counted >= _COUNT:
            counted = time.monotonic()
            if _workers(client):
                seen = counted
            elif counted - seen >= PATIENCE:
                raise running.ToolFailed(
                    f"the scheduler at {_address(client)} has no workers: start some with "
                    f"dask worker {_address(client)} --nthreads 1"
                )
        time.sleep(_LOOK)


def _workers(client):
    """How many workers there are."""
    try:
        return len(client.sync(client.scheduler.ncores, callback_timeout=PATIENCE))
    except (OSError, TimeoutError):
        raise _gone(client) from None


def _address(client):
    return client.scheduler.address


def _gone(client):
    return running.ToolFailed(f"the scheduler at {_address(client)} went away; what workers finished they have kept")


def _result(future):
    """What a call gave, or raised; what the library itself raises in place of it, in one line."""
    error = future.exception(timeout=PATIENCE) if future.status == "error" else None
    if isinstance(error, distributed.KilledWorker):
        raise running.ToolFailed("its worker was killed again and again, perhaps for want of memory")
    if isinstance(error, AttributeError | ImportError | RuntimeError):
        # So ends what cannot be unpickled there; in a call none of them is expected.
        raise ValueError(f"scheduler and workers need all that is installed here: {error}") from error
    return future.result(timeout=PATIENCE)


# -- on a worker -------------------------------------------------------------------------------------------------------

_alone = threading.Lock()


def _work(ours, files, function, call):
    """Call, if all that decides the result is as it is where the call comes from."""
    where = distributed.get_worker().address
    with _alone:
        for thing, theirs in _surroundings(files).items():
            if theirs != ours[thing]:
                raise ValueError(f"{thing} is {theirs} on the worker {where}, {ours[thing]} here: it must be the same")
        try:
            return function(*call)
        except running.ToolFailed as error:
            raise running.ToolFailed(f"{error} (on the worker {where})") from None
        except ImportError as error:
            raise ValueError(f"{sentence(error) or error} (on the worker {where})") from None
        except (OSError, ValueError) as error:
            raise ValueError(f"{error} (on the worker {where})") from None


@functools.cache
def _code():
    # Once: a worker goes on with the code that it has imported, whatever is written over it.
    return sources.digest()[:12]


def _surroundings(files):
    """What decides a result beside the arguments, by the words that tell of it."""
    return {
        "bitloom's version": __version__,
        "bitloom's code": _code(),
        "Python": platform.python_version().rpartition(".")[0],
        "NumPy": importlib.metadata.version("numpy"),
        **{file: _content(Path(file)) for file in files},
    }


def _content(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else "missing"
