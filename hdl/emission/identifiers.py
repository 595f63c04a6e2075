"""Names that a module may have: legal in Verilog and in SystemVerilog, and of no other module."""

import re

__all__ = ["KEYWORDS", "LONGEST", "check", "is_used"]

#: Most characters of a name; those of inner modules are longer, and all tools take 255.
LONGEST = 128

_WORDS = """
accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before begin bind bins
binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class clocking cmos config const
constraint context continue cover covergroup coverpoint cross deassign default defparam design disable dist do edge
else end endcase endchecker endclass endclocking endconfig endfunction endgenerate endgroup endinterface endmodule
endpackage endprimitive endprogram endproperty endsequence endspecify endtable endtask enum event eventually expect
export extends extern final first_match for force foreach forever fork forkjoin function generate genvar global
highz0 highz1 if iff ifnone ignore_bins illegal_bins implements implies import incdir include initial inout input
inside instance int integer interconnect interface intersect join join_any join_none large let liblist library local
localparam logic longint macromodule matches medium modport module nand negedge nettype new nexttime nmos nor
noshowcancelled not notif0 notif1 null or output package packed parameter pmos posedge primitive priority program
property protected pull0 pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase
randsequence rcmos real realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0
rtranif1 s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal showcancelled
signed small soft solve specify specparam static string strong strong0 strong1 struct super supply0 supply1
sync_accept_on sync_reject_on table tagged task this throughout time timeprecision timeunit tran tranif0 tranif1 tri
tri0 tri1 triand trior trireg type typedef union unique unique0 unsigned until until_with untyped use uwire var
vectored virtual void wait wait_order wand weak weak0 weak1 while wildcard wire with within wor xnor xor
"""
#: Reserved words of Verilog (IEEE 1364-2005, Annex B) and SystemVerilog (IEEE 1800-2017, Annex B).
KEYWORDS = frozenset(_WORDS.split())


def check(name):
    """Refuse what cannot be the name of a design.

    Inner modules are called `NAME__…`, and no name has two underscores together or one at its end: so modules of two
    designs with different names never have the same one.

    Raises
    ------
    ValueError
        For a text that is not an identifier, a reserved word, too long, or could be an inner module of another design.
    """
    if not re.fullmatch(r"_?[A-Za-z][A-Za-z0-9]*(_[A-Za-z0-9]+)*", name) or len(name) > LONGEST:
        raise ValueError(
            f"name must be a Verilog identifier of at most {LONGEST} letters, digits and single underscores, none at "
            f"its end, not {name!r}"
        )
    if name in KEYWORDS:
        raise ValueError(f"name must be no reserved word of Verilog or SystemVerilog, not {name!r}")


def is_used(name, verilog):
    """Whether something in a Verilog text, beside one module, has this name."""
    return len(re.findall(rf"(?<![\w$]){re.escape(name)}(?![\w$])", verilog)) > 1
