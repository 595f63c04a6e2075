"""What the tests share."""

import pytest

from bitloom.hdl import tools


@pytest.fixture(scope="session")
def icarus():
    """Command of Icarus Verilog. It is in no wheel, so `make test` does without it; `.ci/run` installs it."""
    try:
        return tools.find("iverilog").command
    except tools.ToolMissing as error:
        pytest.skip(str(error))
