"""The table of the standard's clauses: what it names is there."""

import ast
import json
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_clause_has_a_test_that_is_there():
    rows = json.loads((ROOT / "docs" / "systems" / "mx.json").read_text())
    assert rows
    for row in rows:
        assert set(row) == {"clause", "says", "word", "here", "test"}
        assert row["word"] in ("must", "should", "may", "open")
        path, _, function = row["test"].partition("::")
        tree = ast.parse((ROOT / path).read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, row["test"]
