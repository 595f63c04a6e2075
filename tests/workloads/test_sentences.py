"""The text that accuracy is measured on."""

from bitloom.golden.workloads.sentences import CALIBRATION, SENTENCES


def test_counts_and_lengths():
    assert len(CALIBRATION) == 8 and len(SENTENCES) == 24
    words = [len(sentence.split()) for sentence in CALIBRATION + SENTENCES]
    assert min(words) == 3 and 50 <= max(words) <= 60


def test_calibration_and_test_are_apart():
    assert len({*CALIBRATION, *SENTENCES}) == 32
