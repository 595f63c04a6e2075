"""The Anda bit-plane buffer against the golden model's memory image."""

import numpy as np
import pytest
from benches import passes

from bitloom.cores.anda.buffer import AndaBuffer, AndaBufferConfig
from bitloom.golden.anda import cycles as anda_cycles
from bitloom.golden.anda import planes as anda
from bitloom.testbench.formal import prove_no_path


def test_addresses_are_those_of_the_packed_image():
    """Two token blocks of three groups, M = 5: the signs and planes of each set lie where `set_address` says."""
    x = np.random.default_rng(4).normal(size=(6, 3 * 64)).astype(np.float16)
    tensor = anda.encode(x, 5)
    image = anda.pack(tensor, lanes=4)
    words = np.frombuffer(image[: 2 * 3 * 6 * 32], "<u8").reshape(-1, 4)
    for block, step in np.ndindex(2, 3):
        first = anda_cycles.set_address(0, block, 3, step, 5)
        for lane in range(4):
            token = 4 * block + lane
            column = words[first : first + 6, lane].tolist()
            if token < 6:
                assert column == [int(tensor.signs[token, step]), *tensor.planes[token, step].tolist()]
            else:
                assert column == [0] * 6
    assert [anda_cycles.set_address(7, block, 3, step, 0) for block, step in np.ndindex(2, 3)] == list(range(7, 13))


def test_cycles():
    """A set of M planes takes M + 1 cycles, and a command one."""
    assert anda_cycles.buffer_cycles([(6, 5)]) == 1 + 1 + 6 * 6
    assert anda_cycles.buffer_cycles([(6, 5), (0, 5), (1, 13)]) == 1 + 37 + 1 + 15


def test_no_path_from_ready_to_ready():
    config = AndaBufferConfig(lanes=2, group=16, depth=16, max_mantissa=4)
    targets = ["i__ready", "command__ready", "o__valid", "o__payload"]
    prove_no_path(AndaBuffer(config), "o__ready", targets, "anda_buffer")


def test_wrong_requests_are_refused():
    with pytest.raises(ValueError, match="depth must be a power of two, not 24"):
        AndaBufferConfig(depth=24)
    with pytest.raises(ValueError, match="depth must be more than max_mantissa, 16, not 16"):
        AndaBufferConfig(depth=16)
    with pytest.raises(ValueError, match="depth must be 4 to 1048576, not 2"):
        AndaBufferConfig(depth=2)


def check(parameters, vectors):
    config, result = passes("anda-buffer", parameters, vectors)
    assert (result.latency, result.interval) == (3, 3)
    assert result.coverage["words"] == [config.depth] * 2


@pytest.mark.parametrize(
    "parameters",
    [("lanes=3", "group=32", "depth=128"), ("lanes=1", "group=16", "depth=4", "max_mantissa=3")],
    ids=" ".join,
)
def test_buffer_matches_its_golden_model(parameters):
    check(parameters, 2000)


@pytest.mark.long
def test_buffer_of_the_paper_matches_its_golden_model():
    check(("lanes=16", "depth=8192"), 10_000)
