"""How many small faults the benches find: minutes a core, and kept."""

from bitloom.cores.catalogue import lookup
from bitloom.testbench.mutate import mutate

from .tables import Table

#: Verdicts on a mutant.
VERDICTS = ("killed", "equivalent", "survived")


def mutation(names):
    """Scores of the benches on mutants of the small configurations."""
    for core in map(lookup, names):
        result = mutate(core, core.config.parse(core.small))
        row = {"core": core.name, "parameters": list(core.small), "mutants": len(result.mutants), "seed": result.seed}
        yield row | {verdict: len(result.of(verdict)) for verdict in VERDICTS} | {"score": round(result.score, 3)}


def cells(row):
    """What is printed of a core."""
    return row["core"], row["mutants"], *(row[verdict] for verdict in VERDICTS), f"{row['score']:.1%}"


MUTATION = Table(
    "mutation",
    "bitloom mutate, small configurations",
    ("core", "mutants", *VERDICTS, "score"),
    mutation,
    cells,
    key=("core", "parameters"),
    tools=("yosys", "verilator"),
    by_core=True,
    rare=True,
)
