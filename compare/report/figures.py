"""What follows from a record, so that rows can be compared; None where a record lacks what it takes."""

__all__ = [
    "area",
    "byte_token_energy",
    "clock",
    "clock_energy",
    "cost",
    "data_energy",
    "energy",
    "luts",
    "one",
    "pass_energy",
    "passes",
    "product_rate",
    "ratio",
    "scaled",
    "switching_token_energy",
    "token_energy",
    "uses",
]


def uses(record, name):
    """How many of a part's resource the core takes."""
    return _of(record, "fpga", "uses", {}).get(name)


def luts(record):
    """Look-up tables of four inputs."""
    return uses(record, "LUT4")


def clock(record):
    """Highest clock on the part, MHz."""
    return _of(record, "fpga", "fmax_mhz")


def area(record):
    """Area of the core's cells, in the library's unit."""
    return _of(record, "area", "area")


def energy(record):
    """Switching energy of a product, clock pins included, fJ."""
    return _of(record, "energy", "product_fj")


def data_energy(record):
    """Switching energy of a product without clock pins, fJ."""
    return _of(record, "energy", "data_fj")


def clock_energy(record):
    """Energy of the clock pins for a product, fJ."""
    return _of(record, "energy", "clock_fj")


def pass_energy(record):
    """Switching energy of all products of a pass, µJ."""
    product = energy(record)
    return None if product is None else product * record["products"] / 1e9


def switching_token_energy(record):
    """Switching energy of the products of a token, µJ."""
    energy = pass_energy(record)
    return None if energy is None else energy / record["tokens"]


def byte_token_energy(record):
    """What the bytes of a token cost, an assumption, µJ."""
    byte = _of(record, "energy", "byte_pj")
    return None if byte is None else byte * record["bytes"] / record["tokens"] / 1e6


def token_energy(record):
    """Switching and bytes of a token, µJ."""
    parts = switching_token_energy(record), byte_token_energy(record)
    return None if None in parts else sum(parts)


def passes(record):
    """Passes a second on the part."""
    mhz = clock(record)
    return None if mhz is None else ratio(mhz * 1e6, record["cycles"])


def product_rate(record):
    """Products a second on the part."""
    rate = passes(record)
    return None if rate is None else rate * record["products"]


def ratio(value, by):
    """A quotient, if there is one."""
    return value / by if value is not None and by else None


def scaled(record, base, size):
    """Passes a second of as many cores as take the `size` of one core of the base: a function of this module."""
    share = ratio(size(base), size(record))
    rate = passes(record)
    return None if share is None or rate is None else rate * share


def cost(record, base, size):
    """The `size` of as many cores as make the passes a second of one core of the base."""
    share = ratio(passes(base), passes(record))
    value = size(record)
    return None if share is None or value is None else value * share


def one(records, part, key):
    """What all records that tell it say, if they say the same."""
    told = {_of(record, part, key) for record in records} - {None}
    return next(iter(told)) if len(told) == 1 else None


def _of(record, part, key, default=None):
    value = (record.get(part) or {}).get(key)
    return default if value is None else value
