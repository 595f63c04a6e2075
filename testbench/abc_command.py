"""The model checker ABC as a program, for SymbiYosys: the wheel of Yosys has it only inside Yosys.

SymbiYosys calls this file as `abc`, with `-c COMMANDS` at the end. Inside Yosys ABC's output is lost, so its verdict is
asked from ABC as a file, and said in the words that SymbiYosys looks for.
"""

import subprocess
import sys
from pathlib import Path

# Yosys calls ABC on some logic and reads back what ABC made of it: one gate, kept aside while the commands run.
_GATE = "module gate(input a, b, output y); assign y = a & b; endmodule\n"


def main(arguments):
    """Run ABC commands in the working folder.

    Parameters
    ----------
    arguments : list of str
        Yosys and its options, `-c`, and the commands of ABC, separated by semicolons.

    Returns
    -------
    int
        Exit status of Yosys.
    """
    *yosys, _, commands = arguments
    status = Path("abc.status")
    status.unlink(missing_ok=True)
    Path("abc.v").write_text(_GATE)
    lines = ["backup", *(command.strip() for command in commands.split(";")), f"write_status {status}", "restore"]
    Path("abc.script").write_text("\n".join(lines) + "\n")
    script = "read_verilog abc.v; proc; simplemap; abc -script abc.script"
    # Names are relative: YoWASP tools have a /tmp of their own.
    done = subprocess.run([*yosys, "-q", "-p", script], stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        return done.returncode
    verdict, frame, *_ = status.read_text().split()
    if verdict == "snl_UNSAT":
        print("Property proved.")
    elif verdict == "snl_SAT":
        print(f'Output 0 of miter "spec" was asserted in frame {frame}.')
    else:
        print(f"Property undecided: {verdict}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
