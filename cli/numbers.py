"""Types of the command line's numbers: click's own, but only for plain digits."""

import click

from ..tools import numerals

__all__ = ["Real", "Whole"]


class _Plain:
    """Reads a text as `reader` does, before click's type holds the number against its range."""

    def convert(self, value, param, ctx):
        # Defaults are numbers already.
        if isinstance(value, str):
            try:
                value = self.reader(value)
            except ValueError as error:
                self.fail(f"{error}.", param, ctx)
        return super().convert(value, param, ctx)

    def _describe_range(self):
        """For the help, where click has no words for a range without ends."""
        return "" if self.min is self.max is None else super()._describe_range()


class Whole(_Plain, click.IntRange):
    """A whole number, in a range where one is given: see `tools.numerals.whole`."""

    reader = staticmethod(numerals.whole)


class Real(_Plain, click.FloatRange):
    """A number, in a range where one is given: see `tools.numerals.real`."""

    reader = staticmethod(numerals.real)
