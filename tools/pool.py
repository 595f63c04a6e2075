"""Where independent pieces of work are done: in processes of this machine, or on a cluster."""

import contextlib
import functools

from . import workers

__all__ = ["pool"]


@contextlib.contextmanager
def pool(jobs=None, scheduler=None, files=()):
    """What makes calls side by side.

    Parameters
    ----------
    jobs : int, optional
        As of `workers.results`; not with a scheduler, whose workers decide it.
    scheduler : str, optional
        Address of a dask.distributed scheduler, as of `cluster.connected`; None: processes of this machine.
    files : sequence of path
        As of `cluster.results`: absolute paths that the calls read.

    Yields
    ------
    callable
        `results(function, calls, progress=None, each=None)`, as `workers.results` has them.

    Raises
    ------
    ValueError
        Both were given, or as `cluster.connected`.
    """
    if scheduler is None:
        yield functools.partial(workers.results, jobs=jobs)
        return
    if jobs is not None:
        raise ValueError("jobs are processes of this machine: a cluster has the workers that it has")
    # It needs packages that only a cluster needs.
    from . import cluster

    with cluster.connected(scheduler) as client:
        yield functools.partial(cluster.results, client, files=files)
