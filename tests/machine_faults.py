"""Sentences through a toy machine over a faulty cable.

    python tests/machine_faults.py [SENTENCES]

prints what became of them.
"""

import contextlib
import sys
import tempfile
import time
from pathlib import Path

import link_faults
import linked_toy

from bitloom.fpga.session import host
from bitloom.fpga.session import machine as machines

__all__ = ["MachineCampaign", "campaign", "run"]

machines.BLOCK = 64

# A host that never ends, and sends what is no program.
_HOST = link_faults._HOST.replace("LinkStream(0, 9, 2)", "LinkStream(0, 35, 5)").replace(
    "LinkStream(0, 17, 3)", "LinkStream(0, 34, 5)"
)


class MachineCampaign(link_faults.Campaign):
    """Passes through the twin of a toy machine, with faults, and clean ones after them.

    Attributes
    ----------
    sentences, blocks : int
        Sentences that were right; blocks of the image that had to be loaded.
    """

    host = _HOST

    def __init__(self, board, toy, seed=1):
        super().__init__(board, linked_toy.HELD.channels, linked_toy.HELD.identity, seed)
        self.toy = toy
        self.sentences = self.blocks = 0

    def job(self, items, stop=None, identity=None):
        """Load what is missing, and send passes: "right", "wrong", or the line that says why not; repeated requests."""
        passes = self.toy.passes(self.rng, 4 + items // 20)
        repeated = 0
        try:
            with linked_toy.linked(self.proxy.path, margin=0.25, patience=2, retries=12) as machine:
                machine.identity = identity or machine.identity
                try:
                    machine.begin()
                    self.blocks += machine.load(self.toy.program.words)
                    ran = machine.run(self.toy.program, passes, stop)
                finally:
                    repeated = machine.link.repeated
        except host.LinkError as error:
            assert "\n" not in str(error)
            return str(error), repeated
        if ran.failure:
            return ran.failure, repeated
        if not (ran.sums == self.toy.sums(passes)).all():
            return "wrong", repeated
        self.sentences += sum(map(len, passes))
        return "right", repeated

    def _port_busy(self, kind, count, gap):
        with linked_toy.linked(self.proxy.path) as machine:
            machine.begin()
            count.injected += 1
            self._ended(kind, count, *self.job(10))
            # The one that has it goes on.
            assert machine.load(self.toy.program.words) == 0


@contextlib.contextmanager
def campaign(folder, seed=1):
    """A campaign on a twin."""
    toy = linked_toy.Toy(folder)
    with linked_toy.running(seed) as board:
        made = MachineCampaign(board, toy, seed)
        try:
            yield made
        finally:
            made.proxy.close()


def run(made, sentences, faults=50, told=lambda: None):
    """Rounds of so many faults, until so many sentences were right; `told` is called after each."""
    total = 0
    while made.sentences < sentences:
        total += faults
        link_faults.run(made, total)
        told()


def main():
    with tempfile.TemporaryDirectory() as folder, campaign(Path(folder)) as made:
        start = time.monotonic()

        def told():
            print(made.table())
            seconds = time.monotonic() - start
            print(
                f"\n{made.sentences:,} sentences right, {made.blocks:,} blocks loaded, {seconds:.0f} seconds",
                flush=True,
            )

        run(made, int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, 200, told)


if __name__ == "__main__":
    main()
