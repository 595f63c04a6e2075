"""One run of a tool: its Verilog, its work folder, its log, and what is kept of it."""

import functools
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..golden import strict_json
from ..tools import caches, finding, running, texts, wasm

__all__ = ["Progress", "begin", "count_cells", "kept", "run_yosys"]

Progress = Callable[[str], None] | None


@functools.cache
def _code() -> str:
    """Hash of the code that reads the tools' output: when it changes, kept results are not used."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def kept(make: Callable[[Path, Path], str], *key: object) -> str:
    """What ``make(work folder, log file)`` returns, from an earlier run with the same `key` when there was one."""
    digest = hashlib.sha256(strict_json.dumps([_code(), *key]).encode()).hexdigest()

    def run() -> str:
        log = caches.cache_dir("synth", "logs") / f"{digest}.log"
        work = Path(tempfile.mkdtemp(dir=caches.cache_dir("synth", "work")))
        try:
            text = make(work, log)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        log.unlink(missing_ok=True)
        return text

    return texts.kept(caches.cache_dir("synth") / f"{digest}.gz", run)


def run_yosys(script: list[str], work: Path, log: Path) -> None:
    """Run a Yosys script in the folder `work`; the wheel's Yosys gets a larger stack."""
    (work / "run.ys").write_text("\n".join(script) + "\n")
    yosys = finding.find("yosys", override=True)
    command = yosys.command if yosys.origin == "path" else [sys.executable, str(Path(__file__).with_name("yosys.py"))]
    # `run` does not know the script that gives the wheel's Yosys its stack.
    wasm.prepare(yosys.command[0])
    options = ["-q", "-l", "yosys.log", "run.ys"]
    try:
        running.run([*command, *options], work, log=log, transcript=work / "yosys.log", name="Yosys")
    except running.ToolFailed as error:
        if "call stack exhausted" not in str(error):
            raise
        raise running.ToolFailed(
            f"{error}; a native Yosys, named by the variable YOSYS, takes deeper designs"
        ) from None


def count_cells(work: Path) -> dict[str, int]:
    """Cells by type from the ``stat.json`` that the script wrote."""
    counts = json.loads((work / "stat.json").read_text())["design"].get("num_cells_by_type", {})
    return dict(sorted(counts.items()))


def begin(progress: Progress, said: str) -> None:
    """Tell `progress` that a step begins."""
    if progress:
        progress(said)
