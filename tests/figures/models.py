"""How fast the golden models are."""

import numpy as np

from bitloom.golden.olive import ovp

from .tables import Table, seconds


def model_rates():
    """Million values a second of the golden OVP model."""
    x = np.random.default_rng(0).normal(size=(1000, 1000)) * 4
    for fmt in ovp.FORMATS.values():
        codes = ovp.encode(x, fmt)
        yield (
            fmt.name,
            *(
                f"{x.size / seconds(work) / 1e6:.1f}"
                for work in (
                    lambda fmt=fmt: ovp.encode(x, fmt),
                    lambda fmt=fmt, codes=codes: ovp.decode(codes, fmt),
                    lambda fmt=fmt: ovp.round_trip(x, fmt),
                )
            ),
        )


RATES = Table(
    "models",
    "golden.olive.ovp, million values a second",
    ("format", "encode", "decode", "round trip"),
    model_rates,
    timed=("encode", "decode", "round trip"),
)
