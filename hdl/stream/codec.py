"""Fields of a stream's payloads as arrays, and payloads as bytes or integers: one codec, derived from the layout.

A payload is a row of bytes, the lowest byte first, with zeros in the bits that are left; or a Python integer. A field
is an array of one value a transfer, with an axis for each array that the field is in: `groups[i].codes[j]` of a layout
is the field `groups.codes`, of shape (transfers, groups, codes). A payload that has no names is the field `payload`.
"""

import math
from collections.abc import Mapping
from itertools import product

import numpy as np
from amaranth import Shape

from .fields import disjoint, fields

__all__ = ["from_integers", "named", "pack", "to_integers", "to_rows", "unpack"]

_WORD = 64  # bits of the widest field that NumPy holds as a number


def named(shape):
    """The fields of a payload by the names that `pack` and `unpack` have for them.

    Parameters
    ----------
    shape : ShapeLike
        Layout of the payload, or any other shape.

    Returns
    -------
    dict of str to Field
        The lowest bits first.
    """
    return {field.key: field for field in fields(shape)}


def pack(shape, /, **values):
    """Payloads of fields.

    Parameters
    ----------
    shape : ShapeLike
        Layout of the payload, or any other shape.
    **values : array_like of int or bool, or mapping
        Each field by its name, of shape (transfers, ...), or a single number for all; fields of a nested structure
        also as a mapping: ``groups={"codes": ..., "shift": ...}`` is ``**{"groups.codes": ..., "groups.shift": ...}``.
        If all are single numbers, there is one transfer. No field has a default, but what has no bits may be missing,
        and of fields that share bits, as those of a union, one is given. Bits of no field are 0.

    Returns
    -------
    ndarray of uint8, shape (transfers, bytes)
        Payloads, the lowest byte first.

    Raises
    ------
    ValueError
        Names the field, the value, and what is allowed: if a field is missing, unknown, given twice, no integers, of
        another shape, of another number of transfers, or out of its range: two's complement where it is signed, the
        names' values where it is an enumeration.
    """
    size, known = -(-Shape.cast(shape).width // 8), named(shape)
    given = _flat(values)
    if given.keys() != known.keys() or not disjoint(shape):
        _check_names(given, known, size)
    arrays = {name: _checked(name, value, known[name]) for name, value in given.items()}
    payloads = np.zeros((_transfers(arrays), size), np.uint8)
    for name, array in arrays.items():
        _put(payloads, known[name], _to_parts(array, known[name]))
    return payloads


def unpack(shape, payloads):
    """Fields of payloads.

    Parameters
    ----------
    shape : ShapeLike
        Layout of the payload, or any other shape.
    payloads : ndarray of uint8, shape (transfers, bytes), or sequence of int
        The lowest byte first, unused upper bits 0.

    Returns
    -------
    dict of str to ndarray, shape (transfers, ...)
        Every field by its name, the lowest bits first: of the narrowest type of 8, 16, 32 or 64 bits, signed or not as
        the field is; of Python's integers where a field has more than 64 bits. `pack` takes it as ``**values``, unless
        fields share bits.

    Raises
    ------
    ValueError
        As from `to_rows`.
    """
    rows = np.ascontiguousarray(to_rows(payloads, Shape.cast(shape).width))
    return {name: _from_parts(_taken(rows, field), field) for name, field in named(shape).items()}


def to_rows(payloads, bits, of=""):
    """Payloads as rows of bytes, checked.

    Parameters
    ----------
    payloads : ndarray of uint8, shape (transfers, bytes), or sequence of int
        Bytes, the lowest first, or integers of 0 to 2**bits - 1.
    bits : int
        Of a payload.
    of : str, optional
        What they belong to, for messages.

    Returns
    -------
    ndarray of uint8, shape (transfers, bytes)

    Raises
    ------
    ValueError
        For rows of another type or size, and payloads of more bits.
    """
    of = of and f" of {of}"
    if not isinstance(payloads, np.ndarray):
        return _from_integers(list(payloads), bits, of)
    size = -(-bits // 8)
    if payloads.dtype != np.uint8 or payloads.ndim != 2 or payloads.shape[1] != size:
        wanted = f"uint8 of shape (N, {size})"
        raise ValueError(f"payloads{of} must be {wanted}, not {payloads.dtype} of shape {payloads.shape}")
    if bits % 8 and (wrong := payloads[:, -1] >> bits % 8 != 0).any():
        raise ValueError(f"payload {int(wrong.argmax())}{of} must have {bits} bits, more are set")
    return payloads


def from_integers(payloads, bits):
    """Rows of bytes of payloads that are integers: `to_rows` of a sequence."""
    return to_rows(list(payloads), bits)


def _from_integers(payloads, bits, of):
    size = -(-bits // 8)
    if payloads and not 0 <= min(payloads) <= max(payloads) < 1 << bits:
        at, wrong = next((at, value) for at, value in enumerate(payloads) if not 0 <= value < 1 << bits)
        raise ValueError(f"payload {at}{of} must have {bits} bits, {wrong} has more")
    data = b"".join([int(payload).to_bytes(size, "little") for payload in payloads])
    return np.frombuffer(data, np.uint8).reshape(len(payloads), size)


def to_integers(rows):
    """Python's integers of payloads that are rows of bytes, uint8 of shape (transfers, bytes)."""
    size = rows.shape[1]
    if size <= 8:
        return np.pad(rows, [(0, 0), (0, 8 - size)]).view("<u8")[:, 0].tolist()
    data = rows.tobytes()
    return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]


def _flat(values, above=""):
    """Fields of mappings within mappings, by their whole names."""
    flat = {}
    for name, value in values.items():
        inner = _flat(value, f"{above}{name}.") if isinstance(value, Mapping) else {above + name: value}
        if twice := flat.keys() & inner.keys():
            raise ValueError(f"field {min(twice)!r} is given twice")
        flat |= inner
    return flat


def _check_names(given, known, size):
    """Refuse unknown fields, such that share bits, and the lack of what has bits."""
    told = f"the payload has {', '.join(known) or 'no fields'}"
    if unknown := [name for name in given if name not in known]:
        raise ValueError(f"unknown field {unknown[0]!r}: {told}")
    taken = np.zeros(size, np.uint8)
    for name in given:
        if (taken & (own := _bits(known[name], size))).any():
            raise ValueError(f"field {name!r} must not be given with others that have the same bits")
        taken |= own
    for name, field in known.items():
        if name not in given and field.width and not (taken & _bits(field, size)).any():
            raise ValueError(f"field {name!r} is missing: {told}")


def _bits(field, size):
    """A payload of so many bytes with ones in all bits of a field."""
    payload = np.zeros((1, size), np.uint8)
    _put(payload, field, _top_cleared(np.full(-(-field.width // 8), 255, np.uint8), field))
    return payload[0]


def _checked(name, value, field):
    """A field's values as an array, of the right shape or of none."""
    array, counts = _integers(name, value), tuple(array.count for array in field.arrays)
    if array.ndim and array.shape[1:] != counts:
        wanted = ", ".join(map(str, ("transfers", *counts)))
        raise ValueError(
            f"field {name!r} must have shape ({wanted}{'' if counts else ','}) or be one number, not {array.shape}"
        )
    if not array.size:
        return array
    low, high = field.limits
    if field.values:
        right, allowed = np.isin(array, [*field.values.values()]), [f"{v} ({k})" for k, v in field.values.items()]
    elif low <= array.min() and array.max() <= high:
        return array
    else:
        right, allowed = (array >= low) & (array <= high), [f"{low} to {high}"]
    if not right.all():
        at = tuple(np.argwhere(~right)[0].tolist())
        where = f" in transfer {at[0]}" + (f", at {list(at[1:])}" if at[1:] else "") if at else ""
        raise ValueError(f"field {name!r} must be {', '.join(allowed)}, not {array[at]}{where}")
    return array


def _integers(name, value):
    """An array of integers; of Python's where NumPy's are too short."""
    array = np.asarray(value)
    if array.dtype.kind == "f" and not isinstance(value, np.ndarray | np.generic):
        # NumPy takes a list of integers beyond 63 bits for numbers of floating point.
        array = np.asarray(value, object)
    if array.dtype.kind == "O":
        wrong = next((item for item in array.ravel().tolist() if not isinstance(item, int)), None)
        if wrong is not None or None in array.ravel().tolist():
            raise ValueError(f"field {name!r} must be integers, not {wrong!r}")
    elif array.dtype.kind not in "biu":
        raise ValueError(f"field {name!r} must be integers, not {array.dtype}")
    return array


def _transfers(arrays):
    """How many transfers fields have; those of single numbers have any."""
    lengths = {name: len(array) for name, array in arrays.items() if array.ndim}
    for name, length in lengths.items():
        first = next(iter(lengths))
        if length != lengths[first]:
            raise ValueError(
                f"field {name!r} must have as many transfers as {first!r}, {lengths[first]:,}, not {length:,}"
            )
    return next(iter(lengths.values()), 1)


def _type(field):
    """The narrowest type of a field's values."""
    if field.width > _WORD:
        return np.dtype(object)
    size = next(size for size in (1, 2, 4, 8) if field.width <= 8 * size)
    return np.dtype(f"<{'i' if field.signed else 'u'}{size}")


def _to_parts(values, field):
    """Bytes of values, which are in range, the lowest first, along a new axis; no bits beyond the field's."""
    size = -(-field.width // 8)
    if field.width > _WORD:
        modulus = 1 << field.width
        data = b"".join([(value % modulus).to_bytes(size, "little") for value in values.ravel().tolist()])
        return np.frombuffer(data, np.uint8).reshape(*values.shape, size)
    parts = np.ascontiguousarray(values, _type(field)).reshape(*values.shape, 1).view(np.uint8)[..., :size]
    return _top_cleared(parts.copy(), field) if field.signed and field.width % 8 else parts


def _from_parts(parts, field):
    """Values of bytes, the lowest first, along the last axis."""
    shape, wanted = parts.shape[:-1], _type(field)
    sign = 1 << (field.width - 1) if field.signed and field.width else 0
    if field.width > _WORD:
        numbers = to_integers(parts.reshape(-1, parts.shape[-1]))
        integers = np.empty(len(numbers), object)
        integers[:] = [(number ^ sign) - sign for number in numbers]
        return integers.reshape(shape)
    words = np.zeros((*shape, wanted.itemsize), np.uint8)
    words[..., : parts.shape[-1]] = parts
    numbers = words.view(f"<u{wanted.itemsize}")[..., 0]
    # In two's complement modulo the word.
    return ((numbers ^ numbers.dtype.type(sign)) - numbers.dtype.type(sign)).view(wanted)


def _top_cleared(parts, field):
    """Bytes without the bits beyond a field, in place."""
    if field.width % 8:
        parts[..., -1] &= (1 << field.width % 8) - 1
    return parts


def _put(payloads, field, parts):
    """Add a field's bytes, of shape (transfers, ..., bytes) or (bytes,), to payloads in which its bits are 0."""
    parts = np.broadcast_to(parts, (len(payloads), *(array.count for array in field.arrays), parts.shape[-1]))
    for which, shift, low, high in _places(payloads, field):
        low |= parts[which] << shift if shift else parts[which]
        if shift:
            high |= parts[which][..., : high.shape[-1]] >> (8 - shift)


def _taken(payloads, field):
    """A field's bytes in payloads, shape (transfers, ..., bytes)."""
    parts = np.zeros((len(payloads), *(array.count for array in field.arrays), -(-field.width // 8)), np.uint8)
    for which, shift, low, high in _places(payloads, field):
        parts[which] = low >> shift
        if shift:
            parts[which][..., : high.shape[-1]] |= high << (8 - shift)
    return _top_cleared(parts, field)


def _places(payloads, field):
    """Where a field is: its elements that begin at the same bit of a byte together.

    Parameters
    ----------
    payloads : ndarray of uint8, shape (transfers, bytes)
        Contiguous.
    field : Field

    Yields
    ------
    which : tuple of slice
        These elements, of shape (transfers, ...).
    shift : int
        The bit of a byte at which they begin, 0 to 7.
    low, high : ndarray of uint8, shape (transfers, ..., bytes)
        Views of the bytes from their first ones on, as many as their values have, and from their second ones on, as
        far as they reach.
    """
    if not field.width or not len(payloads):
        return
    arrays, count = field.arrays, len(payloads)
    periods = [8 // math.gcd(array.stride, 8) for array in arrays]
    strides = (
        payloads.shape[1],
        *(array.stride * period // 8 for array, period in zip(arrays, periods, strict=True)),
        1,
    )
    for start in product(*(range(min(p, a.count)) for p, a in zip(periods, arrays, strict=True))):
        first, shift = divmod(field.offset + sum(i * a.stride for i, a in zip(start, arrays, strict=True)), 8)
        which = slice(None), *(slice(i, None, p) for i, p in zip(start, periods, strict=True))
        shape = count, *(-((i - a.count) // p) for i, p, a in zip(start, periods, arrays, strict=True))
        # Of the arrays that NumPy makes of a part of another one, these are the fastest made.
        low = np.ndarray((*shape, -(-field.width // 8)), np.uint8, payloads, first, strides)
        high = np.ndarray((*shape, -(-(shift + field.width) // 8) - 1), np.uint8, payloads, first + 1, strides)
        yield which, shift, low, high
