"""What every run of a core's bench must show."""

from bitloom.cores.catalogue import lookup
from bitloom.testbench.runner import simulate


def passes(name, parameters, vectors, seed=1):
    """A run of the bench of the core `name` that passed, with all its random vectors.

    Returns
    -------
    tuple of Config and Result
    """
    core = lookup(name)
    config = core.config.parse(parameters)
    result = simulate(core, config, vectors=vectors, seed=seed)
    assert result.passed, result.summary()
    assert result.vectors == vectors
    return config, result
