"""Work side by side: results in order, errors by name, and no process left."""

import os
import signal
import time

import pytest

from bitloom.tools import running, workers


def squared(number, seconds=0):
    time.sleep(seconds)
    return number * number


def failing(number):
    raise ValueError(f"{number} is wrong")


def killed(number):
    os.kill(os.getpid(), signal.SIGKILL)


def test_results_are_in_the_order_of_the_calls_whoever_is_first():
    told = []
    calls = {"slow": (3, 0.5), "quick": (4,), "last": (5,)}
    assert workers.results(squared, calls, 2, lambda *at: told.append(at)) == [9, 16, 25]
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_an_error_names_the_call():
    with pytest.raises(ValueError, match=r"^the bad one: 7 is wrong$"):
        workers.results(failing, {"the bad one": (7,)})


def test_a_worker_that_is_killed_is_told():
    with pytest.raises(running.ToolFailed, match="a worker was killed"):
        workers.results(killed, {"a": (1,)})
