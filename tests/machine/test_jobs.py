"""Jobs as numbers and back, for machines of any size."""

import dataclasses

import numpy as np
import pytest

from bitloom.golden.machine import jobs
from bitloom.golden.machine.sizes import Sizes

SIZES = [
    Sizes(),
    Sizes(lanes=4, tokens=8, channels=8, hidden=16, address_bits=8),
    Sizes(channels=768, hidden=3072, address_bits=24),
    Sizes(format="ovp-int4"),
]


def drawn(kind, sizes, rng):
    """A job with any value in each field."""
    values = {}
    for name, bits in jobs.fields(kind, sizes).items():
        choices = jobs._CHOICES.get(name)
        value = int(rng.integers(len(choices) if choices else 1 << bits))
        values[name] = choices[value] if choices else bool(value) if name in jobs._FLAGS else value
    return kind(**values)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("kind", jobs.KINDS)
def test_a_job_is_its_number(kind, sizes):
    rng = np.random.default_rng(jobs.KINDS.index(kind))
    assert sum(jobs.fields(kind, sizes).values()) + 4 <= jobs.BITS
    for _ in range(50):
        job = drawn(kind, sizes, rng)
        code = jobs.encode(job, sizes)
        assert code < 1 << jobs.BITS and jobs.decode(code, sizes) == job


def test_fields_lie_one_above_the_other():
    """One field after the other is all ones: together they fill the bits above the operation, none twice."""
    sizes = Sizes()
    for number, kind in enumerate(jobs.KINDS):
        zeros = dict.fromkeys(jobs.fields(kind, sizes), 0)
        zeros |= {name: values[0] for name, values in jobs._CHOICES.items() if name in zeros}
        base, taken = jobs.encode(kind(**zeros), sizes), 0
        assert base == number
        for name, bits in jobs.fields(kind, sizes).items():
            last = jobs._CHOICES[name][-1] if name in jobs._CHOICES else (1 << bits) - 1
            changed = jobs.encode(kind(**{**zeros, name: last}), sizes) ^ base
            assert changed and not changed & taken, name
            taken |= changed


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (jobs.Loop(1 << 12), "jobs of Loop must be 0 to 4095, not 4096"),
        (jobs.Load(1 << 22, 1, 1), "address of Load must be 0 to 4194303, not 4194304"),
        (jobs.Embed(384, -1), "shift of Embed must be 0 to 15, not -1"),
    ],
)
def test_what_no_field_holds_is_refused(job, message):
    with pytest.raises(ValueError, match=message):
        jobs.encode(job, Sizes())


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (9, "the operation of a job must be 0 to 8, not 9"),
        (1 << 4, "bits beyond the fields of End must be 0, not 0x1"),
        (2 | 3 << (4 + 22 + 12 + 14 + 14), "table of Load must be 0 to 2, not 3"),
    ],
)
def test_a_number_that_is_no_job_is_refused(code, message):
    with pytest.raises(ValueError, match=message):
        jobs.decode(code, Sizes())


def test_a_line_tells_what_is_not_as_by_default():
    job = jobs.Product("weights", "a", 384, 48, 0, "residual", column_stride=384, drained=True)
    assert jobs.text(job) == (
        "product rows=weights columns=a steps=384 row_panels=48 column_panels=0 to=residual column_stride=384 drained"
    )
    assert jobs.text(jobs.End()) == "end"
    assert all(dataclasses.is_dataclass(kind) for kind in jobs.KINDS)
