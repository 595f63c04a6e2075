"""A hand-written Verilog top around a generated core, simulated in Icarus Verilog against the golden model.

Run it: python examples/verilog_top/run.py [FOLDER]; it needs iverilog on the path.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import bitloom
from bitloom.golden import olive

HERE = Path(__file__).parent


def main(folder):
    folder = Path(folder)
    bitloom.core("ovp-decoder").generate(folder / "ovp_decoder.v")

    values = np.random.default_rng(1).normal(0, 3, 128)
    values[::17] *= 12  # some outliers
    pairs = olive.encode(values, olive.INT4)
    (folder / "pairs.hex").write_text("".join(f"{pair:02x}\n" for pair in pairs))

    sources = [HERE / "top_tb.v", HERE / "top.v", "ovp_decoder.v"]
    subprocess.run(["iverilog", "-g2005", "-o", "top.vvp", *sources], cwd=folder, check=True)
    done = subprocess.run(["vvp", "-n", "top.vvp"], cwd=folder, check=True, capture_output=True, text=True)

    # Eight pairs a packet, as in the test bench.
    expected = olive.values(pairs, olive.INT4).reshape(-1, 16).sum(axis=1).tolist()
    sums = [int(line) for line in done.stdout.split()]
    assert sums == expected, (sums, expected)
    print(f"{len(sums)} sums equal the golden model")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with tempfile.TemporaryDirectory() as made:
            main(made)
