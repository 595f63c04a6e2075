"""Several seeds of place and route: what a design reaches on a part by luck, and what it reaches usually.

The seed decides where the placer begins. A figure to be quoted is the median; who builds takes the best.
"""

import statistics
from dataclasses import dataclass

from ..cores.catalogue import lookup
from ..cores.config import Config
from ..cores.generate import generate
from ..tools import workers
from .flow import synthesize
from .jobs import Progress, begin
from .report import Report

__all__ = ["Seeds", "run"]


@dataclass(frozen=True)
class Seeds:
    """The same design with several seeds.

    Attributes
    ----------
    reports : tuple of Report
        Of the seeds from 1 on.
    """

    reports: tuple[Report, ...]

    @property
    def best(self) -> Report:
        """The one with the fastest clock; of equal ones the first."""
        return max(self.reports, key=lambda report: report.fmax_mhz)

    @property
    def median_mhz(self) -> float:
        """Median of the clocks, in MHz."""
        return statistics.median(report.fmax_mhz for report in self.reports)

    @property
    def wording(self) -> str:
        """One line for people."""
        best = self.best
        return (
            f"seeds 1 to {len(self.reports)}: median {self.median_mhz:.1f} MHz, "
            f"best {best.fmax_mhz:.1f} MHz (seed {best.seed}), which is shown"
        )

    def to_dict(self) -> dict:
        """The best report as JSON can hold it, and the clock of every seed."""
        clocks = {str(report.seed): report.fmax_mhz for report in self.reports}
        return {**self.best.to_dict(), "median_mhz": self.median_mhz, "seeds": clocks}


def run(
    core,
    config: Config,
    part: str,
    count: int,
    freq: float | None = None,
    jobs: int | None = None,
    progress: Progress = None,
) -> Seeds:
    """Measure a core with the seeds 1 to `count`.

    Parameters
    ----------
    core : Core
        Entry of the catalogue.
    config : Config
        Of the type `core.config`.
    part, freq
        As for `flow.synthesize`; an FPGA part.
    count : int
        Number of seeds, 1 or more.
    jobs : int or None
        Seeds at a time, 1 or more; by default one for each CPU.
    progress : callable or None
        Called with the name of each step when it begins.

    Raises
    ------
    ValueError, ToolMissing, ToolFailed
        As from `flow.synthesize`, the seed named if it is not the first; the other seeds are stopped.
    """
    # The first one alone: what Yosys makes is kept, and the same for all.
    first = synthesize(generate(core, config), part, freq=freq, seed=1, progress=progress)
    calls = {f"seed {seed}": (core.name, config, part, freq, seed) for seed in range(2, count + 1)}
    if calls:
        begin(progress, f"place and route on {part} of {len(calls)} more seeds")
    return Seeds((first, *(workers.results(_measure, calls, jobs) if calls else ())))


def _measure(core: str, config: Config, part: str, freq: float | None, seed: int) -> Report:
    return synthesize(generate(lookup(core), config), part, freq=freq, seed=seed)
