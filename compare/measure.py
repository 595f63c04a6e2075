"""One row of the comparison: a model in a system's arithmetic, and through its Verilated core."""

import hashlib
import json
from pathlib import Path

from ..golden import strict_json
from ..golden.workloads.comparison import account, apply, histogram, models, rows
from ..testbench.comparison import Engine
from ..tools import caches
from ..tools.files import atomic_write
from . import cost

__all__ = ["WAYS", "measure"]

#: Whose products a row is made of.
WAYS = ("golden", "rtl")


def measure(model, name, inputs=None, tokens=None, way="golden", more=None):
    """Measure one row, or take what an earlier run kept.

    Parameters
    ----------
    model : str
        As of `models.subject`.
    name : str
        Of the row, as of `rows.lookup`.
    inputs, tokens : int, optional
        As of `models.subject`.
    way : str
        One of `WAYS`. With `rtl` every product goes through the core, too, and is compared.
    more : path, optional
        As of `rows.table`.

    Returns
    -------
    dict
        That JSON can hold: `row`, `summary`, `core`, `parameters`; `scores` by measure; `integer_scores`, the same with
        softmax, GELU and LayerNorm on the integer units of GQA-LUT, None where these cannot do them; `weight_bits` and
        `activation_bits`, means over the values of linear layers; `bytes`, `products`, `cycles`, `utilization` of a
        pass; `attends`, whether the core takes attention's products; `places`, a list of what `account.Entry` has, with
        `utilization` and `sqnr_db`, which is None where `noise` or `signal` is 0; `weight_codes`, pairs of a code's
        value and how many weights have it, as of `histogram.histogram`. With `rtl` also `rtl`: `products` and their
        `cycles`, `failures`, `seconds` of simulation.

    Raises
    ------
    ValueError
        For an unknown row or model, and numbers that the system cannot hold.
    """
    row, subject = rows.lookup(name, more), models.subject(model, inputs, tokens)
    if row.trained:
        subject = subject.trained(row.trained)
    scheme = row.scheme()
    config = cost.configuration(row)
    key = [_code(more), subject.fingerprint(), name, config.to_dict(), way]
    entry = caches.cache_dir("compare") / f"{hashlib.sha256(strict_json.dumps(key).encode()).hexdigest()}.json"
    if entry.is_file():
        return json.loads(entry.read_text())
    record = {"row": row.name, "summary": row.summary, "core": scheme.core, "parameters": config.assignments()}
    record |= _measured(subject, scheme, config, way)
    atomic_write(entry, strict_json.dumps(record))
    return record


def _measured(subject, scheme, config, way):
    prepared = apply.prepare(subject, scheme)
    judged = subject.judged()
    first, entries = account.account(judged, prepared, config)
    scores = first if judged is subject else subject.scores(apply.operations(subject, prepared))
    integer = judged.integer(apply.operations(judged, prepared))
    layers = [entry for entry in entries if entry.weights]
    busy = sum(entry.products / entry.peak for entry in entries)
    record = {
        "scores": scores,
        "integer_scores": judged.scores(integer) if integer else None,
        "weight_bits": sum(entry.weight_bits for entry in layers) / sum(entry.weights for entry in layers),
        "activation_bits": sum(e.activation_bits for e in layers) / sum(e.products / e.shape[2] for e in layers),
        "bytes": round(sum(entry.weight_bits + entry.activation_bits for entry in entries) / 8),
        "products": sum(entry.products for entry in entries),
        "cycles": sum(entry.cycles for entry in entries),
        "utilization": busy / sum(entry.cycles for entry in entries),
        "attends": scheme.attends,
        "places": [_place(entry) for entry in entries],
        "weight_codes": [[*pair] for pair in histogram.histogram(prepared)],
    }
    if way == "rtl":
        engine = Engine(scheme, config)
        through = judged.scores(apply.operations(judged, prepared, engine))
        if through != first and not engine.failures:
            engine.failures.append(f"the scores are {through}, expected {first}")
        record["rtl"] = {
            "products": len(engine.products),
            "cycles": sum(product.cycles for product in engine.products),
            "failures": engine.failures,
            "seconds": sum(product.seconds for product in engine.products),
        }
    return record


def _place(entry):
    told = {"shape": [*entry.shape], "utilization": entry.utilization, "sqnr_db": entry.sqnr_db}
    return vars(entry) | told


def _code(more):
    """Hash of the code that decides a record: when it changes, what was kept is not used."""
    root = Path(__file__).parents[1]
    rooms = ("golden", "cores", "hdl", "testbench", "compare")
    sources = sorted(path for room in rooms for path in (root / room).rglob("*.py"))
    sources += [Path(more)] if more else []
    return hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
