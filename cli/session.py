"""A session as the commands open it: what takes long is shown, what was found is told."""

import contextlib

import click

from .progress import stages

__all__ = ["opened"]


@contextlib.contextmanager
def opened(session):
    """Open a session of `fpga.session.session` while the block runs."""
    with contextlib.ExitStack() as stack:
        with stages() as progress:
            session.open(progress)
        stack.callback(session.close)
        if session.summary:
            click.echo(session.summary)
        yield session
