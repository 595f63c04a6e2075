"""Reading and writing safetensors files, against bytes of the reference library and against damaged files."""

import base64
import json
import mmap
import os
import threading

import ml_dtypes
import numpy as np
import pytest

from bitloom.golden.workloads import safetensors
from bitloom.tools import files

# What `safetensors.numpy.save(TENSORS, {"format": "np"})` gives, safetensors 0.8.0.
REFERENCE = base64.b64decode(
    "kAEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJmb3JtYXQiOiJucCJ9LCJpbmRpY2VzIjp7ImR0eXBlIjoiSTY0Iiwic2hhcGUiOlsyXSwiZGF0YV9v"
    "ZmZzZXRzIjpbMCwxNl19LCJub25lIjp7ImR0eXBlIjoiRjY0Iiwic2hhcGUiOlswLDddLCJkYXRhX29mZnNldHMiOlsxNiwxNl19LCJuYcOvdmUg"
    "XCJxXCIiOnsiZHR5cGUiOiJGMzIiLCJzaGFwZSI6WzJdLCJkYXRhX29mZnNldHMiOlsxNiwyNF19LCJ3ZWlnaHQiOnsiZHR5cGUiOiJGMTYiLCJz"
    "aGFwZSI6WzIsMl0sImRhdGFfb2Zmc2V0cyI6WzI0LDMyXX0sInNjYWxhciI6eyJkdHlwZSI6IlU4Iiwic2hhcGUiOltdLCJkYXRhX29mZnNldHMi"
    "OlszMiwzM119LCJmbGFnIjp7ImR0eXBlIjoiQk9PTCIsInNoYXBlIjpbM10sImRhdGFfb2Zmc2V0cyI6WzMzLDM2XX19ICAg//////////8AAAAA"
    "AAAAQAAAgD8AAABAAAAAvv97AQADAQAB"
)
TENSORS = {
    "weight": np.array([[0, -1.5], [65504, 2**-24]], np.float16),
    "indices": np.array([-1, 2**62], np.int64),
    "flag": np.array([True, False, True]),
    "scalar": np.array(3, np.uint8),
    "none": np.zeros((0, 7), np.float64),
    'naïve "q"': np.array([1, 2], np.float32),
}


def pack(header, data=b""):
    """Make a file of a header, a JSON value or the bytes of one, and the bytes of the tensors."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def assert_same(got, expected):
    assert got.keys() == expected.keys()
    for name, tensor in expected.items():
        assert got[name].dtype == tensor.dtype and got[name].shape == tensor.shape, name
        np.testing.assert_array_equal(got[name], tensor, err_msg=name)


def test_load_reads_what_the_reference_library_wrote(tmp_path):
    (tmp_path / "x").write_bytes(REFERENCE)
    assert_same(safetensors.load(tmp_path / "x"), TENSORS)


def test_save_writes_the_bytes_of_the_reference_library(tmp_path):
    safetensors.save(tmp_path / "x", TENSORS, {"format": "np"})
    assert (tmp_path / "x").read_bytes() == REFERENCE
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_round_trip_of_every_type_order_and_stride(tmp_path):
    values = np.arange(24).reshape(2, 3, 4)
    tensors = {dtype: values.astype(dtype) for dtype in ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4")}
    tensors |= {"u8": values.astype("u8") + 2**63, "big": values.astype(">i4"), "turned": values.T[::-1].astype("f4")}
    tensors |= {"bool": values % 2 == 0, "zero": np.zeros((3, 0, 2), "f4"), "": np.float32(1)}
    safetensors.save(tmp_path / "x", tensors)
    loaded = safetensors.load(tmp_path / "x")
    assert loaded["big"].dtype == np.dtype("<i4")
    assert_same(loaded, {name: np.asarray(tensor).astype(loaded[name].dtype) for name, tensor in tensors.items()})


def test_no_tensors_at_all(tmp_path):
    safetensors.save(tmp_path / "x", {})
    assert safetensors.load(tmp_path / "x") == {}


def test_bfloat16_is_widened_for_every_pattern(tmp_path):
    patterns = np.arange(65536, dtype="<u2")
    (tmp_path / "x").write_bytes(pack({"x": entry("BF16", (65536,), (0, 131072))}, patterns.tobytes()))
    x = safetensors.load(tmp_path / "x")["x"]
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, patterns.view(ml_dtypes.bfloat16).astype(np.float32))


def test_bool_bytes_other_than_zero_and_one_are_true(tmp_path):
    (tmp_path / "x").write_bytes(pack({"x": entry("BOOL", (4,), (0, 4))}, bytes([0, 1, 2, 255])))
    assert safetensors.load(tmp_path / "x")["x"].tolist() == [False, True, True, True]


def test_tensors_are_read_only_views_of_the_file(tmp_path):
    (tmp_path / "x").write_bytes(REFERENCE)
    weight = safetensors.load(tmp_path / "x")["weight"]
    assert not weight.flags.writeable
    assert isinstance(weight.base, mmap.mmap)


def test_header_that_leaves_the_data_unaligned(tmp_path):
    values = np.arange(2, dtype="<f4")
    for spaces in range(8):
        header = json.dumps({"x": entry()}).encode() + b" " * spaces
        (tmp_path / "x").write_bytes(pack(header, values.tobytes()))
        np.testing.assert_array_equal(safetensors.load(tmp_path / "x")["x"], values)


def test_further_fields_mean_nothing(tmp_path):
    values = np.arange(2, dtype="<f4")
    (tmp_path / "x").write_bytes(pack({"x": entry() | {"note": "x", "more": [1]}}, values.tobytes()))
    np.testing.assert_array_equal(safetensors.load(tmp_path / "x")["x"], values)


def through_a_pipe(content, read):
    """What `read` makes of a path to a pipe with such a content."""
    reader, writer = os.pipe()

    def write():
        with os.fdopen(writer, "wb") as file:
            file.write(content)

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        return read(f"/dev/fd/{reader}")
    finally:
        os.close(reader)
        thread.join()


def test_a_pipe_is_read_whole():
    # More than a pipe holds at a time.
    large = np.arange(100_000, dtype=np.float32)
    content = pack({"x": entry(shape=large.shape, offsets=(0, large.nbytes))}, large.tobytes())
    for whole, expected in ((REFERENCE, TENSORS), (content, {"x": large})):
        assert_same(through_a_pipe(whole, safetensors.load), expected)
    for damaged, message in ((REFERENCE[:3], "truncated: 3 bytes"), (REFERENCE[:-1], "exceed the 35 bytes of data")):
        with pytest.raises(ValueError, match=message):
            through_a_pipe(damaged, safetensors.load)


DAMAGED = {
    "empty": (b"", "truncated: 0 bytes"),
    "shorter than the length": (b"\x08\0\0", "truncated: 3 bytes"),
    "text file": (b"#!/usr/bin/env python\n", "no safetensors file"),
    "giant header": ((100_000_001).to_bytes(8, "little") + b"{}", "header of 100000001 bytes"),
    "short header": ((64).to_bytes(8, "little") + b"{}", "header of 64 bytes announced, 2 present"),
    "no JSON": (pack(b"{x: 1}"), "not valid JSON"),
    "no UTF-8": (pack(b'{"\xff": 1}'), "not valid JSON"),
    "bottomless JSON": (pack(b"[" * 100_000), "not valid JSON"),
    "no header": (pack(b""), "not valid JSON"),
    "JSON list": (pack([]), "JSON list, expected an object"),
    "no number": (pack(b'{"x":{"note":NaN}}'), "not valid JSON: NaN is no JSON"),
    "duplicate name": (
        pack(b'{"x":%b,"x":%b}' % ((json.dumps(entry()).encode(),) * 2), b"\0" * 8),
        "duplicate name 'x'",
    ),
    "entry no object": (pack({"x": 3}), "tensor 'x': expected the fields"),
    "field missing": (pack({"x": {"dtype": "F32", "shape": [2]}}), "tensor 'x': expected the fields"),
    "unknown dtype": (pack({"x": entry("F8_E4M3")}), "tensor 'x': dtype 'F8_E4M3', expected one of"),
    "dtype no string": (pack({"x": entry(["F32"])}), "dtype ['F32'], expected one of"),
    "negative side": (pack({"x": entry(shape=(-2,))}), "shape [-2], expected a list of non-negative integers"),
    "fractional side": (pack({"x": entry(shape=(2.0,))}), "shape [2.0], expected"),
    "boolean side": (pack({"x": entry(shape=(True, 2))}), "shape [True, 2], expected"),
    "reversed offsets": (pack({"x": entry(offsets=(8, 0))}), "data_offsets [8, 0], expected [begin, end]"),
    "three offsets": (pack({"x": entry(offsets=(0, 4, 8))}), "data_offsets [0, 4, 8], expected [begin, end]"),
    "shape and offsets differ": (
        pack({"x": entry(shape=(3,))}, b"\0" * 8),
        "F32 of shape [3] takes 12 bytes, data_offsets span 8",
    ),
    "overlap": (
        pack({"x": entry(), "y": entry(offsets=(4, 12))}, b"\0" * 12),
        "tensor 'y': data_offsets [4, 12] overlaps",
    ),
    "gap": (
        pack({"x": entry(), "y": entry(offsets=(12, 20))}, b"\0" * 20),
        "tensor 'y': data_offsets [12, 20] leaves a gap after byte 8",
    ),
    "beyond the end": (pack({"x": entry()}, b"\0" * 7), "data_offsets [0, 8] exceed the 7 bytes of data"),
    "rest": (pack({"x": entry()}, b"\0" * 9), "1 bytes at the end belong to no tensor"),
    "too many sides": (pack({"x": entry(shape=(1,) * 99 + (2,))}, b"\0" * 8), "does not fit NumPy"),
    "empty but huge": (pack({"x": entry(shape=(0, 10**30), offsets=(0, 0))}), "does not fit NumPy"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_file_is_a_one_line_error(tmp_path, content, message):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        safetensors.load(path)
    text = str(caught.value)
    assert message in text and text.startswith(f"{path}: ") and "\n" not in text


def test_every_truncation_is_an_error(tmp_path):
    for length in range(len(REFERENCE)):
        (tmp_path / "x").write_bytes(REFERENCE[:length])
        with pytest.raises(ValueError, match="x: "):
            safetensors.load(tmp_path / "x")


def test_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        safetensors.load(tmp_path / "x")


@pytest.mark.parametrize(
    ("tensors", "metadata", "error", "message"),
    [
        ({"x": np.zeros(2, complex)}, None, TypeError, "tensor 'x' has type complex128, expected one of"),
        ({"x": np.array(["a"])}, None, TypeError, "tensor 'x' has type <U1"),
        ({3: np.zeros(2)}, None, ValueError, "tensor name 3, expected a string"),
        ({"__metadata__": np.zeros(2)}, None, ValueError, "tensor name '__metadata__'"),
        ({"x": np.zeros(2)}, {"layers": 6}, TypeError, "metadata {'layers': 6}, expected strings to strings"),
    ],
)
def test_save_refuses_and_leaves_the_old_file(tmp_path, tensors, metadata, error, message):
    (tmp_path / "x").write_bytes(REFERENCE)
    with pytest.raises(error) as caught:
        safetensors.save(tmp_path / "x", tensors, metadata)
    assert message in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_bytes() == REFERENCE


def test_a_failing_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(source, target):
        raise OSError("disk full")

    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"), files.replacing(tmp_path / "x") as beside:
        safetensors.save(beside, TENSORS)
    assert list(tmp_path.iterdir()) == []
