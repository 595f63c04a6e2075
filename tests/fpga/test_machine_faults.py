"""Sentences over a faulty cable: right embeddings or a clear error, never wrong ones."""

import link_faults
import machine_faults
import pytest


def check(made, sentences, faults):
    machine_faults.run(made, sentences, faults)
    total = made.total
    print(made.table())
    assert made.sentences >= sentences and total.injected >= faults
    assert (total.wrong, total.unusable) == (0, 0), made.table()
    assert total.jobs == total.right + total.errors + total.stopped
    on_the_line = [made.counts[kind] for kind in link_faults.LINE]
    assert sum(count.right for count in on_the_line) > sum(count.jobs for count in on_the_line) / 2, made.table()
    assert all("\n" not in line and 10 < len(line) < 200 for _, line in made.errors if line != "wrong")


def test_some_faults(tmp_path):
    with machine_faults.campaign(tmp_path) as made:
        check(made, 20, 20)


@pytest.mark.long
def test_ten_thousand_sentences(tmp_path):
    with machine_faults.campaign(tmp_path, seed=2) as made:
        check(made, 10_000, 500)
        for kind, count in made.counts.items():
            assert count.injected > 0, kind
