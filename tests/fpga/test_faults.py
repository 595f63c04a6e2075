"""Faults between the host and a Verilated board: a right result or a clear error, never a wrong result."""

import link_faults
import pytest


def check(made, faults):
    link_faults.run(made, faults)
    total = made.total
    print(made.table())
    assert total.injected >= faults
    assert (total.wrong, total.unusable) == (0, 0), made.table()
    assert total.jobs == total.right + total.errors + total.stopped
    for kind, count in made.counts.items():
        assert count.injected > 0, kind
    # Faults on the line are what requests are repeated for.
    on_the_line = [made.counts[kind] for kind in link_faults.LINE]
    assert sum(count.right for count in on_the_line) > sum(count.jobs for count in on_the_line) / 2, made.table()
    assert sum(count.repeated for count in on_the_line) > 0
    for kind in ("port gone", "port busy", "wrong bitstream"):
        assert made.counts[kind].errors == made.counts[kind].jobs, kind
    assert made.counts["board reset"].errors > 0
    assert all("\n" not in line and 10 < len(line) < 200 for _, line in made.errors)


def test_a_few_hundred_faults():
    with link_faults.campaign(seed=1) as made:
        check(made, 300)


@pytest.mark.long
@pytest.mark.parametrize("seed", [2, 3])
def test_ten_thousand_faults(seed):
    with link_faults.campaign(seed) as made:
        check(made, 5_100)
