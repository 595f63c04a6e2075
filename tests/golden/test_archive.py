"""Files of arrays that cannot be read: one kind of error, whoever reads them."""

import io

import pytest
from broken_archives import BROKEN_MEMBERS, broken

from bitloom.golden import archive, sevedo


@pytest.mark.parametrize("kind", BROKEN_MEMBERS)
def test_broken_members(kind):
    with pytest.raises(ValueError, match=r"^it is no table: "):
        archive.unpack(1, broken(kind), "table")
    with pytest.raises(ValueError, match=" is not a file of SeVeDo layers: "):
        sevedo.load(io.BytesIO(broken(kind)))
