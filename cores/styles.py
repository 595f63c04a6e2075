"""How the ports of a core are named."""

__all__ = ["INTERFACES"]

#: `stream` names them as Amaranth does (`i__payload`, `i__valid`, `i__ready`), `axis` as AXI4-Stream.
INTERFACES = ("stream", "axis")
