"""Banks in pieces: what is cut, and that it is one memory."""

from itertools import pairwise

import numpy as np
import pytest
from amaranth.sim import Simulator

from bitloom.cores.machine.bank import Bank, pieces
from bitloom.hdl.primitives import FAMILIES


@pytest.mark.parametrize("depth", [1, 2, 1000, 1024, 1025, 2048, 3072, 6144, 8192, 12288, 20000, 32768])
def test_pieces_are_all_places_and_begin_at_multiples_of_their_sizes(depth):
    cut = pieces(depth)
    assert cut[0].start == 0 and cut[-1].stop == depth
    for before, after in pairwise(cut):
        assert before.stop == after.start
        assert len(before) in (1024, 2048, 4096, 8192)
        # The bits of a place within its piece are the lowest ones of the address.
        assert after.start % (1 << (len(after) - 1).bit_length()) == 0
    assert len(cut[-1]) <= 8192


@pytest.mark.parametrize("depth", [1, 5, 1024, 1030, 3072])
def test_a_bank_is_one_memory(depth):
    """Words and parts of them are written, and read two cycles after their addresses, at the edges of pieces too."""
    bits, parts, steps = 4, 2, 2000
    bank, rng = Bank(bits, parts, depth, FAMILIES["generic"]), np.random.default_rng(depth)
    edges = [at % depth for piece in pieces(depth) for at in (piece.start - 1, piece.start, piece.start + 1)]
    cells, expected, got = np.zeros((depth, parts), int), [], []

    async def drive(ctx):
        for _ in range(steps):
            place, address = (int(rng.choice(edges)) for _ in range(2))
            codes, en = rng.integers(0, 1 << bits, parts), rng.integers(0, 2, parts)
            ctx.set(bank.place, place)
            ctx.set(bank.word, int(codes @ (1 << bits * np.arange(parts))))
            ctx.set(bank.en, int(en @ (1 << np.arange(parts))))
            ctx.set(bank.address, address)
            expected.append(int(cells[address] @ (1 << bits * np.arange(parts))))
            # A place that is written in this cycle may be read as it was before, or as it is then.
            if place == address and en.any():
                expected[-1] = None
            cells[place] = np.where(en, codes, cells[place])
            await ctx.tick()
            got.append(ctx.get(bank.o))

    simulator = Simulator(bank)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    late = Bank.latency - 1
    pairs = [(a, b) for a, b in zip(expected, got[late:], strict=False) if a is not None]
    assert len(pairs) > steps // 5
    assert [a for a, _ in pairs] == [b for _, b in pairs]
