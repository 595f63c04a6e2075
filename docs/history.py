"""The history of figures: what changed from one release to another, and what a release has.

    python docs/history.py compare OLD NEW [--percent N]
    python docs/history.py release VERSION

OLD and NEW are versions, `unreleased`, or files. `compare` prints each figure that changed, the worst first. Its exit
status is 1 if a core takes over N percent more LUTs, or lost over N percent of its Fmax; without --percent, over 5.
`release` gives the figures that were measured since the last release to a version. `make bench` measures them.
"""

import argparse
import re
import sys
from pathlib import Path

from bitloom.cores.sheet import changes, measured

UNRELEASED = measured.FOLDER / f"{measured.UNRELEASED}.json"


class Parser(argparse.ArgumentParser):
    """Whose complaint is one line."""

    def error(self, message):
        self.exit(2, f"error: {message}\n")


def compare(old, new, percent):
    """Print what changed between two files; the exit status."""
    changed, gone, came = changes.changes(_read(old), _read(new))
    for change in changed:
        print(_line(change, percent))
    if not changed:
        print("no figure changed")
    if gone or came:
        print(f"not compared: {gone} rows that only {old} has, {came} that only {new} has")
    return int(any(change.verdict(percent) == "worse" for change in changed))


def _line(change, percent):
    before, after = ("none" if number is None else f"{number:,.10g}" for number in (change.before, change.after))
    share = "" if abs(change.percent) == float("inf") else f" ({change.percent:+.1f} %)"
    tools = f", other tools: {change.tools}" if change.tools else ""
    verdict = change.verdict(percent).upper()
    return f"{verdict:7}{change.where}: {change.figure} {before} -> {after}{share}{tools}"


def _read(word):
    for path in (Path(word), measured.FOLDER / f"{word}.json"):
        if path.is_file():
            return measured.read(path)
    known = ", ".join(each["release"] for each in measured.releases())
    raise ValueError(f"there is no file {word!r}, and no release of this name (there are {known})")


def release(version):
    """Move what was measured since the last release into the file of a version; the exit status."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"a version must be like 0.2.0, not {version!r}")
    if not UNRELEASED.exists():
        raise ValueError(f"nothing was measured since the last release: there is no {UNRELEASED.name}")
    figures, path = measured.read(UNRELEASED), measured.FOLDER / f"{version}.json"
    if path.exists():
        raise ValueError(f"{path.name} is there: a release's figures stay as they are")
    measured.write(path, figures | {"release": version})
    UNRELEASED.unlink()
    return 0


def main(words=None):
    """What the command line asks for; the exit status."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="compare | release")
    comparing = commands.add_parser("compare")
    comparing.add_argument("old", metavar="OLD")
    comparing.add_argument("new", metavar="NEW")
    comparing.add_argument("--percent", type=_percent, default=changes.LIMIT, metavar="N")
    comparing.set_defaults(run=compare)
    releasing = commands.add_parser("release")
    releasing.add_argument("version", metavar="VERSION")
    releasing.set_defaults(run=release)
    given = vars(parser.parse_args(words))
    try:
        return given.pop("run")(**given)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _percent(text):
    if not re.fullmatch(r"\d+(\.\d+)?", text):
        raise argparse.ArgumentTypeError(f"must be a number from 0 on, not {text!r}")
    return float(text)


if __name__ == "__main__":
    sys.exit(main())
