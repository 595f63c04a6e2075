"""What the parts of the machine share: its configuration, and the layouts of what goes between them."""

from dataclasses import dataclass

from amaranth import signed
from amaranth.lib import data

from ...golden.machine import image, jobs
from ...golden.machine.parts import WIDE, Norm
from ...golden.machine.sizes import FORMATS, Sizes
from ...hdl.primitives import taking
from ..config import Config, param
from ..gqa_lut.layernorm_unit import LayernormUnitConfig
from ..gqa_lut.pwl_unit import PwlUnitConfig
from ..gqa_lut.softmax_unit import SoftmaxUnitConfig
from ..systolic.tile import SystolicConfig
from .requantizer import TARGETS, RequantizerConfig

__all__ = ["MachineConfig"]


#: Of an operand of the array: probabilities have 8 without sign.
_BITS = 9


@dataclass(frozen=True)
class ArrayConfig(SystolicConfig):
    """The machine's systolic tile: its columns may be probabilities, which have 8 bits without sign."""

    w_format: str = param("int9", "format of the columns", choices=("int9",))
    overflow: bool = param(False, "sums have 32 bits and wrap", choices=(False,))
    pipeline: str = param("stalling", "what a drain that waits does to the array", choices=("stalling",))


@dataclass(frozen=True)
class MachineConfig(Config):
    """Parameters of `Engine`."""

    lanes: int = param(Sizes.lanes, "rows, and columns, of the array", choices=(4, 8))
    tokens: int = param(Sizes.tokens, "of a pass, each sentence in whole groups of `lanes`", low=4, high=256)
    channels: int = param(Sizes.channels, "most of the residual", low=4, high=1008)
    hidden: int = param(Sizes.hidden, "most of the feed-forward", low=4, high=4032)
    panels: int = param(Sizes.panels, "words of weights that wait; a power of two", low=16, high=1 << 16)
    jobs: int = param(Sizes.jobs, "of a program; a power of two", low=16, high=4096)
    address_bits: int = param(
        Sizes.address_bits, "of an address of the memory, in words of 8 bits a lane", low=8, high=28
    )
    id_bits: int = param(16, "of a token's id", low=1, high=20)
    logit_scale: int = param(Sizes.logit_scale, "a logit q stands for q * 2**-logit_scale", low=0, high=7)
    entries: int = param(Sizes.entries, "of the tables of exp, 1/x, 1/sqrt(x) and GELU", choices=(8, 16))
    epsilon: int = param(Sizes.epsilon, "of LayerNorm, added to C**2 times the variance", low=1, high=1 << 32)
    format: str = param("int8", "of weights and inputs of linear layers", choices=FORMATS)
    block: int = param(4, "rows and columns of processing elements that share one operand register", low=1, high=16)
    target: str = param(
        "generic",
        "FPGA family whose primitives are named; generic: none. A half of a DSP of iCE40 has no 9 bits",
        choices=taking(_BITS),
    )

    def __post_init__(self):
        super().__post_init__()
        for name in ("tokens", "channels", "hidden"):
            if getattr(self, name) % self.lanes:
                raise ValueError(f"{name} must be a multiple of {self.lanes} lanes, not {getattr(self, name)}")
        for name in ("panels", "jobs"):
            if getattr(self, name) & (getattr(self, name) - 1):
                raise ValueError(f"{name} must be a power of two, not {getattr(self, name)}")
        # The list is read whole, and something must be behind it.
        most = (1 << self.address_bits) * self.word // jobs.BITS // 2
        if self.jobs > most:
            raise ValueError(
                f"jobs must be at most {most} with address_bits {self.address_bits} and {self.lanes} lanes, "
                f"not {self.jobs}"
            )
        if (bits := jobs.width(self.sizes)) > jobs.BITS:
            sizes = f"channels {self.channels}, hidden {self.hidden} and tokens {self.tokens}"
            raise ValueError(f"tokens must be fewer: with {sizes} a job has {bits} bits, not at most {jobs.BITS}")

    @property
    def sizes(self):
        """As the golden model has them."""
        return Sizes(**{name: getattr(self, name) for name in Sizes.__dataclass_fields__})

    @property
    def word(self):
        """Bits of a word of the memory, and of a bank."""
        return 8 * self.lanes

    @property
    def input_bits(self):
        """Of a requantizer's codes in front of a linear layer: they are the inputs, or become pairs."""
        return WIDE if self.sizes.pairs else 8

    @property
    def tile(self):
        """Of the array; pairs are decoded in front of it."""
        return ArrayConfig(rows=self.lanes, cols=self.lanes, block=self.block, target=self.target)

    @property
    def requantizer(self):
        """Behind the array."""
        return self._requantizer(lanes=self.lanes, output_bits=WIDE, depth=self.lanes, residual=True)

    @property
    def gelu(self):
        """GELU's unit."""
        return PwlUnitConfig(kind="int16", entries=self.entries)

    @property
    def hidden_requantizer(self):
        """Behind GELU's unit."""
        return self._requantizer(lanes=1, output_bits=self.input_bits, depth=self.lanes)

    @property
    def norm(self):
        """LayerNorm's unit."""
        more = {"entries": self.entries, "input_bits": WIDE, "output_bits": WIDE, "epsilon": self.epsilon}
        return LayernormUnitConfig(max_length=self.channels, out_shift=Norm.scale(self.channels), **more)

    def norm_requantizer(self, bits):
        """Behind LayerNorm's unit, to the residual or to codes."""
        return self._requantizer(lanes=1, output_bits=bits, depth=1 << max(1, (self.channels - 1).bit_length()))

    def _requantizer(self, **parameters):
        """With the machine's primitives, where its family has multipliers that are wide enough."""
        return RequantizerConfig(target=self.target if self.target in TARGETS else "generic", **parameters)

    @property
    def softmax(self):
        """The unit of softmax."""
        return SoftmaxUnitConfig(max_length=self.tokens, scale=self.logit_scale, entries=self.entries)

    def job(self, kind):
        """Layout of a job, behind its operation: `kind` of `golden.machine.jobs.KINDS`."""
        return data.StructLayout(jobs.fields(kind, self.sizes))

    @property
    def entry(self):
        """Layout of an entry of a requantizer's table in memory."""
        return data.StructLayout({name: signed(bits) if name == "bias" else bits for name, bits in image.ENTRY.items()})
