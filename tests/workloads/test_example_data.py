"""The inputs that the README's commands read: the same bytes everywhere, of use to them, and nothing overwritten."""

import hashlib

import numpy as np
import pytest
from command_line import bitloom, complaint

from bitloom.golden.olive import ovp
from bitloom.golden.workloads.example_data import arrays

BYTES = {
    "A.npy": "201e918649abb44fbbe1ece9e2e927fe4205ed9233381f410cdaf9e1fb0cef1f",
    "W.npy": "3f8fcec3da3a6bcc0df0ae32f9b5bb9d5f89889cd84d1a30b6234f6894ca738e",
    "X.npy": "c2595f3091d8099f32e964e275c1344bac78557aef41abc33049eeb2a0766478",
    "codes.npy": "cff17a930fc73af87411a3ac8539efb3903813c2edb943be7590231bc7b65c62",
}


@pytest.mark.parametrize("words", ([], ["-o", "a/b"]))
def test_the_same_bytes_everywhere(words, tmp_path):
    folder = tmp_path.joinpath(*words[1:])
    for _ in range(2):  # the second time over the first
        output, error = bitloom("example-data", *words, cwd=tmp_path)
        assert error == "" and output.split() == [
            word for path in BYTES for word in ("wrote", str(folder.relative_to(tmp_path) / path))
        ]
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    assert found == BYTES


def test_what_is_there_stays(tmp_path):
    (tmp_path / "X.npy").write_bytes(b"mine")
    assert (
        complaint("example-data", cwd=tmp_path) == "bitloom: X.npy exists and is another file: choose a folder with -o"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["X.npy"] and (tmp_path / "X.npy").read_bytes() == b"mine"
    assert "X.npy" in complaint("example-data", "-o", "X.npy", cwd=tmp_path)


def test_values_are_of_use():
    found = arrays()
    for name in ("A", "W"):
        assert {found[name].min(), found[name].max()} == {-128, 127}
    channels = np.abs(found["X"].astype(float)).max(axis=0)
    assert np.isfinite(channels).all() and 1 < np.median(channels) < 4 and (channels > 16).sum() == 3
    codes = found["codes"]
    assert {*(codes & 255).tolist()} == {*range(256)} and {*(codes >> 8).tolist()} == {0, 1}
    assert ovp.illegal((codes & 255).astype(np.uint8)[:, None], ovp.INT4).any()
