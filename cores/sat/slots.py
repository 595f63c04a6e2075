"""What goes from the N:M selector to the N:M tile: slots of kept values with their indices, N of them in a group."""

from amaranth import Signal, signed
from amaranth.lib import data

__all__ = ["count_bits", "final_slot", "slot_layout", "slots_layout"]


def slot_layout(bits, group):
    """A kept value and its index in the group."""
    return data.StructLayout({"value": signed(bits), "index": range(group)})


def slots_layout(bits, group, lanes):
    """Payload of a stream of slots: `lanes`, one slot each; `last`, the reduction ends."""
    return data.StructLayout({"lanes": data.ArrayLayout(slot_layout(bits, group), lanes), "last": 1})


def count_bits(group):
    """Bits of the port `slots`."""
    return group.bit_length()


def final_slot(m, slots, group):
    """Number of a group's last slot, from 0; of `slots` only the residue modulo the group counts; 0 is the group."""
    final = Signal(range(group), name="final_slot")
    m.d.comb += final.eq(slots - 1)
    return final
