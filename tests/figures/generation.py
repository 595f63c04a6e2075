"""What it takes to write Verilog."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bitloom.cores.generate import generate

from .rows import configurations
from .tables import Table, seconds


def generation(names):
    """Time and size of the Verilog."""
    for core, name, config in configurations(names):
        design = generate(core, config)
        taken = seconds(lambda core=core, config=config: generate(core, config))
        yield name, f"{taken:.3f}", len(design.verilog), design.manifest["modules"]


def large_generation():
    """What `bitloom generate` takes for tiles of many sides: start of the interpreter, file and tools included."""
    for side in (8, 16, 32, 64, 128):
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "tile.v"
            command = [sys.executable, "-m", "bitloom", "generate", "systolic-tile", "-o", str(output)]
            command += ["-p", f"rows={side}", "-p", f"cols={side}"]
            taken = []
            for _ in range(3):
                start = time.perf_counter()
                process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
                # The largest process below the command counts, Yosys.
                _, status, usage = os.wait4(process.pid, 0)
                taken.append(time.perf_counter() - start)
                process.returncode = os.waitstatus_to_exitcode(status)
            yield f"{side}x{side}", f"{min(taken):.2f}", f"{output.stat().st_size:,}", f"{usage.ru_maxrss / 1024:.0f}"


GENERATION = Table(
    "generation",
    "generation",
    ("core", "seconds", "bytes", "modules"),
    generation,
    tools=("yosys",),
    timed=("seconds",),
    by_core=True,
)
SIZES = Table(
    "sizes",
    "bitloom generate systolic-tile",
    ("tile", "seconds", "bytes", "MB"),
    large_generation,
    tools=("yosys",),
    timed=("seconds", "MB"),
)
