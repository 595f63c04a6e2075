"""Whether a design goes to Amaranth's simulator, which takes an `Instance` of a primitive for constant zeros."""

__all__ = ["WRITTEN", "simulated"]

#: Platform of a design that is written out and has no other one.
WRITTEN = object()


def simulated(platform):
    """Whether a portable description must stand for a family's primitives, with the same values in the same cycles.

    So it is where `elaborate` gets no platform: in Amaranth's simulator, and in `amaranth.back.verilog.convert`, where
    any other `platform` than None, such as `WRITTEN`, names the primitives. `hdl/emission/verilog.py` and the boards
    name them.
    """
    return platform is None
