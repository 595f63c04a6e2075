"""The Amaranth platform of Sipeed's Tang Nano 20K, which amaranth-boards lacks; pins as in Sipeed's schematic."""

from amaranth.build import Attrs, Clock, Pins, PinsN, Resource, Subsignal
from amaranth.vendor import GowinPlatform

__all__ = ["TangNano20kPlatform"]

_IO = Attrs(IO_TYPE="LVCMOS33")


class TangNano20kPlatform(GowinPlatform):
    """What bitloom uses of the board: oscillator, LEDs and serial port."""

    part = "GW2AR-LV18QN88C8/I7"
    family = "GW2AR-18C"
    default_clk = "clk27"
    resources = [
        Resource("clk27", 0, Pins("4", dir="i"), Clock(27e6), _IO),
        *(
            Resource("led", number, PinsN(pin, dir="o"), _IO)
            for number, pin in enumerate(["15", "16", "17", "18", "19", "20"])
        ),
        Resource("uart", 0, Subsignal("rx", Pins("70", dir="i")), Subsignal("tx", Pins("69", dir="o")), _IO),
    ]
    connectors = []

    @property
    def _chipdb_device(self):
        # Amaranth knows only for GW1NR that the packer takes the part without memory in its package.
        return "GW2A-18C"
