"""Binary floating-point formats, and what the blocks of `float_add`, `float_multiply` and `float_convert` share.

Inside a block a number is a sign, an exponent and a significand. The exponent is biased as in the format of the result,
but wider and signed; it belongs to the significand's highest bit. A significand without its highest bit set is zero, or
it is subnormal, and then the exponent is 1. Rounding is to the nearest, ties to even; so are NumPy's results.

Subnormals, infinities and NaNs cost a third of a block and more, and a datapath often cannot meet them. Every block
takes `specials`; the caller who says False has a proof that operands and results are zero or normal. Such a proof is a
range: in the Anda tile every product is a multiple of 2**-53 and below 2**42 in magnitude, so a sum of up to 2**20 of
them, rounded or not, is a multiple of 2**-53 and at most 2**62; FP32 is normal from 2**-126 to below 2**128. If the
proof is wrong, that result is some bit pattern, and later ones are not touched by it.
"""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import NamedTuple

from amaranth import Cat, Const, Mux, Signal, Value
from amaranth.lib import data

from ..integer.bits import leading_zeros, resize

__all__ = [
    "BF16",
    "FP16",
    "FP32",
    "FloatFormat",
    "Unpacked",
    "compress",
    "denormalize",
    "distance",
    "normalize",
    "normalize_most",
    "normalize_rest",
    "pack",
    "shift_right_jam",
    "stage",
    "stop",
    "take",
    "unpack",
]


# Lowest bits of a distance whose shifts may come after a register: one 4-to-1 multiplexer.
_REST = 2


@dataclass(frozen=True)
class FloatFormat:
    """A binary format as of IEEE 754: sign, biased exponent, fraction; the highest exponent is infinity and NaN.

    Parameters
    ----------
    exponent_bits : int
        2 to 11.
    fraction_bits : int
        1 to 52.

    Raises
    ------
    ValueError
        If either is out of range.
    """

    exponent_bits: int
    fraction_bits: int

    def __post_init__(self):
        for name, low, high in (("exponent_bits", 2, 11), ("fraction_bits", 1, 52)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} must be {low} to {high}, not {value}")

    @property
    def width(self):
        """Bits of a number."""
        return 1 + self.exponent_bits + self.fraction_bits

    @property
    def precision(self):
        """Bits of a significand, with the hidden one."""
        return 1 + self.fraction_bits

    @property
    def bias(self):
        """Exponent field of 1.0."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def highest(self):
        """Exponent field of infinity and NaN."""
        return (1 << self.exponent_bits) - 1

    @property
    def infinity(self):
        """Code of +infinity."""
        return self.highest << self.fraction_bits

    @property
    def nan(self):
        """Code of the NaN that every block gives: quiet, positive, without payload."""
        return self.infinity | 1 << (self.fraction_bits - 1)

    @property
    def layout(self):
        """Fields of a number: `fraction`, `exponent`, `sign`."""
        return data.StructLayout({"fraction": self.fraction_bits, "exponent": self.exponent_bits, "sign": 1})


FP16 = FloatFormat(5, 10)
BF16 = FloatFormat(8, 7)
FP32 = FloatFormat(8, 23)


def stage(m, name, en, **values):
    """Registers, or wires, for values.

    Parameters
    ----------
    m : Module
    name : str
        Begins the signals' names.
    en : Value or None
        Enable of the registers, which have no reset; None for wires.
    **values : ValueLike
        What each signal, called `name_key`, holds.

    Returns
    -------
    SimpleNamespace
        The signals.
    """
    signals = SimpleNamespace()
    for key, value in values.items():
        value = Value.cast(value)
        signal = Signal(value.shape(), name=f"{name}_{key}", reset_less=True)
        if en is None:
            m.d.comb += signal.eq(value)
        else:
            with m.If(en):
                m.d.sync += signal.eq(value)
        setattr(signals, key, signal)
    return signals


def take(signals, *keys):
    """Some of the signals of a stage, by name, as the next stage takes them."""
    return {key: getattr(signals, key) for key in keys}


class Unpacked(NamedTuple):
    """A number apart.

    Attributes
    ----------
    sign : Value
    exponent : Value
        Of the highest bit of the significand; the field, but 1 for subnormals where they may occur.
    significand : Value
        With the hidden bit, `precision` bits.
    infinite, nan : Value
    """

    sign: Value
    exponent: Value
    significand: Value
    infinite: Value
    nan: Value


def unpack(number, fmt, subnormals):
    """Take a number apart.

    Parameters
    ----------
    number : View
        Of `fmt.layout`.
    fmt : FloatFormat
    subnormals : bool
        Whether it may be subnormal.

    Returns
    -------
    Unpacked
    """
    normal, any_fraction, highest = number.exponent.any(), number.fraction.any(), number.exponent.all()
    exponent = Cat(number.exponent[0] | ~normal, number.exponent[1:]) if subnormals else number.exponent
    return Unpacked(
        number.sign, exponent, Cat(number.fraction, normal), highest & ~any_fraction, highest & any_fraction
    )


def stop(width, exponent):
    """One bit, from the top of `width` bits down as many places as a significand shifts left to have the exponent 1.

    Parameters
    ----------
    width : int
        Of the significand.
    exponent : Signal
        Of its highest bit, 1 or more.
    """
    return Const(1 << (width - 1), width) >> (exponent - 1).as_unsigned()


def normalize(m, name, significand, exponent, stop=None):
    """Shift a significand left until its highest bit is set.

    Parameters
    ----------
    m : Module
    name : str
        Begins the names of what is between.
    significand, exponent : Signal
    stop : Signal, optional
        From `stop`: shift no further than to the exponent 1. It takes a decoder, which can be a cycle earlier, where a
        minimum of two numbers would lie between count and shift.

    Returns
    -------
    significand, exponent : Value
    """
    return normalize_rest(m, name, exponent=exponent, **normalize_most(m, name, significand, stop))


def normalize_most(m, name, significand, stop=None):
    """The longer half of `normalize`, parameters as there: all shifts but those by less than 4.

    Returns
    -------
    dict of str to Value
        `significand` and `zeros` for `normalize_rest`, where there may be a register between the halves.
    """
    searched = significand if stop is None else stage(m, name, None, searched=significand | stop).searched
    zeros = stage(m, name, None, zeros=leading_zeros(searched)).zeros
    # The count's highest bits are known first, so their shifts are first.
    high = range(_REST, (len(significand) - 1).bit_length())
    return {"significand": _shifted_by(m, name, significand, zeros, reversed(high)), "zeros": zeros}


def normalize_rest(m, name, significand, exponent, zeros):
    """The rest of `normalize`, parameters of the same names as there; `zeros` from `normalize_most`."""
    low = range(min(_REST, (len(significand) - 1).bit_length()))
    return _shifted_by(m, name, significand, zeros, reversed(low)), exponent - zeros


def _shifted_by(m, name, significand, zeros, positions):
    """A significand shifted left by some bits of an amount."""
    for position in positions:
        by = 1 << position
        value = Mux(zeros[position], Cat(Const(0, by), significand[:-by]), significand)
        significand = stage(m, f"{name}_by_{by}", None, shifted=value).shifted
    return significand


def compress(significand, precision):
    """Bring a significand to what rounding needs: `precision` bits, one below, and the OR of all that are lower."""
    excess = len(significand) - precision - 2
    if excess <= 0:
        return Cat(Const(0, -excess), significand)
    return Cat(significand[: excess + 1].any(), significand[excess + 1 :])


def shift_right_jam(m, name, significand, amount, first=0):
    """Shift right, and keep in one bit more, the lowest, whether a one was shifted out.

    Parameters
    ----------
    m : Module
    name : str
        Begins the names of what is between.
    significand, amount : Signal
    first : int
        The amount's lowest bit stands for `2**first`.

    Returns
    -------
    Value
    """
    width, sticky = len(significand), Const(0, 1)
    for position, bit in enumerate(amount, first):
        by = min(1 << position, width)
        level = stage(
            m,
            f"{name}_by_{by}",
            None,
            shifted=Mux(bit, Cat(significand[by:], Const(0, by)), significand),
            sticky=sticky | (bit & significand[:by].any()),
        )
        significand, sticky = level.shifted, level.sticky
    return Cat(sticky, significand)


def distance(m, name, width, exponent, rebias=0):
    """By how many places a significand is shifted right until its exponent is 1, if it is below.

    Parameters
    ----------
    m : Module
    name : str
        Begins the names of what is between.
    width : int
        Bits of the significand.
    exponent : Signal
        The exponent less `rebias`.
    rebias : int

    Returns
    -------
    amount : Value
        For `shift_right_jam`.
    exponent : Value
        1 or more.
    """
    bits = width.bit_length()
    low = exponent < 1 - rebias
    places = stage(m, name, None, distance=(1 - rebias - exponent).as_unsigned()).distance
    far = places[bits:].any()
    amount = stage(m, name, None, amount=(places[:bits] | far.replicate(bits)) & low.replicate(bits)).amount
    return amount, Mux(low, 1, exponent + rebias)


def denormalize(m, name, significand, exponent):
    """Shift a significand right where its exponent is below 1, until it is 1.

    Parameters
    ----------
    m : Module
    name : str
        Begins the names of what is between.
    significand, exponent : Signal

    Returns
    -------
    significand : Value
        One bit more: its lowest bit says whether a one was shifted out.
    exponent : Value
        1 or more.
    """
    amount, exponent = distance(m, name, len(significand), exponent)
    return shift_right_jam(m, name, significand, amount), exponent


def pack(m, fmt, sign, exponent, significand, *, overflow=False, infinite=None, nan=None):
    """Round to nearest even, and put a number together.

    Parameters
    ----------
    m : Module
    fmt : FloatFormat
        Of the result.
    sign : Value
    exponent, significand : Signal
        As the module says; the significand from `compress`, or `denormalize` after it.
    overflow : bool
        Whether the exponent may be too high; the result is infinity then.
    infinite, nan : Value, optional
        What the result is if one is set, `nan` before `infinite`.

    Returns
    -------
    Value
        `fmt.width` bits.
    """
    below = len(significand) - fmt.precision
    kept, guard, rest = significand[below:], significand[below - 1], significand[: below - 1].any()
    up = guard & (rest | kept[0])
    normal = kept[-1]
    field = resize(exponent, fmt.exponent_bits).as_unsigned() & normal.replicate(fmt.exponent_bits)
    # A carry out of the fraction makes the next exponent: a subnormal becomes normal, the greatest number infinity.
    magnitude = resize(Cat(kept[:-1], field) + up, fmt.width - 1)
    if overflow:
        too_high = normal & (exponent >= fmt.highest)
        infinite = too_high if infinite is None else infinite | too_high
    if infinite is not None:
        magnitude = Mux(infinite, Const(fmt.infinity, fmt.width - 1), magnitude)
    if nan is not None:
        magnitude, sign = Mux(nan, Const(fmt.nan, fmt.width - 1), magnitude), sign & ~nan
    return Cat(magnitude, sign)
