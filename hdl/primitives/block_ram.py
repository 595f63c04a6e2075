"""Block RAM as a design describes it: what Yosys must be told, so that a block is enough."""

__all__ = ["NO_BYPASS"]

#: Attributes of a memory of which nobody cares what is read from a place that is written in the same cycle. A block of
#: most families gives anything then, and Yosys puts registers and multiplexers around it that give what was there
#: before; with the attribute it does not. Simulators read what was there before.
NO_BYPASS = {"no_rw_check": 1}
