"""The golden model of the outlier-victim-pair decoder and encoder as streams: which payload follows from which."""

import numpy as np

from ...golden.olive import ovp
from ..stream import join, signed, split, with_last

__all__ = ["decoded", "decoder", "encoded", "encoder", "to_bytes"]


def decoded(words, last, fmt):
    """What the decoder makes of packed pairs.

    Parameters
    ----------
    words : ndarray of int, shape (N, pairs)
        Packed pairs, those of one transfer in each row.
    last : sequence of int, length N
        The field `last`, 0 or 1.
    fmt : golden.olive.ovp.OvpFormat
        With the bias that applies.

    Returns
    -------
    payloads : list of int, length N
        Of the output stream.
    illegal : list of bool, length N
        Whether an illegal pair is among those of a transfer.
    """
    packed, width = to_bytes(words, fmt), fmt.exponent_bits + fmt.integer_bits
    integers, exponents = ovp.decode(packed, fmt)
    values = exponents | (integers << fmt.exponent_bits)
    payloads = with_last(join(values, width), last, values.shape[1] * width)
    return payloads, ovp.illegal(packed, fmt).any(axis=-1).tolist()


def encoded(values, last, config):
    """What the encoder makes of fixed-point values.

    Parameters
    ----------
    values : ndarray of int, shape (N, 2 * pairs)
        Signed, in units of ``2 ** -config.fraction``; those of one transfer in each row.
    last : sequence of int, length N
        The field `last`, 0 or 1.
    config : OvpEncoderConfig
        Of the core.

    Returns
    -------
    list of int, length N
        Payloads of the output stream.
    """
    # Exact: a value has at most 48 bits.
    packed = ovp.encode(np.ldexp(values.astype(np.float64), -config.fraction), config.format)
    return with_last(join(packed, 8), last, packed.shape[1] * 8)


def decoder(config, settings, inputs):
    """Payloads and flags of the decoder for any payloads.

    Parameters
    ----------
    config : OvpDecoderConfig
        Of the core.
    settings : dict of str to int
        Inputs that are no streams; those that are not named are 0.
    inputs : dict of str to list of int
        Payloads of the stream ``i``, one or more.

    Returns
    -------
    payloads : list of int
        Of the stream ``o``.
    flags : dict of str to int
        At the end.
    """
    fmt = config.format.with_bias(settings.get("bias", 0)) if config.bias_port else config.format
    words, last = _fields(inputs["i"], 2 * fmt.bits, config.pairs)
    payloads, illegal = decoded(words, last, fmt)
    return payloads, {"illegal": int(any(illegal))}


def encoder(config, settings, inputs):
    """Payloads and flags of the encoder, which has neither settings nor flags; parameters as of `decoder`."""
    values, last = _fields(inputs["i"], config.width, 2 * config.pairs)
    return encoded(signed(values, config.width), last, config), {}


def to_bytes(words, fmt):
    """Packed pairs, shape (..., pairs), as the bytes that the golden model takes."""
    if fmt.bits == 4:
        return words.astype(np.uint8)
    return np.ascontiguousarray(words.astype("<u2")).view(np.uint8)


def _fields(payloads, width, lanes):
    """The unsigned fields of payloads, shape (N, lanes), and their bits `last`."""
    return np.array([split(payload, width, lanes) for payload in payloads]), [
        payload >> (width * lanes) for payload in payloads
    ]
