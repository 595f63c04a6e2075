"""One row of the comparison: a model in a system's arithmetic, and through its Verilated core."""

from ..golden.workloads.comparison import account, apply, histogram, models, rows
from ..testbench.comparison import Engine
from ..testbench.comparison_units import UnitEngine
from . import cost
from .kept import kept, place

__all__ = ["WAYS", "entry", "failures", "measure"]

#: Whose products a row is made of.
WAYS = ("golden", "rtl")
_ROOMS = ("golden", "cores", "hdl", "testbench", "compare")


def measure(model, name, inputs=None, tokens=None, way="golden", more=None, fingerprint=None):
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
        One of `WAYS`. With `rtl` every product goes through the core, too, and is compared; so do softmax, GELU and
        LayerNorm of the integer scores through their units.
    more : path, optional
        As of `rows.table`.
    fingerprint : str, optional
        Of the model and inputs that are meant: on another machine the same name may stand for others.

    Returns
    -------
    dict
        That JSON can hold: `row`, `summary`, `core`, None where there is none, `parameters`; `chosen`, by name,
        what the scheme chose for this model; `baseline`, `what` the model is before it is in any row's
        arithmetic, and its `scores`; `scores` by measure; `integer_scores`, the same with softmax, GELU and
        LayerNorm on the integer units of GQA-LUT, None where these cannot do them; `weight_bits` and
        `activation_bits`, means over the values of linear layers; `bytes`, `products`, `cycles`, `utilization`
        of a pass, the last two None without a core, and its `tokens`; `attends`, whether the core takes
        attention's products; `places`, a list of what `account.Entry` has, with `utilization` and `sqnr_db`,
        which is None where `noise` or `signal` is 0; `weight_codes`, pairs of a code's value and how many
        weights have it, as of `histogram.histogram`. With `rtl` and a core also `rtl`: `products` and their
        `cycles`; `failures`; `units`, by core the `runs` of an integer unit, their `operations` (results),
        `cycles` and `failures`; `seconds` of simulation.

    Raises
    ------
    ValueError
        For an unknown row or model, another model than is meant, and numbers that the system cannot hold.
    """
    row, subject = rows.lookup(name, more), models.subject(model, inputs, tokens)
    if row.trained:
        subject = subject.trained(row.trained)
    here = subject.fingerprint()
    if fingerprint not in (None, here):
        raise ValueError(f"the model {model!r} and its inputs are other ones than where the comparison was started")

    def make():
        scheme, config = row.scheme(), cost.configuration(row)
        parameters = config.assignments() if config else []
        record = {"row": row.name, "summary": row.summary, "core": scheme.core, "parameters": parameters}
        return record | _measured(subject, scheme, config, way)

    return kept(make, entry(here, row, way, more))


def entry(fingerprint, row, way, more=None):
    """The file that keeps a row's record, whether it is there or not.

    Parameters
    ----------
    fingerprint : str
        Of the model and its inputs.
    row : Row
    way, more
        As of `measure`.

    Returns
    -------
    Path
    """
    config = cost.configuration(row)
    return place(_ROOMS, more, fingerprint, row.name, config and config.to_dict(), way)


def _measured(subject, scheme, config, way):
    prepared = apply.prepare(subject, scheme)
    scheme = prepared.scheme
    judged = subject.judged()
    first, entries = account.account(judged, prepared, config)
    scores = first if judged is subject else subject.scores(apply.operations(subject, prepared))
    integer = judged.integer(apply.operations(judged, prepared))
    layers = [entry for entry in entries if entry.weights]
    record = {
        "chosen": scheme.chosen,
        "baseline": {"what": judged.baseline, "scores": _baseline(judged)},
        "scores": scores,
        "integer_scores": judged.scores(integer) if integer else None,
        "weight_bits": sum(entry.weight_bits for entry in layers) / sum(entry.weights for entry in layers),
        "activation_bits": sum(e.activation_bits for e in layers) / sum(e.products / e.shape[2] for e in layers),
        "bytes": round(sum(entry.weight_bits + entry.activation_bits for entry in entries) / 8),
        "products": sum(entry.products for entry in entries),
        **_time(entries, scheme),
        # Whatever goes through a linear layer as a row of activations.
        "tokens": layers[0].products // layers[0].weights,
        "attends": scheme.attends,
        "places": [_place(entry) for entry in entries],
        "weight_codes": [[*pair] for pair in histogram.histogram(prepared)],
    }
    if way == "rtl" and scheme.core:
        record["rtl"] = _simulated(judged, prepared, config, first, record["integer_scores"])
    return record


def _baseline(judged):
    """Scores of the model before it is in any row's arithmetic: kept, as they are the same for all rows."""
    path = place(_ROOMS, None, judged.fingerprint(), folder="baselines")
    return kept(lambda: judged.scores(judged.ops()), path)


def _simulated(judged, prepared, config, scores, integer_scores):
    """All products through the core; then the golden model again, with the integer units simulated."""
    engine, units = Engine(prepared.scheme, config), UnitEngine()
    through = judged.scores(apply.operations(judged, prepared, engine))
    failures = engine.failures or _other(through, scores)
    if integer_scores:
        through = judged.scores(judged.integer(apply.operations(judged, prepared), units))
        failures = failures + ([] if any(run.failure for run in units.runs) else _other(through, integer_scores))
    return {
        "products": len(engine.products),
        "cycles": sum(product.cycles for product in engine.products),
        "failures": failures,
        "units": _units(units.runs),
        "seconds": sum(run.seconds for run in (*engine.products, *units.runs)),
    }


def _other(through, scores):
    """That scores through RTL are not the golden model's, if so."""
    return [] if through == scores else [f"the scores are {through}, expected {scores}"]


def _units(runs):
    """What went through each unit, in the order in which they were met."""
    return {
        core: {
            "runs": len(own),
            "operations": sum(run.operations for run in own),
            "cycles": sum(run.cycles for run in own),
            "failures": [f"{run.place}: {run.failure}" for run in own if run.failure],
        }
        for core in dict.fromkeys(run.core for run in runs)
        for own in [[run for run in runs if run.core == core]]
    }


def failures(record):
    """What went wrong in the simulation of a record, products first; one line each, nothing if all is equal."""
    rtl = record.get("rtl") or {}
    return [*rtl.get("failures", ()), *(line for unit in rtl.get("units", {}).values() for line in unit["failures"])]


def _time(entries, scheme):
    """Cycles of a pass, and the share of them in which the multipliers make products."""
    if scheme.core is None:
        return {"cycles": None, "utilization": None}
    cycles = sum(entry.cycles for entry in entries)
    return {"cycles": cycles, "utilization": sum(entry.products / entry.peak for entry in entries) / cycles}


def _place(entry):
    told = {"shape": [*entry.shape], "utilization": entry.utilization, "sqnr_db": entry.sqnr_db}
    return vars(entry) | told
