"""The section of a row: what it is, its scores, and the model place by place."""

from html import escape

from ...cores.sheet import html
from . import bars, figures
from .columns import whole
from .table import cell

__all__ = ["section"]


def section(record, anchor):
    """HTML of a row's section.

    Parameters
    ----------
    record : dict
        As `measure` gives.
    anchor : str
        Of the section.
    """
    row = record["row"]
    pictures = []
    if record["core"]:
        pictures.append(html.figure(bars.cycles(row, record["places"]), "Cycles by kind of layer"))
    if any(place.get("sqnr_db") is not None for place in record["places"]):
        pictures.append(html.figure(bars.ratios(row, record["places"]), "Signal to quantization noise, place by place"))
    if codes := record.get("weight_codes"):
        pictures.append(html.figure(bars.histogram(row, codes), "How often each code occurs among the weights"))
    pieces = [
        f"<section id='{anchor}'>",
        f"<h3>{escape(row)} <a class='up' href='#rows'>back to the table</a></h3>",
        f"<p>{escape(record['summary'])}.</p>",
        _facts(record),
        f"<div class='pictures small'>{''.join(pictures)}</div>",
        f"<details><summary>{len(record['places'])} places of the model, one by one</summary>",
        _places(record["places"]),
        "</details>",
        "</section>",
    ]
    return "\n".join(pieces)


def _facts(record):
    """Names and values that the table has no room for, or that belong together."""
    facts = [("core", f"{record['core'] or 'none'} {' '.join(record['parameters'])}".strip())]
    if chosen := record.get("chosen"):
        facts.append(("chosen for this model", ", ".join(f"{name} {value}" for name, value in chosen.items())))
    facts += [(name, f"{value:.6f}") for name, value in record["scores"].items()]
    facts += [
        (f"{name}, integer units", f"{value:.6f}") for name, value in (record.get("integer_scores") or {}).items()
    ]
    if fpga := record.get("fpga"):
        uses = [f"{whole(count)} {name}" for name, count in (fpga.get("uses") or {}).items()]
        clock = f"{fpga['fmax_mhz']:.1f} MHz" if fpga.get("fmax_mhz") else fpga.get("why", "no clock")
        facts.append((str(fpga.get("part", "FPGA")), ", ".join([*uses, clock])))
    if (area := figures.area(record)) is not None:
        gates = record["area"].get("nand2")
        told = f"{area:,.0f} in {record['area'].get('library', 'cells')}"
        facts.append(("area", told if gates is None else f"{told}, {gates:,.0f} NAND2"))
    if (energy := figures.energy(record)) is not None:
        facts.append(("energy", f"{energy:,.4g} fJ a product, {figures.pass_energy(record):,.4g} µJ a pass"))
    if (token := figures.token_energy(record)) is not None:
        switching, moved = figures.switching_token_energy(record), figures.byte_token_energy(record)
        facts.append(("energy a token", f"{token:,.4g} µJ: {switching:,.4g} of switching, {moved:,.4g} of bytes"))
    if rtl := record.get("rtl"):
        equal = f"{rtl['products']:,} products, {rtl['cycles']:,} cycles, simulated in {rtl['seconds']:.0f} s"
        facts.append(("through the core", "; ".join([equal, *rtl["failures"]])))
        for core, unit in rtl.get("units", {}).items():
            equal = f"{unit['operations']:,} results in {unit['runs']:,} runs, {unit['cycles']:,} cycles"
            facts.append((f"through {core}", "; ".join([equal, *unit["failures"]])))
    return "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts) + "</dl>"


def _places(places):
    heads = ("place", "M × K × N of the first", "products", "cycles", "busy", "SQNR, dB")
    kind = " class='number'"
    lines = [
        f"<tr><th scope='row'>{escape(place['place'])}</th>"
        + "".join(f"<td{kind}>{text}</td>" for text in _cells(place))
        + "</tr>"
        for place in places
    ]
    head = "".join(f"<th scope='col'{'' if name == 'place' else kind}>{name}</th>" for name in heads)
    return (
        f"<div class='wide'>\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(lines)
        + "\n</tbody>\n</table>\n</div>"
    )


def _cells(place):
    shape = " × ".join(map(str, place["shape"]))
    exact = place.get("noise") == 0
    ratio = "exact" if exact else cell(place.get("sqnr_db"), "{:.1f}".format)
    spent = cell(place["cycles"], whole), cell(place["utilization"], "{:.1%}".format)
    return shape, whole(place["products"]), *spent, ratio
