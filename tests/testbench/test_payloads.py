"""Arrays as payloads of streams, and the checks of what comes back over a link."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from broken_archives import BROKEN_MEMBERS, broken

from bitloom.cores.catalogue import lookup
from bitloom.cores.systolic.gemm import GemmConfig
from bitloom.fpga.session import linked
from bitloom.golden.systolic import tiling
from bitloom.hdl.stream import codec
from bitloom.testbench import payload_files, payloads


@pytest.mark.parametrize("bits", [1, 7, 8, 9, 33, 63, 64])
def test_numbers_and_rows_are_the_same_payloads(bits):
    values = [0, 1, (1 << bits) - 1, 1 << (bits - 1)]
    array = np.array(values, np.uint64)
    rows = payloads.to_rows("i", array, bits)
    assert [int.from_bytes(row.tobytes(), "little") for row in rows] == values
    assert (payloads.to_rows("i", rows, bits) == rows).all()
    assert payloads.from_bytes(rows.tobytes(), bits, True).tolist() == values
    assert (payloads.from_bytes(rows.tobytes(), bits, False) == rows).all()
    lowest = -(1 << (bits - 1))
    rows = payloads.to_rows("i", np.array([-1, lowest]), bits)
    assert [int.from_bytes(row.tobytes(), "little") for row in rows] == [(1 << bits) - 1, 1 << (bits - 1)]
    for wrong in {lowest - 1, 1 << bits} if bits < 63 else {}:
        with pytest.raises(ValueError, match=rf"payload 1 of stream i must have {bits} bits, {wrong} has more"):
            payloads.to_rows("i", np.array([0, wrong]), bits)


def test_wide_payloads_are_rows_only():
    rows = np.arange(18, dtype=np.uint8).reshape(2, 9)
    assert payloads.to_rows("i", rows, 69) is rows
    assert (payloads.from_bytes(rows.tobytes(), 69, True) == rows).all()
    for wrong in (rows[:, :8], rows[:0], rows.astype(np.int64), np.arange(3)):
        with pytest.raises(
            ValueError, match="stream i has payloads of 69 bits: its array must hold one or more as rows"
        ):
            payloads.to_rows("i", wrong, 69)
    with pytest.raises(ValueError, match="payload 0 of stream i must have 67 bits, more are set"):
        payloads.to_rows("i", rows, 67)


def test_fields_in_files(tmp_path):
    """Nested fields, signs and single numbers; what is written is read again, the same bytes each time."""
    layout = lookup("nm-selector").config(lanes=2).o_layout
    values = [[3, -4], [-128, 127]]
    np.savez(tmp_path / "w.npz", **{"lanes.value": np.int8(values), "lanes.index": 5, "last": np.array([False, True])})
    fields = payload_files.load(tmp_path / "w.npz")
    words = [0x5FC << 11 | 0x503, 1 << 22 | 0x57F << 11 | 0x580]
    rows = fields.packed("w", layout)
    assert codec.to_integers(rows) == words
    for name in ("y.npz", "z.npz"):
        payload_files.save(tmp_path / name, rows.tobytes(), layout, False)
    assert (tmp_path / "y.npz").read_bytes() == (tmp_path / "z.npz").read_bytes()
    again = payload_files.load(tmp_path / "y.npz")
    assert {name: array.tolist() for name, array in again.arrays.items()} == {
        "lanes.value": values,
        "lanes.index": [[5, 5]] * 2,
        "last": [0, 1],
    }
    assert (again.packed("w", layout) == rows).all()
    payload_files.save(tmp_path / "y.npy", rows.tobytes(), layout, True)
    assert payload_files.load(tmp_path / "y.npy").tolist() == words
    assert not payload_files.are_numbers([fields]) and payload_files.are_numbers([np.arange(2)])
    known = {"w": SimpleNamespace(bits=23)}
    for given in (fields, rows, np.array(words)):
        assert (payloads.streams(known, {None: given}, {}, {}, {"w": layout})["w"] == rows).all()


FIELDS = {"lanes.value": [[0, 0]], "lanes.index": [[0, 0]], "last": [0]}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"last": None}, "field 'last' is missing: the payload has lanes.value, lanes.index, last"),
        ({"end": [0]}, "unknown field 'end': the payload has lanes.value, lanes.index, last"),
        ({"last": [[0]]}, "field 'last' must have shape (transfers,) or be one number, not (1, 1)"),
        ({"last": [0, 1]}, "field 'last' must have as many transfers as 'lanes.value', 1, not 2"),
        ({"lanes.value": [[0, 128]]}, "field 'lanes.value' must be -128 to 127, not 128 in transfer 0, at [1]"),
        ({"last": [0.5]}, "field 'last' must be integers, not float64"),
        ({"lanes.value": np.zeros((0, 2), int), "lanes.index": 0, "last": 0}, "its fields must hold one or more"),
    ],
)
def test_files_whose_fields_do_not_fit(changes, message, tmp_path):
    path, layout = tmp_path / "w.npz", lookup("nm-selector").config(lanes=2).o_layout
    np.savez(path, **{name: array for name, array in (FIELDS | changes).items() if array is not None})
    with pytest.raises(ValueError, match=f"^{re.escape(f'{str(path)!r}, stream w: {message}')}"):
        payload_files.load(path).packed("w", layout)


def test_what_is_no_file_of_fields(tmp_path):
    path = tmp_path / "w.npz"
    wanted = f"{str(path)!r} must be a whole .npz file of numbers"
    np.savez(path, last=np.zeros(4), lanes=np.array([None, 1]))
    whole = path.read_bytes()
    with pytest.raises(ValueError, match=f"^{re.escape(wanted)}: field 'lanes' is no such array$"):
        payload_files.load(path)
    for data in (b"", b"no zip", whole[:-30], whole[:200]):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=f"^{re.escape(wanted)}"):
            payload_files.load(path)
    with pytest.raises(FileNotFoundError):
        payload_files.load(tmp_path / "none.npz")


@pytest.mark.parametrize("kind", BROKEN_MEMBERS)
def test_fields_that_cannot_be_read(kind, tmp_path):
    path = tmp_path / "w.npz"
    path.write_bytes(broken(kind))
    with pytest.raises(ValueError, match=r"must be a whole \.npz file of numbers: field 'last' is no such array$"):
        payload_files.load(path)


def test_files_of_input_streams(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x=y.npy").touch()
    streams = ("a", "w")

    def parse(*texts):
        return payloads.parse_files(texts, streams)

    assert parse() == {}
    assert parse("none.npy") == {None: Path("none.npy")}
    assert parse("a=1.npy", "w=k=2/3=4.npy") == {"a": Path("1.npy"), "w": Path("k=2/3=4.npy")}
    # No stream has such a name, and so it is a file; one that does not exist is a slip of the pen.
    for text in ("x=y.npy", "./x=y.npy", str(tmp_path / "x=y.npy")):
        assert parse(text) == {None: Path(text)}
    for text, name in (("b=y.npy", "b"), ("=y.npy", ""), ("./a=y.npy", "./a")):
        wanted = f"--in {text!r}: the core has no input stream {name!r}, only a, w, and there is no such file"
        with pytest.raises(ValueError, match=f"^{re.escape(wanted)}$"):
            parse(text)
    with pytest.raises(ValueError, match=r"^--in gives stream 'a' twice$"):
        parse("a=1.npy", "a=2.npy")
    for texts in (("1.npy", "2.npy"), ("1.npy", "a=2.npy"), ("x=y.npy", "2.npy")):
        with pytest.raises(ValueError, match=r"^--in must be NAME=FILE for each of several"):
            parse(*texts)


def test_a_file_for_each_output(tmp_path):
    assert payloads.output_files(tmp_path / "Y.npy", {"o": None}) == {"o": tmp_path / "Y.npy"}
    files = payloads.output_files(tmp_path / "Y.npy", {"o": None, "p": None})
    assert files == {"o": tmp_path / "Y.o.npy", "p": tmp_path / "Y.p.npy"}


class Echo:
    """A link whose core gives what it is told to."""

    def __init__(self, size, data, flags=None, failure=None):
        self.channels = SimpleNamespace(outputs={"o": SimpleNamespace(bytes=size, bits=8 * size)})
        self.flags, self.answer = flags or {}, SimpleNamespace(outputs={"o": data}, failure=failure)

    def hello(self, identity):
        pass

    def set(self, **settings):
        pass

    def exchange(self, inputs, outputs, progress):
        return self.answer


def test_every_check_of_a_product_can_fail():
    this = GemmConfig(2, 3, "ovp-int4", "ovp-int4", 24, overflow=False, block=2)
    zeros, ones = np.zeros((2, 2), np.uint8), np.full((2, 2), 0x11, np.uint8)
    right = b"".join((int(end) << 72).to_bytes(10, "little") for end in tiling.ends(2, 4, 2, this))
    cases = [
        (zeros, Echo(10, right, {"illegal": False}), None),
        (
            ones,
            Echo(10, right, {"illegal": False}),
            r"^4 of 4 results differ, the first at \(0, 0\): expected 4, got 0$",
        ),
        (zeros, Echo(10, bytes(20), {"illegal": False}), "^`last` of result row 1 is 0, expected 1$"),
        (zeros, Echo(10, right, {"illegal": True}), "^`illegal` is 1, expected 0$"),
        (zeros, Echo(10, right, {"illegal": False, "overrun": True}), "^`overrun` is 1, expected 0$"),
        (zeros, Echo(10, b"", {"illegal": False}, "the core hangs: …"), "^the core hangs"),
    ]
    for codes, link, failure in cases:
        result = linked.multiply(link, {}, codes, codes, this)
        assert result.passed == (failure is None) == (result.outputs is not None)
        assert re.search(failure or "^$", result.failure or "")
    unchecked = linked.multiply(cases[1][1], {}, ones, ones, this, check=False)
    assert unchecked.passed and unchecked.checked is None and (unchecked.product == 0).all()


def test_every_check_of_payloads_can_fail():
    core, rows = lookup("ovp-decoder"), np.zeros((2, 2), np.uint8)
    for data, flags, failure in (
        (bytes(6), {"illegal": False}, None),
        (bytes(3), {"illegal": False}, "stream o gave 1 payloads, expected 2"),
        (
            b"\0\0\0\1\0\0",
            {"illegal": False},
            "1 of 2 payloads of stream o differ, the first one is number 1: expected ",
        ),
        (bytes(6), {"illegal": True}, "flag illegal is 1, expected 0"),
    ):
        result = linked.run_on(Echo(3, data, flags), {}, core, core.config(), {"i": rows})
        assert (result.failure or "").startswith(failure or "") and result.passed == (failure is None)
    result = linked.run_on(Echo(3, bytes(4)), {}, core, core.config(), {"i": rows}, check=False)
    assert result.failure == "stream o ended within a payload"
