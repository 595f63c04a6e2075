"""Programs and passes of the machine that are wrong, at least one for each error, and what the machine says of them."""

from dataclasses import dataclass, replace

import numpy as np

from ...golden.machine import host, image, jobs
from .drawn import Draft, shortest

__all__ = ["ERRORS", "WRONG", "Wrong", "make"]

#: Errors by their bits: as of `cores.machine.machine.Engine`.
ERRORS = ("overrun", "illegal", "long", "gelu", "stands", "beyond")


@dataclass(frozen=True)
class Wrong:
    """What the machine must not like.

    Attributes
    ----------
    program : Program
        What lies in the memory.
    items : list of dict of str to ndarray
        What is sent behind it, as of `golden.machine.host`.
    error : str
        One of `ERRORS`, which the machine tells from then on.
    job : int
        With the number of this job.
    given : list of list of ndarray
        Sentences of passes of which sums come all the same.
    right : Program or None
        That gives them: the same one, up to the job that is wrong.
    """

    program: object
    items: list
    error: str
    job: int
    given: tuple = ()
    right: object = None

    @property
    def state(self):
        """What the machine answers when it is asked."""
        return host.state(1 << ERRORS.index(self.error), self.job)


def make(name, rng, config):
    """One of `WRONG`.

    Parameters
    ----------
    name : str
    rng : numpy.random.Generator
        The only source of chance.
    config : MachineConfig

    Returns
    -------
    Wrong
    """
    return WRONG[name](rng, config)


def _pass(rng, program, count=1):
    """A pass of so many tokens, each a sentence, whose counters nobody wants to know."""
    sentences = list(rng.integers(0, program.vocabulary, (count, 1)))
    return sentences, host.passes([sentences], counted=False)


def _with(program, *codes):
    """The program with other jobs, as numbers, in place of the first ones, and an end behind them."""
    sizes, words = program.sizes, program.words.copy()
    head = image.code_words([*codes, jobs.encode(jobs.End(), sizes)], sizes)
    words[: len(head)] = head
    return replace(program, words=words)


def _until(program, kind):
    """The program without its first job of a kind and those behind it."""
    first = next(at for at, job in enumerate(program.jobs) if isinstance(job, kind))
    return replace(program, jobs=(*program.jobs[:first], jobs.End()))


def _overrun(rng, config):
    """A sentence more than there are groups of lanes; it is left out."""
    program = shortest(rng, config)
    sentences, items = _pass(rng, program, config.sizes.groups + 1)
    return Wrong(program, [items], "overrun", 0, [sentences[:-1]], program)


def _illegal(rng, config):
    """An operation that there is not, with anything behind its number."""
    program = shortest(rng, config)
    code = int(rng.integers(len(jobs.KINDS), 1 << jobs.OPERATION)) | int(rng.integers(1 << 62)) << jobs.OPERATION
    codes = [jobs.encode(job, config.sizes) for job in program.jobs[:2]]
    return Wrong(_with(program, *codes, code), [_pass(rng, program)[1]], "illegal", 2)


def _long(rng, config):
    """LayerNorm of more channels than there are."""
    draft = Draft(rng, config, few=True)
    draft.embed(norm=False)
    draft.channels = config.channels + 1
    draft.norm(waits=False, codes=False)
    program = draft.program(sums=False)
    sentences, items = _pass(rng, program)
    return Wrong(program, [items], "long", len(program.jobs) - 1, [sentences], _until(program, jobs.Normalize))


def _gelu(rng, config):
    """GELU without a table since the reset."""
    draft = Draft(rng, config, few=True)
    draft.embed()
    outputs = config.lanes
    draft.product(draft.weights(outputs, draft.channels, "gelu"), draft.input, outputs, "gelu", wait=True)
    program = draft.program(sums=False)
    sentences, items = _pass(rng, program)
    return Wrong(program, [items], "gelu", len(program.jobs) - 1, [sentences], _until(program, jobs.Normalize))


def _never(job):
    def made(rng, config):
        """A job that waits for a signal that none gives; what comes then is taken and forgotten."""
        program = _with(shortest(rng, config), jobs.encode(job, config.sizes))
        junk = {"data": rng.integers(0, 1 << 16, 200).astype(np.uint64), "item": rng.integers(0, 6, 200)}
        return Wrong(program, [_pass(rng, program)[1], junk], "stands", 1)

    return made


def _address(rng, config):
    """An address behind the last one."""
    return Wrong(shortest(rng, config), [host.image([5], 1 << config.address_bits)], "beyond", 0)


def _end(rng, config):
    """A word behind the last one."""
    return Wrong(shortest(rng, config), [host.image([5, 6], (1 << config.address_bits) - 1)], "beyond", 0)


def _fetch(rng, config):
    """Positions, of which a row begins with the last word."""
    program, last = shortest(rng, config), (1 << config.address_bits) - 1
    fetch = replace(program.jobs[0], positions=last)
    codes = [jobs.encode(job, config.sizes) for job in (program.jobs[1], fetch)]
    return Wrong(_with(program, *codes), [_pass(rng, program)[1]], "beyond", 2)


#: What is wrong, by its name.
WRONG = {
    "too many tokens": _overrun,
    "no such job": _illegal,
    "a row too long": _long,
    "no table": _gelu,
    "rows wait for ever": _never(jobs.Softmax(0, wait=True)),
    "an address beyond": _address,
    "a word beyond": _end,
    "a row of positions beyond": _fetch,
}
