# amaranth: UnusedElaboratable=no
"""Bitstreams: a core behind a top level, through Yosys, nextpnr and the packer of the board's part."""

import hashlib
import importlib.metadata
import json
import shutil
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ... import __version__
from ...cores.generate import generate
from ...cores.kept import kept_design
from ...golden import strict_json
from ...hdl.primitives import guard
from ...tools import caches, finding, running, variables, workers
from ...tools.files import atomic_write, check_writable
from ..link.core import LinkTop
from ..link.protocol import identity
from ..link.uart import error
from .dfu import with_suffix
from .sdram import clocked
from .top import OnBoard

__all__ = ["BuildResult", "bitstream_path", "build", "core_identity", "read_description"]

_NAME = "top"  # of the design, and so of its files
_REPORT = f"{_NAME}.report.json"
_RESULT = "result.json"  # written last: a work folder that has it is complete
_STEPS = {"yosys": "synthesis", "nextpnr": "place and route"}
_SYNTHESIZED = (f"{_NAME}.json", f"{_NAME}.syn.json", f"{_NAME}.rpt")  # what synthesis leaves, in one family or another
_SEED = 1


@dataclass(frozen=True)
class BuildResult:
    """A bitstream, and what the tools said of it.

    Attributes
    ----------
    bitstream : Path
        The file.
    description : Path
        The JSON file beside it: all of this, and the core, its parameters, the board and the baud rate.
    clock_mhz : float
        The design's clock.
    oscillator_mhz : float
        The board's oscillator. Where the clock is another, a PLL makes it.
    baud : int
        Rate of the serial port that was asked for.
    baud_error : float
        How much faster it is, as a part of it; below 0 where it is slower.
    fmax_mhz : float
        nextpnr's estimate of the highest clock frequency.
    met : bool
        Whether every clock is at least as fast as it must be.
    utilization : mapping of str to (int, int)
        nextpnr's name of a resource to (used, available), for all that are used.
    tools : mapping of str to str
        Tool to version.
    notes : tuple of str
        What has to be said when `fmax_mhz` is quoted.
    seed : int
        Seed of the place and route whose bitstream this is.
    seeds : mapping of int to float
        Where several were tried, each seed's `fmax_mhz`.
    work : Path
        Folder with the design, the logs and the reports.
    cached : bool
        Whether all this was there already.
    """

    bitstream: Path
    description: Path
    clock_mhz: float
    oscillator_mhz: float
    baud: int
    baud_error: float
    fmax_mhz: float
    met: bool
    utilization: Mapping[str, tuple[int, int]]
    tools: Mapping[str, str]
    notes: tuple[str, ...]
    seed: int
    seeds: Mapping[int, float]
    work: Path
    cached: bool

    @property
    def median_mhz(self):
        """Median of the seeds' `fmax_mhz`; there must have been several."""
        return statistics.median(self.seeds.values())


def bitstream_path(core, board, out_dir="build"):
    """Where the bitstream of a core goes: `<core>-<board>` and the suffix of the part's family.

    Parameters
    ----------
    core : Core
        Entry of the catalogue.
    board : Board
        The board.
    out_dir : path-like
        Folder.
    """
    return Path(out_dir) / f"{core.name}-{board.name}{board.flow.suffix}"


def build(
    core,
    config,
    board,
    out_dir="build",
    *,
    output=None,
    baud=None,
    clock_mhz=None,
    seeds=None,
    jobs=None,
    top=LinkTop,
    progress=None,
):
    """Make the bitstream of a core for a board.

    The work is done in the cache folder. The same design with the same tools is not built twice.

    Parameters
    ----------
    core : Core
        Entry of the catalogue.
    config : Config or None
        Of the type `core.config`; None takes the board's default.
    board : Board
        One of `boards.BOARDS`.
    out_dir : path-like
        Folder for the bitstream and its description; made where it is missing.
    output : path-like or None
        File for the bitstream, in place of `bitstream_path(core, board, out_dir)`; the description's suffix is `.json`.
    baud : int or None
        Rate of the serial port; None takes the board's default.
    clock_mhz : float or None
        The design's clock, as for `clock.choose`; None takes the board's oscillator, or of a core with an SDRAM the
        clock that its times are for.
    seeds : int or None
        Place and route with seeds 1 to `seeds`, 1 or more, and keep the one with the fastest clock; None is seed 1.
    jobs : int or None
        Seeds at a time, 1 or more; by default one for each CPU.
    top : callable
        Takes the core's component, the identity, the clock in Hz and the baud rate; gives a component with the ports of
        `LinkTop`.
    progress : callable or None
        Called with what begins: "synthesis", "place and route", "bitstream".

    Returns
    -------
    BuildResult
        Also when the timing is not met: see `met`.

    Raises
    ------
    ValueError
        If the core, the clock, the rate, the seeds or the file name does not suit; for a core that the board has no
        default of, before any tool runs.
    ToolMissing, ToolFailed
        If a tool is not there, or fails (a design that is too large for the part ends so).
    """
    config = board.config(core) if config is None else config
    baud = board.rate(core) if baud is None else baud
    config, clock = clocked(core, config, board, clock_mhz)
    if seeds is not None and seeds < 1:
        raise ValueError(f"seeds must be 1 or more, not {seeds}")
    bitstream = Path(output) if output is not None else bitstream_path(core, board, out_dir)
    suffix = board.flow.suffix
    if bitstream.suffix != suffix:
        raise ValueError(f"a bitstream for {board.name} must end in {suffix}, not {bitstream.name!r}")
    for path in (bitstream, bitstream.with_suffix(".json")):
        check_writable(path)
    generated = generate(core, config)
    told = _identity(generated, config)
    design = OnBoard(top(core.component(config), told, clock.hz, baud), board, clock.setting)
    plan = _plan(design, board, guard(generated.verilog))
    tools = {command[0]: finding.find(command[0], override=True) for command in _commands(plan)}
    versions = {"amaranth": importlib.metadata.version("amaranth"), **{name: f.version for name, f in tools.items()}}
    keys = versions | {name: tool.key for name, tool in tools.items()}
    key = hashlib.sha256(strict_json.dumps([plan.digest().hex(), keys], sort_keys=True).encode()).hexdigest()[:16]
    work = caches.cache_dir("build") / f"{core.name}-{board.name}-{key}"
    request = plan.files, _commands(plan), tools
    cached = _complete(work)
    if not cached:
        _execute(*request, work, progress=progress)
    works = {_SEED: work} if seeds is None else _try_seeds(request, work, seeds, jobs, progress)
    seed = max(works, key=lambda seed: _margin(works[seed]))
    tried = {} if seeds is None else {seed: _result(folder)["fmax_mhz"] for seed, folder in works.items()}
    work = works[seed]
    numbers = _result(work)
    content = (work / f"{_NAME}{suffix}").read_bytes()
    if board.dfu:
        content = with_suffix(content, *(int(number, 16) for number in board.usb))
    description = {
        "core": core.name,
        "parameters": config.to_dict(),
        "board": board.name,
        "baud": baud,
        "identity": json.loads(told),
        "clock_mhz": clock.hz / 1e6,
        **clock.to_dict(),
        **numbers,
        **({"seed": seed, "seeds": tried} if tried else {}),
        "notes": [board.flow.note] if board.flow.note else [],
        "tools": {"bitloom": __version__, **versions},
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    atomic_write(bitstream, content)
    atomic_write(bitstream.with_suffix(".json"), strict_json.dumps(description, indent=2) + "\n")
    return BuildResult(
        bitstream=bitstream,
        description=bitstream.with_suffix(".json"),
        clock_mhz=description["clock_mhz"],
        oscillator_mhz=board.clock_hz / 1e6,
        baud=baud,
        baud_error=error(clock.hz, baud),
        fmax_mhz=numbers["fmax_mhz"],
        met=numbers["met"],
        utilization={name: tuple(counts) for name, counts in numbers["utilization"].items()},
        tools=description["tools"],
        notes=tuple(description["notes"]),
        seed=seed,
        seeds=tried,
        work=work,
        cached=cached,
    )


def read_description(bitstream, *names):
    """What `build` wrote beside a bitstream.

    Parameters
    ----------
    bitstream : Path
        The file.
    *names : str
        Entries that the description must have.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If there is none with these entries, or it is that of another bitstream.
    """
    file = bitstream.with_suffix(".json")
    try:
        description = json.loads(file.read_text())
        digest = [description[name] for name in (*names, "sha256")][-1]
    except (OSError, ValueError, KeyError, TypeError):
        raise ValueError(f"{str(file)!r} does not describe {bitstream.name}: build it again") from None
    if digest != hashlib.sha256(bitstream.read_bytes()).hexdigest():
        raise ValueError(f"{str(bitstream)!r} is not what {file.name} describes: build it again")
    return description


def core_identity(core, config):
    """What a board says of itself when this core is on it, as `protocol.identity` makes it.

    Parameters
    ----------
    core : Core
        Entry of the catalogue.
    config : Config
        Of the type `core.config`.
    """
    return _identity(kept_design(core, config), config)


def _identity(generated, config):
    return identity(generated.name, config.assignments(), generated.manifest["sha256"][:16])


def _plan(design, board, named):
    """Amaranth's build plan: files, and commands that read and write them; `named` is the `Guard` of the design."""
    options = {
        "synth_opts": board.synth_options,
        # A net `x[0]` beside a vector `x` stops ABC9 in Yosys 0.70 and before (its issues 4349 and 5274).
        "script_after_read": "\n".join([r"rename -hide w:*\[*\]", *named.before]),
        **({"script_after_synth": "\n".join(named.after)} if named.after else {}),
        # A design that is too slow still gets its report.
        "nextpnr_opts": f"--report {_REPORT} --timing-allow-fail --seed {_SEED}",
    }
    # Amaranth prefers its variables, AMARANTH_nextpnr_opts and the like, to what it is told here.
    with variables.unset("AMARANTH_"):
        # Source locations would put this machine's paths into the design, and into the key of the cache.
        return board.make_platform().prepare(design, _NAME, emit_src=False, **options)


def _commands(plan):
    return json.loads(plan.files[f"{plan.script}.json"])["commands"]


def _complete(work):
    return (work / _RESULT).is_file()


def _result(work):
    return json.loads((work / _RESULT).read_text())


def _margin(work):
    """Of the clock that is nearest to failing, what it reaches as a multiple of what it must."""
    report = json.loads((work / _REPORT).read_text())
    return min(map(_ratio, report["fmax"].values()))


def _try_seeds(request, work, seeds, jobs, progress):
    """Work folder of every seed from 1 to `seeds`; that of the first is `work`, and complete."""
    works = {seed: work.with_name(f"{work.name}-seed{seed}") for seed in range(_SEED + 1, seeds + 1)}
    calls = {f"seed {seed}": (*request, folder, seed, work) for seed, folder in works.items() if not _complete(folder)}
    if calls:
        if progress:
            progress(f"place and route of {len(calls)} more seeds")
        workers.results(_execute, calls, jobs)
    return {_SEED: work, **works}


def _execute(files, commands, tools, work, seed=_SEED, synthesized=None, progress=None):
    """Run a plan in a folder beside `work`, and rename that when all is done.

    Where `synthesized`, the work folder of another seed, is given, the netlist comes from there.
    """
    beside = Path(tempfile.mkdtemp(dir=work.parent, prefix=f"{work.name}."))
    try:
        for name, content in files.items():
            atomic_write(beside / name, content)
        for name in _SYNTHESIZED if synthesized else ():
            if (synthesized / name).is_file():
                shutil.copy(synthesized / name, beside)
        for program, *arguments in commands:
            if program == "yosys" and synthesized:
                continue
            if "--seed" in arguments:
                arguments[arguments.index("--seed") + 1] = str(seed)
            if progress:
                progress(_STEPS.get(program.split("-")[0], "bitstream"))
            log = beside / f"{program}.log"
            transcript = beside / f"{_NAME}.rpt" if program == "yosys" else None
            command = [*tools[program].command, *arguments]
            running.run(command, cwd=beside, log=log, transcript=transcript, name=program)
        report = json.loads((beside / _REPORT).read_text())
        atomic_write(beside / _RESULT, strict_json.dumps(_numbers(report), indent=2) + "\n")
        try:
            beside.rename(work)
        except OSError:
            # Another process may have built the same meanwhile.
            if not _complete(work):
                raise
            shutil.rmtree(beside)
    except running.ToolFailed:
        # The message names a log in this folder.
        raise
    except BaseException:
        shutil.rmtree(beside)
        raise


def _numbers(report):
    """Figures of nextpnr's report: the clock that is nearest to failing, and the resources used."""
    tightest = min(report["fmax"].values(), key=_ratio)
    return {
        "fmax_mhz": round(tightest["achieved"], 2),
        "met": all(_ratio(clock) >= 1 for clock in report["fmax"].values()),
        "utilization": {
            name: [counts["used"], counts["available"]]
            for name, counts in sorted(report["utilization"].items())
            # What none is available of is counted under another name too: a Gowin pad is an IOB and its kind of buffer.
            if counts["used"] and counts["available"]
        },
    }


def _ratio(clock):
    return clock["achieved"] / clock["constraint"]
