"""What three tools have to say about a Verilog file; of a good one they say nothing."""

import subprocess

from bitloom.tools import finding
from bitloom.tools.environment import environment


def run(command, folder):
    """Status and output, standard and error together, of a tool in a folder."""
    done = subprocess.run(
        command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def verilator(file, *more):
    """Lint without any option that silences it; its report on what it read is not a warning."""
    status, output = run([*finding.find("verilator").command, "--lint-only", file.name, *more], file.parent)
    return status, [line for line in output.splitlines() if not line.startswith("- ")]


def icarus(file, *more):
    """Compile with every warning that Icarus Verilog knows."""
    status, output = run(
        [*finding.find("iverilog").command, "-Wall", "-o", f"{file.stem}.vvp", file.name, *more], file.parent
    )
    return status, output.splitlines()


def yosys(file, top, *commands, library=""):
    """Read, with a library of primitives first, and assert that every wire has one driver; then run more commands."""
    script = [f"read_verilog -lib {library}"] if library else []
    script += [f"read_verilog {file.name}", f"hierarchy -check -top {top}", "proc", "check -assert", *commands]
    log = file.with_suffix(".log")
    status, output = run([*finding.find("yosys").command, "-l", log.name, "-p", "; ".join(script)], file.parent)
    warnings = [line for line in log.read_text().splitlines() if "warning" in line.lower()]
    return status, warnings + output.splitlines()[-1:] * bool(status)
