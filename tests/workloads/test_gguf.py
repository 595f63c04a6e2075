"""Reading GGUF files: every type, and files that are damaged at any place."""

import mmap
import random
import struct

import gguf_files
import numpy as np
import pytest
from gguf_files import build, half, padded, stored, tensor, text, value

from bitloom.golden.workloads import gguf

PAIRS = [
    ("general.architecture", "string", "llama"),
    ("a.u8", "u8", 255),
    ("a.i8", "i8", -128),
    ("a.u16", "u16", 65535),
    ("a.i16", "i16", -32768),
    ("a.u32", "u32", 2**32 - 1),
    ("a.i32", "i32", -(2**31)),
    ("a.u64", "u64", 2**64 - 1),
    ("a.i64", "i64", -(2**63)),
    ("a.f32", "f32", 0.1),
    ("a.f64", "f64", 0.1),
    ("a.yes", "bool", True),
    ("a.no", "bool", False),
    ("a.words", "[string]", ["naïve", "", "Ġa"]),
    ("a.none", "[string]", []),
    ("a.numbers", "[i16]", [1, -2, 3]),
    ("a.flags", "[bool]", [True, False]),
]
VALUES = {
    "F32": np.random.default_rng(1).normal(size=(3, 2)),
    "F16": np.random.default_rng(2).normal(size=5),
    "Q4_0": np.random.default_rng(3).normal(size=(2, 3, 64)),
    "Q4_1": np.random.default_rng(4).normal(size=(5, 32)),
    "Q8_0": np.random.default_rng(5).normal(size=(1, 1, 2, 32)),
}
TENSORS = [(f"of.{kind}", values.shape, kind, stored(kind, values)[0]) for kind, values in VALUES.items()]
WHOLE = build(PAIRS, TENSORS)
ONE = ("x", (2,), "F32", b"\0" * 8)


def load(folder, content):
    (folder / "x.gguf").write_bytes(content)
    return gguf.load(folder / "x.gguf")


def test_metadata_of_every_type(tmp_path):
    metadata = load(tmp_path, WHOLE).metadata
    assert [*metadata] == [key for key, _, _ in PAIRS]
    for key, kind, content in PAIRS:
        if kind in ("[i16]", "[bool]"):
            assert metadata[key].dtype == np.dtype(kind.strip("[]").replace("i16", "<i2"))
            assert metadata[key].tolist() == content
        else:
            expected = struct.unpack("<f", struct.pack("<f", content))[0] if kind == "f32" else content
            assert type(metadata[key]) is type(expected) and metadata[key] == expected, key


def test_tensors_of_every_type(tmp_path):
    tensors = load(tmp_path, WHOLE).tensors
    assert [*tensors] == [f"of.{kind}" for kind in VALUES]
    for kind, values in VALUES.items():
        read = tensors[f"of.{kind}"]
        assert (read.kind, read.shape) == (kind, values.shape)
        assert read.values().dtype == np.float32 and read.values().shape == values.shape
        exact = stored(kind, values)[1]
        # One rounding to float32 for the product, one for the sum.
        np.testing.assert_allclose(read.values(), exact, rtol=1e-7, atol=1e-7 * (kind == "Q4_1"), err_msg=kind)
        assert np.abs(exact - values).max() < {"F32": 1e-7, "F16": 1e-3, "Q8_0": 0.02}.get(kind, 0.3)


def test_a_block_of_each_kind_by_hand(tmp_path):
    codes = bytes([0x10, 0xF2, *[0x88] * 14])
    tensors = [
        ("q4_0", (32,), "Q4_0", struct.pack("<e", 0.5) + codes),
        ("q4_1", (32,), "Q4_1", struct.pack("<ee", 0.5, -3) + codes),
        ("q8_0", (32,), "Q8_0", struct.pack("<e32b", 2, -128, 127, *[0] * 29, 1)),
    ]
    read = {name: item.values().tolist() for name, item in load(tmp_path, build([], tensors)).tensors.items()}
    assert read["q4_0"] == [-4, -3] + [0] * 14 + [-3.5, 3.5] + [0] * 14
    assert read["q4_1"] == [-3, -2] + [1] * 14 + [-2.5, 4.5] + [1] * 14
    assert read["q8_0"] == [-256, 254] + [0] * 29 + [2]


@pytest.mark.parametrize("alignment", [8, 32, 64, 4096])
@pytest.mark.parametrize("version", [2, 3])
def test_alignments_and_versions(tmp_path, alignment, version):
    pairs = [] if alignment == 32 else [("general.alignment", "u32", alignment)]
    read = load(tmp_path, build(pairs, TENSORS, alignment, version)).take("of.F16", 5)
    np.testing.assert_array_equal(read, VALUES["F16"].astype(np.float16))


def test_no_tensors_at_all(tmp_path):
    read = load(tmp_path, build([], []))
    assert read.metadata == read.tensors == {}


def test_tensors_are_read_only_views_of_the_file(tmp_path):
    values = load(tmp_path, WHOLE).tensors["of.F32"].values()
    assert not values.flags.writeable and isinstance(values.base, mmap.mmap | np.ndarray)
    assert not load(tmp_path, WHOLE).tensors["of.Q4_1"].blocks.flags.writeable


def test_what_a_file_is_asked_for(tmp_path):
    read = load(tmp_path, WHOLE)
    assert read.get("a.u16", int) == 65535 and read.get("a.missing", float, 1.5) == 1.5
    for key, kind, message in (
        ("a.missing", int, "a.missing is missing"),
        ("a.u16", float, "a.u16 must be of type float, not int"),
        ("a.yes", int, "a.yes must be of type int, not bool"),
    ):
        assert_refused(lambda key=key, kind=kind: read.get(key, kind), read.path, message)
    for name, shape, message in (
        ("y", (2,), "tensor y is missing"),
        ("of.Q4_1", (32, 5), "tensor of.Q4_1 has shape (5, 32), expected (32, 5)"),
    ):
        assert_refused(lambda name=name, shape=shape: read.take(name, *shape), read.path, message)


@pytest.mark.parametrize("wrong", ["inf", "nan"])
@pytest.mark.parametrize("kind", ["F32", "F16", "Q4_0", "Q4_1", "Q8_0"])
def test_values_that_are_not_finite(tmp_path, kind, wrong):
    content = {"F32": struct.pack("<f", float(wrong)) * 32, "F16": struct.pack("<e", float(wrong)) * 32}
    size = {"Q4_0": 16, "Q4_1": 18, "Q8_0": 32}
    made = content[kind] if kind in content else struct.pack("<e", float(wrong)) + b"\0" * size[kind]
    read = load(tmp_path, build([], [("x", (32,), kind, made)]))
    assert_refused(lambda: read.take("x", 32), read.path, "tensor x must be finite")


def assert_refused(call, path, message):
    with pytest.raises(ValueError) as caught:
        call()
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and message in text and "\n" not in text


def header(tensors=0, pairs=0, rest=b"", version=3):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs) + rest


def described(shape=(2,), kind="F32", offset=0, data=b"\0" * 64):
    """A file of one tensor."""
    return padded(header(1, 0, tensor("x", shape, kind, offset)), 32) + data


DAMAGED = {
    "empty": (b"", "truncated: 4 bytes wanted at byte 0, the file has 0"),
    "another format": (b"PK\3\4" + b"\0" * 40, r"begins with b'PK\x03\x04', a GGUF file begins with b'GGUF'"),
    "version 1": (header(version=1), "GGUF version 1, expected 2 or 3"),
    "version 4": (header(version=4), "GGUF version 4, expected 2 or 3"),
    "big-endian": (header(version=0x03000000), "GGUF version 3 in big-endian order, expected 2 or 3, little-endian"),
    "many keys": (header(0, 2**63), f"{2**63} keys and 0 tensors announced in a file of 24 bytes"),
    "many tensors": (header(2**64 - 1, 0), f"0 keys and {2**64 - 1} tensors announced in a file of 24 bytes"),
    "long key": (header(0, 1, struct.pack("<QIB", 2**60, 0, 1)), f"truncated: {2**60} bytes wanted at byte 32"),
    "key not UTF-8": (header(0, 1, text(b"\xff") + value("u8", 1)), "the string at byte 24 is not UTF-8"),
    "key twice": (build([("a", "u8", 1)] * 2, []), "key 'a' is there twice"),
    "unknown type": (header(0, 1, text("a") + struct.pack("<IQ", 13, 0)), "key 'a': unknown type of value 13"),
    "long value": (
        header(0, 1, text("a") + struct.pack("<IQ", 8, 99)),
        "key 'a': truncated: 99 bytes wanted at byte 45, the file has 45",
    ),
    "neither true nor false": (header(0, 1, text("a") + struct.pack("<IB", 7, 2)), "key 'a': a bool at byte 37"),
    "array of neither": (header(0, 1, text("a") + struct.pack("<IIQB", 9, 7, 1, 2)), "key 'a': a bool at byte 49"),
    "long array": (
        header(0, 1, text("a") + struct.pack("<IIQ", 9, 6, 2**62)),
        f"key 'a': truncated: {2**64} bytes wanted at byte 49",
    ),
    "long array of strings": (
        header(0, 1, text("a") + struct.pack("<IIQ", 9, 8, 2**62)),
        "key 'a': truncated: 8 bytes wanted at byte 49",
    ),
    "array of arrays": (
        header(0, 1, text("a") + struct.pack("<IIQ", 9, 9, 1) * 2),
        "key 'a': an array of values of type 9, expected numbers, bools or strings",
    ),
    "alignment of text": (
        build([("general.alignment", "string", "32")], [ONE]),
        "general.alignment must be a multiple",
    ),
    "alignment 0": (
        build([("general.alignment", "u32", 0)], [ONE]),
        "general.alignment must be a multiple of 8, not 0",
    ),
    "alignment 12": (build([("general.alignment", "u32", 12)], [ONE]), "must be a multiple of 8, not 12"),
    "alignment 2**40": (build([("general.alignment", "u64", 2**40)], [ONE]), f"tensor 'x' ends at byte {2**40 + 8}"),
    "tensor twice": (build([], [ONE, ONE]), "tensor 'x' is there twice"),
    "no axis": (described(()), "tensor 'x': 0 axes, expected 1 to 4"),
    "five axes": (described((1,) * 5), "tensor 'x': 5 axes, expected 1 to 4"),
    "side of 0": (described((3, 0)), "tensor 'x': shape (3, 0), expected sides of 1 or more"),
    "known type": (described((256,), 12), "tensor 'x': type Q4_K, expected one of F32, F16, Q4_0, Q4_1, Q8_0"),
    "last known type": (described(kind=30), "tensor 'x': type BF16, expected one of"),
    "unknown type of tensor": (described(kind=99), "tensor 'x': type 99, expected one of"),
    "part of a block": (described((32, 48), "Q4_1"), "tensor 'x': rows of 48 values, Q4_1 has blocks of 32"),
    "offset": (described(offset=4), "tensor 'x' has the offset 4, expected a multiple of 32"),
    "beyond the end": (described(data=b"\0" * 7), "tensor 'x' ends at byte 72, the file has 71 bytes: truncated?"),
    "far beyond the end": (described((2**32,) * 4), "tensor 'x' ends at byte"),
    "overlap": (
        padded(header(2, 0, tensor("x", (9,), "F32", 0) + tensor("y", (1,), "F32", 32)), 32) + b"\0" * 64,
        "tensor 'y' at byte 128 overlaps the one before it",
    ),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_file_is_a_one_line_error(tmp_path, content, message):
    assert_refused(lambda: load(tmp_path, content), tmp_path / "x.gguf", message)


def test_every_truncation_is_an_error(tmp_path):
    # Behind the last tensor are zeros that nobody misses.
    needed = len(WHOLE) - (-len(TENSORS[-1][3]) % 32)
    for length in range(needed):
        assert_refused(lambda length=length: load(tmp_path, WHOLE[:length]), tmp_path / "x.gguf", "")
    assert load(tmp_path, WHOLE[:needed]).tensors.keys() == load(tmp_path, WHOLE).tensors.keys()


def test_a_wrong_bit_is_read_or_refused_in_one_line(tmp_path):
    """Two bits of each byte of the header, and any number of wrong bytes."""
    start = len(build(PAIRS, [])) + sum(len(tensor(*item[:3], 0)) for item in TENSORS)
    bits = [(i, bit) for i in range(start) for bit in (i % 8, (i + 3) % 8)]
    damaged = [WHOLE[:i] + bytes([WHOLE[i] ^ 1 << bit]) + WHOLE[i + 1 :] for i, bit in bits]
    draw = random.Random(7)
    for _ in range(500):
        content = bytearray(WHOLE)
        for _ in range(draw.randint(1, 30)):
            content[draw.randrange(start)] = draw.choice([0, 1, 255, draw.randrange(256)])
        damaged.append(bytes(content))
    refused = 0
    for content in damaged:
        try:
            read = load(tmp_path, content)
            for item in read.tensors.values():
                assert item.values().shape == item.shape
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"{tmp_path / 'x.gguf'}: ") and "\n" not in str(error)
    assert len(damaged) / 3 < refused < len(damaged)


def test_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        gguf.load(tmp_path / "x.gguf")


def test_halves_are_those_of_numpy():
    assert half(0.1) == float(np.float16(0.1)) and gguf_files.halves([*range(16)] * 2)[3] == 0x33
