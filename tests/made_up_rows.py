"""Records of the comparison that nobody measured."""

__all__ = ["record", "run"]


def record(row, score, *, cycles=1000, measure="cosine", places=2, **more):
    """A record with two kinds of layers; `more` is put in."""
    shapes = [
        {"place": f"layer.{i // 2}.{('up', 'down')[i % 2]}", "shape": [4, 8, 16], "products": 512}
        for i in range(places)
    ]
    costs = {"cycles": cycles // places, "utilization": 0.5, "signal": 2.0, "noise": 0.02, "sqnr_db": 20.0}
    made = {
        "row": row,
        "summary": f"what {row} is",
        "core": "systolic-tile",
        "parameters": ["rows=8"],
        "scores": {measure: score},
        "integer_scores": None,
        "weight_bits": 8.0,
        "activation_bits": 8.0,
        "bytes": 2_000_000,
        "products": 512 * places,
        "cycles": cycles,
        "tokens": 4,
        "utilization": 0.5,
        "attends": True,
        "places": [shape | costs for shape in shapes],
        "weight_codes": [[-1, 3], [0, 1000], [0.5, 1]],
    }
    return made | more


def hardware(luts=100, mhz=50.0, area=4000.0, femtojoules=200.0):
    """What is measured of a core."""
    return {
        "fpga": {
            "part": "ecp5-85k",
            "uses": {"LUT4": luts, "FF": 7, "carry": 3},
            "fmax_mhz": mhz,
            "tools": {"Yosys": "0.70"},
        },
        "area": {"library": "sky130_fd_sc_hd", "area": area},
        "energy": {"product_fj": femtojoules, "byte_pj": 160.0},
    }


def run(*records, **more):
    """A run of the command."""
    return {"model": "minilm", "inputs": 3, "tokens": None, "rows": [*records]} | more
