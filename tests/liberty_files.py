"""A small cell library, enough for switching energy: every function is one of two-input gates and inverters."""

__all__ = ["LIBRARY", "write"]

_GATE = """cell ({name}) {{ area : {area};
{inputs}  pin(Y) {{ direction : output; function : "{function}"; }} }}
"""
_FLIP_FLOP = """cell (DFF) { area : 6; ff (IQ, IQN) { clocked_on : "CK"; next_state : "D"; }
  pin(D) { direction : input; capacitance : 2; } pin(CK) { direction : input; clock : true; capacitance : 3; }
  pin(Q) { direction : output; function : "IQ"; } }
"""


def _gate(name, area, pins, function):
    inputs = "".join(f"  pin({pin}) {{ direction : input; capacitance : 1; }}\n" for pin in pins)
    return _GATE.format(name=name, area=area, inputs=inputs, function=function)


LIBRARY = (
    'library (small) {\n  capacitive_load_unit (1, "ff");\n'
    "  operating_conditions (typical) { voltage : 2.0; }\n"
    + _gate("INV", 1, "A", "!A")
    + _gate("BUF", 1, "A", "A")
    + _gate("ND2", 2, "AB", "!(A&B)")
    + _gate("XR2", 4, "AB", "A^B")
    + _FLIP_FLOP
    + "}\n"
)


def write(folder):
    """Write the library into a folder and return the file."""
    path = folder / "small.lib"
    path.write_text(LIBRARY)
    return path
