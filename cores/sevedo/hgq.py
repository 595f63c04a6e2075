"""What the HGQ cores of SeVeDo (Hierarchical Group Quantization) share: one fine group, and the sizes of groups."""

from dataclasses import dataclass

from amaranth import signed
from amaranth.lib import data

from ...golden.sevedo import hgq as golden
from ..config import Config, param

__all__ = ["CODE", "SCALE", "GroupConfig", "fine_group"]

#: Shape of a code, -7 to 7, and bits of a scale, which is a positive normal FP16 number.
CODE, SCALE = signed(4), 16


def fine_group(fine, shift_bits):
    """One fine group with the scale of its coarse group, what the HGQ cores exchange a transfer.

    Fields: `codes`, -7 to 7, element 0 lowest; `shift`, to the left, 0 to ``2**shift_bits - 1``; `scale`, an FP16 code,
    the same in all fine groups of a coarse one. An element is ``code * scale * 2**(shift - (2**shift_bits - 1))``.

    Parameters
    ----------
    fine : int
        Values that share a shift.
    shift_bits : int
        0 to 3.
    """
    return data.StructLayout({"codes": data.ArrayLayout(CODE, fine), "shift": shift_bits, "scale": SCALE})


@dataclass(frozen=True)
class GroupConfig(Config):
    """Sizes of the groups.

    Raises
    ------
    ValueError
        Also if the coarse group is no multiple of the fine one.
    """

    coarse: int = param(golden.COARSE, "values that share a scale, a multiple of the fine group", low=1, high=256)
    fine: int = param(golden.FINE, "values that share a shift", low=1, high=256)
    shift_bits: int = param(golden.SHIFT_BITS, "bits of a shift; 0: no shifts", low=0, high=golden.MAX_SHIFT_BITS)

    def __post_init__(self):
        super().__post_init__()
        if self.coarse % self.fine:
            raise ValueError(f"coarse must be a multiple of the fine group of {self.fine}, not {self.coarse}")

    @property
    def groups(self):
        """Fine groups in a coarse one."""
        return self.coarse // self.fine

    @property
    def group_layout(self):
        """One fine group, as `fine_group`."""
        return fine_group(self.fine, self.shift_bits)
