"""A short run of a core in Amaranth's simulator: what its streams do, cycle by cycle, for the timing diagram."""

from dataclasses import dataclass

from amaranth import Value
from amaranth.sim import Simulator

from ...hdl.emission.replicate import unwarned

__all__ = ["Cycle", "Run", "simulate"]

#: Cycles without a transfer after which all is out, and the most that are simulated.
_QUIET, _MOST = 100, 2000


@dataclass(frozen=True)
class Cycle:
    """A stream in a cycle: `valid`, `ready`, and the payload where it is valid."""

    valid: bool
    ready: bool
    payload: int | None


@dataclass(frozen=True)
class Run:
    """What the streams did.

    Attributes
    ----------
    streams : dict of str to list of Cycle
        Each stream by its name, inputs first.
    inputs : tuple of str
        Which of them are inputs.
    """

    streams: dict
    inputs: tuple[str, ...]

    def transfers(self, name):
        """(cycle, payload) of every transfer of a stream."""
        return [(at, each.payload) for at, each in enumerate(self.streams[name]) if each.valid and each.ready]


def simulate(component, payloads, settings):
    """Send payloads as fast as a core takes them, and take its outputs at once.

    Parameters
    ----------
    component : wiring.Component
        The core.
    payloads : dict of str to sequence of int
        For each input stream.
    settings : dict of str to int
        For each other input.

    Returns
    -------
    Run
        From the first cycle after reset to the last transfer.
    """
    component = unwarned(component)
    members = component.signature.members
    outputs = [name for name, member in members.items() if not member.is_port and name not in payloads]
    seen = {name: [] for name in (*payloads, *outputs)}

    async def bench(ctx):
        for name, value in settings.items():
            ctx.set(Value.cast(getattr(component, name)), value)
        for name in outputs:
            ctx.set(getattr(component, name).ready, 1)
        left = {name: list(words) for name, words in payloads.items()}
        quiet = 0
        while quiet < _QUIET and len(next(iter(seen.values()))) < _MOST:
            for name, words in left.items():
                stream = getattr(component, name)
                ctx.set(stream.valid, bool(words))
                ctx.set(Value.cast(stream.payload), words[0] if words else 0)
            quiet += 1
            for name, cycles in seen.items():
                stream = getattr(component, name)
                valid, ready = bool(ctx.get(stream.valid)), bool(ctx.get(stream.ready))
                cycles.append(Cycle(valid, ready, ctx.get(Value.cast(stream.payload)) if valid else None))
                if valid and ready:
                    quiet = 0
                    if name in left:
                        left[name].pop(0)
            await ctx.tick()

    simulator = Simulator(component)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    end = max((at for cycles in seen.values() for at, c in enumerate(cycles) if c.valid and c.ready), default=0)
    return Run({name: cycles[: end + 1] for name, cycles in seen.items()}, tuple(payloads))
