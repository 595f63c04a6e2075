"""`python -m bitloom`, and the program `bitloom`: the command line, if the packages that it needs are installed."""

import os
import sys

from .tools.missing import sentence


def main():
    """Run the command line; a package that it cannot be imported without is named in one line."""
    try:
        from .cli import program
    except ImportError as error:
        said = sentence(error)
        if said is None or os.environ.get("BITLOOM_TRACEBACK"):
            raise
        print(f"bitloom: {said}", file=sys.stderr)
        sys.exit(2)
    program.main()


if __name__ == "__main__":
    main()
