"""The golden model of the outlier-victim-pair decoder and encoder as streams: which payload follows from which."""

import numpy as np

from ...golden.olive import ovp
from ...hdl.stream import codec

__all__ = ["decoded", "decoder", "encoded", "encoder", "to_bytes"]


def decoded(words, last, config, fmt):
    """What the decoder makes of packed pairs.

    Parameters
    ----------
    words : ndarray of int, shape (N, pairs)
        Packed pairs, those of one transfer in each row.
    last : sequence of int, length N
        The field `last`, 0 or 1.
    config : OvpDecoderConfig
        Of the core.
    fmt : golden.olive.ovp.OvpFormat
        With the bias that applies.

    Returns
    -------
    payloads : list of int, length N
        Of the output stream.
    illegal : list of bool, length N
        Whether an illegal pair is among those of a transfer.
    """
    codes = to_bytes(words, fmt)
    integers, exponents = ovp.decode(codes, fmt)
    values = {"exponent": exponents, "integer": integers}
    payloads = codec.to_integers(codec.pack(config.decoded_layout, values=values, last=last))
    return payloads, ovp.illegal(codes, fmt).any(axis=-1).tolist()


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
    codes = ovp.encode(np.ldexp(values.astype(np.float64), -config.fraction), config.format)
    codes = codes if config.format.bits == 4 else codes.view("<u2")
    return codec.to_integers(codec.pack(config.packed_layout, codes=codes, last=last))


def decoder(config, settings, inputs):
    """Payloads and flags of the decoder for any payloads.

    Parameters
    ----------
    config : OvpDecoderConfig
        Of the core.
    settings : dict of str to int
        Inputs that are no streams; those that are not named are 0.
    inputs : dict of str to list of int, or to ndarray of uint8, shape (N, bytes)
        Payloads of the stream ``i``.

    Returns
    -------
    payloads : list of int
        Of the stream ``o``.
    flags : dict of str to int
        At the end.
    """
    fmt = config.format.with_bias(settings.get("bias", 0)) if config.bias_port else config.format
    fields = codec.unpack(config.packed_layout, inputs["i"])
    payloads, illegal = decoded(fields["codes"], fields["last"], config, fmt)
    return payloads, {"illegal": int(any(illegal))}


def encoder(config, settings, inputs):
    """Payloads and flags of the encoder, which has neither settings nor flags; parameters as of `decoder`."""
    return encoded(**codec.unpack(config.value_layout, inputs["i"]), config=config), {}


def to_bytes(words, fmt):
    """Packed pairs, shape (..., pairs), as the bytes that the golden model takes."""
    if fmt.bits == 4:
        return words.astype(np.uint8)
    return np.ascontiguousarray(words.astype("<u2")).view(np.uint8)
