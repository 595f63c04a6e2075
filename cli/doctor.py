"""The tools that bitloom calls: `doctor`."""

import click

from ..tools import installation, inventory
from ..tools.environment import shell_setup
from . import options
from .output import FAILED, print_json, table

#: Keys of the JSON that programs read since the first version.
_KEYS = {"available": "found"}


@options.command("doctor", "bitloom doctor")
@click.option("--shell", is_flag=True, help='Print what sets a shell up: eval "$(bitloom doctor --shell)"')
@options.json_flag
def doctor(as_json, shell):
    """Show which tools were found and where, and how to install what is missing."""
    if shell:
        click.echo("\n".join(shell_setup()))
        return 0
    rows = installation.rows()
    if as_json:
        print_json([{_KEYS.get(key, key): value for key, value in vars(row).items()} for row in rows])
    else:
        columns = ["tool", "found", "version", "from", "needed for", "what to do"]
        table(columns, [[r.tool, r.available, r.version, r.origin, r.needed_for, r.hint] for r in rows])
        table(["tool", "program"], [[row.tool, row.path] for row in rows if row.available], title="\nWhere they are")
        click.echo('\nTo use them in a shell, from Amaranth too: eval "$(bitloom doctor --shell)"')
    for warning in installation.warnings():
        click.echo(f"warning: {warning}", err=True)
    return 0 if all(row.available or inventory.TOOLS[row.tool].optional for row in rows) else FAILED
