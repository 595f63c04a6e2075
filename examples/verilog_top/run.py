"""A hand-written Verilog top around a generated core, simulated in Icarus Verilog against the golden model.

Run it: python examples/verilog_top/run.py [FOLDER]; it needs iverilog on the path.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bitloom.cores.catalogue import lookup
from bitloom.cores.generate import generate, write
from bitloom.golden.olive import ovp

HERE = Path(__file__).parent


def main(folder):
    folder = Path(folder)
    core = lookup("ovp-decoder")
    write(generate(core, core.config()), folder / "ovp_decoder.v")

    values = np.random.default_rng(1).normal(0, 3, 128)
    values[::17] *= 12  # some outliers
    pairs = ovp.encode(values, ovp.INT4)
    (folder / "pairs.hex").write_text("".join(f"{pair:02x}\n" for pair in pairs))

    sources = [HERE / "top_tb.v", HERE / "top.v", "ovp_decoder.v"]
    subprocess.run(["iverilog", "-g2005", "-o", "top.vvp", *sources], cwd=folder, check=True)
    done = subprocess.run(["vvp", "-n", "top.vvp"], cwd=folder, check=True, capture_output=True, text=True)

    # Eight pairs a packet, as in the test bench.
    expected = ovp.values(pairs, ovp.INT4).reshape(-1, 16).sum(axis=1).tolist()
    found = [int(line) for line in done.stdout.split()]
    assert found == expected, (found, expected)
    print(f"{len(found)} sums equal the golden model")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as made:
            main(made)
