"""The memory image: bit for bit by another way, and everything that a foreign one may have wrong."""

import numpy as np
import pytest

from bitloom.golden import mx

RNG = np.random.default_rng(28)


@pytest.mark.parametrize("name", mx.FORMATS)
@pytest.mark.parametrize("shape", [(1,), (3, 70), (2, 2, 32)])
def test_image(name, shape):
    t = mx.quantize(RNG.normal(0, 1, shape), name)
    image = mx.pack(t)
    size = mx.block_bytes(name)
    assert len(image) == t.scales.size * size
    width = t.format.element.bits
    for index, (codes, scale) in enumerate(zip(t.codes.reshape(-1, t.format.block), t.scales.ravel(), strict=True)):
        word = int.from_bytes(image[index * size : (index + 1) * size], "little")
        assert word == sum(int(code) << width * at for at, code in enumerate(codes)) | int(scale) << 8 * (size - 1)
    again = mx.unpack(image, shape, name, t.tensor_scale)
    assert (again.codes == t.codes).all() and (again.scales == t.scales).all() and again.k == t.k
    assert again.tensor_scale == t.tensor_scale


def test_block_bytes():
    assert [mx.block_bytes(name) for name in mx.FORMATS] == [17, 25, 25, 33, 9]


@pytest.mark.parametrize(
    ("data", "shape", "fmt", "scale", "message"),
    [
        (b"", (32,), "mxfp4", None, r"an image of shape \(32,\) in mxfp4 has 17 bytes, not 0"),
        (bytes(18), (2, 3), "mxfp4", None, r"an image of shape \(2, 3\) in mxfp4 has 34 bytes, not 18"),
        (bytes(17), (0,), "mxfp4", None, "K must be 1 or more, not 0"),
        (b"\x10" + bytes(16), (1,), "mxfp4", None, r"a code beyond K must be 0 to 0, not 1 at index \(0,\)"),
        (bytes(8) + b"\x80", (16,), "nvfp4", np.float32(1), r"a scale must be 0 to 127, not 128 at index \(0,\)"),
        (bytes(9), (16,), "nvfp4", None, "nvfp4 has a scale of the tensor"),
        (bytes(9), (16,), "nvfp4", np.float32(0), "the tensor's scale must be positive, normal and finite, not 0.0"),
        (bytes(9), (16,), "nvfp4", np.float32(np.nan), "the tensor's scale must be positive, .* not nan"),
        (bytes(17), (16,), "mxfp4", np.float32(1), "mxfp4 has no scale of the tensor"),
    ],
)
def test_foreign_images(data, shape, fmt, scale, message):
    with pytest.raises(ValueError, match=message):
        mx.unpack(data, shape, fmt, scale)


@pytest.mark.parametrize(
    ("codes", "scales", "k", "message"),
    [
        (
            np.zeros((2, 32), np.int8),
            np.zeros((2, 1), np.uint8),
            32,
            "codes and scales must be uint8, not int8 and uint8",
        ),
        (
            np.zeros((2, 32), np.uint8),
            np.zeros((2, 2), np.uint8),
            32,
            r"must have shapes \(..., 32\) and \(..., 1\), not",
        ),
        (
            np.zeros((2, 64), np.uint8),
            np.zeros((2, 1), np.uint8),
            32,
            r"must have shapes \(..., 32\) and \(..., 1\), not",
        ),
        (
            np.full((2, 32), 16, np.uint8),
            np.zeros((2, 1), np.uint8),
            32,
            r"a code must be 0 to 15, not 16 at index \(0, 0\)",
        ),
        (np.zeros((2, 32), np.uint8), np.zeros((2, 1), np.uint8), 0, "K must be 1 or more, not 0"),
    ],
)
def test_foreign_tensors(codes, scales, k, message):
    with pytest.raises(ValueError, match=message):
        mx.MxTensor(mx.FORMATS["mxfp4"], codes, scales, k)
