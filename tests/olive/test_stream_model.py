"""The streams of the OVP cores, by hand: which payload follows from which."""

import numpy as np
import pytest

from bitloom.cores.catalogue import lookup
from bitloom.testbench.olive import stream_model


def test_a_pair_of_int4_and_its_mark():
    config = lookup("ovp-decoder").config()
    # Codes 3 and -1; then a victim beside the outlier of code 1, which is 16 = 1 << 4 with the default bias.
    outputs, flags = stream_model.decoder(config, {}, {"i": [0xF3, 0x118]})
    assert outputs[0] == 3 << 4 | (0xF << 4) << 8
    assert outputs[1] >> 16 == 1 and flags == {"illegal": 0}
    assert stream_model.decoder(config, {}, {"i": [0xF3, 0x88, 0]})[1] == {"illegal": 1}


def test_a_bias_that_is_set_is_the_one_that_applies():
    config = lookup("ovp-decoder").config.parse(["bias_port=true"])
    zero, one = (stream_model.decoder(config, {"bias": bias}, {"i": [0x18]})[0][0] for bias in (0, 1))
    assert zero != one and stream_model.decoder(config, {}, {"i": [0x18]})[0] == [zero]


@pytest.mark.parametrize("parameters", [[], ["normal=int8"], ["pairs=3"]])
def test_what_the_encoder_gives_the_decoder_takes(parameters):
    config = lookup("ovp-encoder").config.parse(parameters)
    other = lookup("ovp-decoder").config.parse(parameters)
    lanes, width = 2 * config.pairs, config.width
    values = [3 << config.fraction, -2 << config.fraction] * config.pairs
    payload = sum((value % (1 << width)) << width * lane for lane, value in enumerate(values))
    codes, flags = stream_model.encoder(config, {}, {"i": [payload, payload | 1 << width * lanes]})
    assert flags == {} and [code >> 2 * config.format.bits * config.pairs for code in codes] == [0, 1]
    decoded, flags = stream_model.decoder(other, {}, {"i": codes})
    assert flags == {"illegal": 0}
    fmt = other.format
    size = fmt.exponent_bits + fmt.integer_bits
    lanes = [decoded[0] >> size * lane & ((1 << size) - 1) for lane in range(lanes)]
    integers = np.array([lane >> fmt.exponent_bits for lane in lanes])
    assert (integers - ((integers >> fmt.integer_bits - 1) << fmt.integer_bits)).tolist() == [3, -2] * config.pairs
