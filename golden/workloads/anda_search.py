"""Anda's adaptive precision combination search: one mantissa length for each module type.

A combination is four mantissa lengths, for the inputs of the module types in :data:`MODULES`, the same in all layers.
The search (HPCA 2025, Algorithm 1) takes the cheapest combination of a queue that starts with the uniform ones, and
measures it. If it is good enough and cheaper than the best so far, its neighbours with one bit less join the queue.

The cost is counted in bit operations: a multiply-accumulate of an M-bit mantissa with a 4-bit weight is 4 M, one of
FP16 with a 4-bit weight 64 (Table II). So the saving is 16 over the mean of M, weighted by the multiply-accumulates.
"""

import math
from dataclasses import asdict, dataclass

from ..anda.planes import MAX_MANTISSA

__all__ = [
    "HIGHEST",
    "ITERATIONS",
    "LOWEST",
    "MODULES",
    "Step",
    "bops",
    "last_accepted",
    "recall",
    "record",
    "saving",
    "search",
]

#: Module types in the order of a combination; the paper's A_qkv, A_o, A_u and A_d.
MODULES = ("qkv", "attention_output", "feed_forward_up", "feed_forward_down")
#: Combinations that are measured at most, and the uniform ones of the start (Algorithm 1).
ITERATIONS, LOWEST, HIGHEST = 32, 4, 13

_WEIGHT_BITS = 4
_FP16_BOPS = 64


@dataclass(frozen=True)
class Step:
    """One iteration of the search.

    Parameters
    ----------
    combination : tuple of int
        Mantissa lengths, as `MODULES`.
    bops : int
        Its cost.
    quality : float
        What `evaluate` told.
    accepted : bool
        Whether it is the best so far.
    """

    combination: tuple
    bops: int
    quality: float
    accepted: bool


def bops(combination, macs):
    """Bit operations of a combination.

    Parameters
    ----------
    combination : sequence of int
        Mantissa lengths, 1 to 16, one a module type.
    macs : sequence of int
        Multiply-accumulates of each module type, in any unit: only their ratio matters to the search. 3, 1, 4, 4 for
        OPT and for MiniLM, whose feed-forward is four times as wide as the hidden state.

    Returns
    -------
    int
    """
    _check_macs(macs)
    if len(combination) != len(MODULES):
        raise ValueError(f"a combination must have {len(MODULES)} mantissa lengths, not {len(combination)}")
    for length in combination:
        if not 1 <= length <= MAX_MANTISSA:
            raise ValueError(f"a mantissa length must be 1 to {MAX_MANTISSA}, not {length}")
    return sum(count * _WEIGHT_BITS * length for count, length in zip(macs, combination, strict=True))


def saving(combination, macs):
    """How many times fewer bit operations than with FP16 activations; parameters as of `bops`."""
    return _FP16_BOPS * sum(macs) / bops(combination, macs)


def search(
    evaluate, reference, macs, tolerance, *, iterations=ITERATIONS, lowest=LOWEST, highest=HIGHEST, floor=1, known=None
):
    """Search, one step at a time.

    Deterministic: what was measured before, given as `known`, makes the same steps without measuring again. So a search
    is resumed by giving it the qualities of its own earlier steps.

    Parameters
    ----------
    evaluate : callable
        Combination, a tuple of four int, to quality, a finite number; more is better.
    reference : float
        Quality with FP16 activations, above 0. A combination is good enough from ``(1 - tolerance) * reference`` on.
    macs : sequence of int
        As of `bops`.
    tolerance : float
        0 to 1, 1 excluded; the paper has 0.001 and 0.01.
    iterations : int, >= 1
        Steps at most.
    lowest, highest : int, 1 to 16
        Lengths of the uniform combinations at the start.
    floor : int, 1 to `lowest`
        Shortest mantissa that a neighbour may have (our choice: the paper states none).
    known : dict, optional
        Combination to quality; not changed.

    Yields
    ------
    Step

    Raises
    ------
    ValueError
        For a parameter out of its range, and when `evaluate` gives no finite number.

    Notes
    -----
    Of combinations of one cost the first that came into the queue is taken, which is what the paper's Figure 9 shows.
    The search ends early once the cheapest in the queue costs as much as the best found: nothing after it can be
    accepted (our shortcut; the result is the same). Until then the queue never holds a combination twice, as all that
    cost less than the best are its neighbours.
    """
    _check_macs(macs)
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must be 0 or more and below 1, not {tolerance!r}")
    if not (math.isfinite(reference) and reference > 0):
        raise ValueError(f"the reference quality must be a finite number above 0, not {reference!r}")
    if iterations < 1:
        raise ValueError(f"iterations must be 1 or more, not {iterations!r}")
    if not 1 <= floor <= lowest <= highest <= MAX_MANTISSA:
        wanted = f"1 <= floor <= lowest <= highest <= {MAX_MANTISSA}"
        raise ValueError(f"mantissa lengths must be {wanted}, not {floor}, {lowest} and {highest}")
    return _steps(evaluate, (1 - tolerance) * reference, macs, iterations, lowest, highest, floor, known or {})


def _steps(evaluate, enough, macs, iterations, lowest, highest, floor, known):
    queue = [(length,) * len(MODULES) for length in range(lowest, highest + 1)]
    least, visited = math.inf, set()
    for _ in range(iterations):
        combination = min(queue, key=lambda c: bops(c, macs), default=None)
        if combination is None or bops(combination, macs) >= least:
            return
        queue.remove(combination)
        visited.add(combination)
        quality = known[combination] if combination in known else evaluate(combination)
        if not math.isfinite(quality):
            raise ValueError(f"the quality of {combination} must be finite, not {quality!r}")
        accepted = quality >= enough
        yield Step(combination, bops(combination, macs), quality, accepted)
        if accepted:
            least = bops(combination, macs)
            for module, length in enumerate(combination):
                neighbour = (*combination[:module], length - 1, *combination[module + 1 :])
                if length > floor and neighbour not in visited:
                    queue.append(neighbour)


def last_accepted(steps):
    """The last accepted step, or None if there is none: then no combination is good enough (our choice: say so)."""
    return next((step for step in reversed(steps) if step.accepted), None)


def record(settings, reference, steps, iterations, **more):
    """A search as a dict that JSON can hold; what `recall` reads.

    Parameters
    ----------
    settings : dict
        All that the qualities and the steps depend on, but for the number of iterations.
    reference : float
        As of `search`.
    steps : list of Step
        So far.
    iterations : int
        Steps at most.
    more : dict
        Further entries, not read back.

    Returns
    -------
    dict
    """
    best = last_accepted(steps)
    return {
        "settings": settings,
        "iterations": iterations,
        "reference": reference,
        "steps": [asdict(step) | {"combination": [*step.combination]} for step in steps],
        "found": best and [*best.combination],
        **more,
    }


def recall(state, settings, iterations):
    """The measurements of an earlier search, perhaps an unfinished one.

    Parameters
    ----------
    state : object
        A dict as `record` gives, or anything else that a file held.
    settings : dict
        Those of the search that goes on.
    iterations : int
        Steps at most; not fewer than there are, so that none is lost.

    Returns
    -------
    reference : float
    known : dict
        As of `search`.

    Raises
    ------
    ValueError
        When it is not a state, or the state of other settings or of more steps; names the first difference.
    """
    try:
        earlier, reference = dict(state["settings"]), _number(state["reference"])
        known = {tuple(map(_length, step["combination"])): _number(step["quality"]) for step in state["steps"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"it is not a record of a precision search: {type(error).__name__} {error}") from None
    for name in sorted(earlier.keys() | settings.keys()):
        if earlier.get(name) != settings.get(name):
            raise ValueError(f"it holds a search with {name} {earlier.get(name)}, not {settings.get(name)}")
    if len(known) > iterations:
        raise ValueError(f"it holds a search of {len(known)} steps, more than {iterations}")
    return reference, known


def _length(value):
    """A mantissa's length as JSON has it; not a text or a fraction, of which Python also makes whole numbers."""
    if type(value) is not int:
        raise TypeError(f"a length must be a whole number, not {value!r}")
    return value


def _number(value):
    """A quality as JSON has it."""
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError(f"a quality must be a number, not {value!r}")
    return float(value)


def _check_macs(macs):
    if len(macs) != len(MODULES) or not all(count > 0 for count in macs):
        raise ValueError(f"macs must be {len(MODULES)} numbers above 0, not {(*macs,)}")
