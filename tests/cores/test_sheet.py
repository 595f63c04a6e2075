"""Data sheets: every core has one, what it draws covers what there is, and what it says is so."""

import ast
import doctest
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from command_line import bitloom, complaint, printed

from bitloom.cores.catalogue import CATALOGUE, lookup
from bitloom.cores.config import Config
from bitloom.cores.generate import INTERFACES, pinout
from bitloom.cores.sheet import bits, diagram, formulae, measured, page, sheet, stimuli
from bitloom.cores.sheet.sheet import PARTS
from bitloom.testbench import configurations as configuring

ROOT = Path(__file__).parents[2]

each_core = pytest.mark.parametrize("name", CATALOGUE)

#: What every page has, in this order: a heading, or a part that is generated.
OUTLINE = [
    *("Block diagram", "{diagram}", "Parameters", "{parameters}", "Ports", "{ports}"),
    *("Order of transfers", "{timing}", "Latency and interval", "{latency}", "Numeric contract", "Example"),
    *("Cost", "{cost}", "Checks", "{checks}", "Known limits"),
]


def configurations(core):
    """The default one, the small one, and such as have all optional ports."""
    more = {
        "ovp-decoder": ["bias_port=true"],
        "systolic-tile": ["a_format=ovp-int4", "w_format=ovp-int4"],
        "gemm": ["a_format=ovp-int4", "w_format=ovp-int4"],
        "anda-tile": ["signs=beside"],
        "hgq-tile": ["shift_bits=0"],
        "pwl-unit": ["kind=rom", "table=gelu-8"],
    }
    return [core.config(), core.config.parse(core.small), core.config.parse(more.get(core.name, []))]


def drawn(core, rng, count=30):
    """Configurations drawn at random from all that are legal."""
    found = []
    while len(found) < count:
        config = configuring.legal(core.config, rng)
        found += [config] if config is not None else []
    return found


@each_core
def test_page_has_all_parts_in_order(name):
    text = page.prose(lookup(name))
    found = re.findall(r"^## (.*)$|^```(\{)sheet\} (\w+)$", text, flags=re.M)
    assert text.startswith(f"# {name}\n")
    assert [heading or f"{{{part}}}" for heading, _, part in found] == OUTLINE


def test_every_part_is_in_the_pages():
    assert {f"{{{part}}}" for part in PARTS} == {word for word in OUTLINE if word.startswith("{")}


def test_the_index_and_the_folder_have_the_catalogue():
    listed = re.search(r"```\{toctree\}\n(?::.*\n)*\n(.*?)```", (page.FOLDER / "index.md").read_text(), flags=re.S)
    assert listed[1].split() == list(CATALOGUE)
    assert {path.stem for path in page.FOLDER.glob("*.md")} == {*CATALOGUE, "index"}


@each_core
def test_sheet_is_one_well_formed_file(name):
    core = lookup(name)
    for config in configurations(core)[:2]:
        text = page.html(core, config)
        root = ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert not tags & {"script", "link", "img", "iframe", "object", "a"}
        assert not {key for element in root.iter() for key in element.attrib} & {"src", "href"}
        assert "url(" not in text and "@import" not in text
        # What the pages leave to be generated has been.
        assert "{sheet}" not in text
        assert text.count("<svg") >= 4


@each_core
def test_examples_of_the_page_run(name):
    examples = re.findall(r"^```pycon\n(.*?)^```$", page.prose(lookup(name)), flags=re.M | re.S)
    assert examples
    test = doctest.DocTestParser().get_doctest("\n".join(examples), {}, name, f"{name}.md", 0)
    assert test.examples
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_same_request_gives_the_same_bytes():
    texts = []
    for _ in range(2):
        # A new process would draw and simulate anew, too.
        sheet._ran.cache_clear()
        texts.append(page.html(lookup("systolic-tile"), lookup("systolic-tile").config()))
    assert texts[0] == texts[1]


def covered(found, name, base=0):
    """Every bit of a picture, as often as a cell that shows nothing smaller has it."""
    picture = found[name]
    for cell in picture.cells:
        if cell.inside:
            assert cell.width == cell.count * found[cell.inside].width
            for index in range(cell.count):
                yield from covered(found, cell.inside, base + cell.low + index * found[cell.inside].width)
        else:
            yield from ((base + cell.low + bit, cell.unused) for bit in range(cell.width))


@pytest.mark.parametrize("interface", INTERFACES)
@each_core
def test_pictures_have_every_bit_once(name, interface):
    core = lookup(name)
    for config in configurations(core):
        pins = pinout(core, config, interface)
        widths = {port.name: port.width for port in pins.ports}
        for stream in pins.streams:
            pictures = bits.pictures(stream, widths)
            found = {picture.name: picture for picture in pictures}
            assert len(found) == len(pictures)
            for port in {field["port"] for field in stream["fields"]} & set(widths):
                cells = list(covered(found, port))
                assert [bit for bit, _ in cells] == list(range(widths[port]))
                used = {bit for field in stream["fields"] if field["port"] == port for bit in places(field)}
                assert {bit for bit, unused in cells if not unused} == used


def places(field):
    """Every bit of a field of the manifest, in all elements of its arrays."""
    found = [field["offset"]]
    for array in field["arrays"]:
        found = [low + index * array["stride"] for low in found for index in range(array["count"])]
    return {low + bit for low in found for bit in range(field["width"])}


def test_picture_of_nested_arrays():
    arrays = [{"count": 6, "stride": 10}]
    codes = {"name": "groups[i].codes[j]", "port": "p", "offset": 0, "width": 4}
    fields = [
        codes | {"arrays": [*arrays, {"count": 2, "stride": 4}]},
        {"name": "groups[i].shift", "port": "p", "offset": 8, "width": 2, "arrays": arrays},
        {"name": "last", "port": "p", "offset": 60, "width": 1, "arrays": []},
    ]
    whole, group = bits.pictures({"fields": fields}, {"p": 64})
    assert [cell.words for cell in whole.cells] == [
        *("groups[0]", "groups[1]", "[2..4]", "groups[5]", "last", "unused")
    ]
    assert [(cell.words, cell.low) for cell in group.cells] == [("codes[0]", 0), ("codes[1]", 4), ("shift", 8)]
    assert group.name == "groups[i]"


@each_core
def test_diagram_has_every_port(name):
    core = lookup(name)
    text = re.search(r"^```\{sheet\} diagram\n(.*?)^```$", page.prose(core), flags=re.M | re.S)[1]
    drawn, found = diagram.ports(diagram.parse(text)), set()
    for config in configurations(core):
        pins = pinout(core, config)
        ports = {port["name"] for port in (*pins.streams, *pins.signals)}
        assert ports <= drawn
        found |= ports
    assert found == drawn


@pytest.mark.parametrize("line", ["i", "i -> ", "i -> [a]] -> o", "i > o", "i -> two words"])
def test_a_line_that_is_no_chain(line):
    with pytest.raises(ValueError, match="a line of a diagram must be a chain of ports and"):
        diagram.parse(line)


def test_a_circle():
    with pytest.raises(ValueError, match="a diagram must have no circle"):
        diagram.parse("i -> [a] -> [b] -> [a]")


@each_core
def test_formulae_are_the_catalogue(name):
    core, known = lookup(name), formulae.FORMULAE[name]
    rng = np.random.default_rng(list(CATALOGUE).index(name))
    for config in (*configurations(core), *drawn(core, rng)):
        assert formulae.evaluate(known.latency.cases, config, known.where) == core.latency(config), config
        assert formulae.evaluate(known.interval.cases, config, known.where) == core.interval(config), config


def test_a_formula_without_a_case():
    with pytest.raises(ValueError, match="no case holds"):
        formulae.evaluate((formulae.Case("1", "rows > 9"),), lookup("systolic-tile").config(rows=2))


@each_core
def test_run_takes_all_and_ends(name):
    core = lookup(name)
    config = core.config.parse(core.small)
    pins = pinout(core, config)
    payloads, settings = stimuli.payloads(name, pins.component, config)
    assert {port["name"] for port in pins.signals} >= set(settings)
    found = sheet._ran(core)
    for stream in found.streams:
        taken = found.transfers(stream)
        if stream in payloads:
            assert [payload for _, payload in taken] == payloads[stream]
        else:
            assert taken
    # The last cycle is that of the last output.
    length = len(next(iter(found.streams.values())))
    assert max(at for stream in found.streams for at, _ in found.transfers(stream)) == length - 1


def test_kept_figures_are_of_what_there_is():
    columns = {
        "synth": {"target", "parameters", "uses", "fmax_mhz", "tools", "date"},
        "boards": {"board", "clock_mhz", "parameters", "uses", "fmax_mhz", "tools", "date"},
        "area": {"library", "parameters", "area", "flip_flops", "tools", "date"},
        "mutation": {"parameters", "mutants", "killed", "equivalent", "survived", "score", "tools", "date"},
    }
    assert all(measured.rows(table, "ovp-decoder") for table in ("synth", "boards", "mutation"))
    for name in CATALOGUE:
        for table, wanted in columns.items():
            for row in measured.rows(table, name):
                assert wanted <= set(row)
                assert isinstance(lookup(name).config.parse(row["parameters"]), Config)
        assert all({"what", "test"} <= set(row) for row in measured.proofs(name))


def test_a_sheet_shows_the_newest_row_of_each_kind(tmp_path, monkeypatch):
    def kept(release, *rows):
        table = {"title": "", "command": "", "units": {}, "estimates": True, "key": ["core", "target"]}
        table["rows"] = [{"core": "lvc", "target": target, "uses": {"LUT4": luts}} for target, luts in rows]
        measured.write(tmp_path / f"{release}.json", {"release": release, "tables": {"synth": table}})

    kept("0.9.0", ("a", 1), ("b", 2), ("c", 3))
    kept("0.10.0", ("b", 20), ("c", 30))
    kept("unreleased", ("c", 300))
    monkeypatch.setattr(measured, "_releases", lambda: measured.releases(tmp_path))
    assert [figures["release"] for figures in measured.releases(tmp_path)] == ["0.9.0", "0.10.0", "unreleased"]
    shown = {row["target"]: row["uses"]["LUT4"] for row in measured.rows("synth", "lvc")}
    assert shown == {"a": 1, "b": 20, "c": 300}
    assert measured.rows("synth", "gemm") == [] == measured.rows("boards", "lvc")


def test_proofs_are_tests_that_prove():
    for name in CATALOGUE:
        for row in measured.proofs(name):
            path, _, function = row["test"].partition("::")
            tree = ast.parse((ROOT / path).read_text())
            found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
            assert found, row["test"]
            called = {
                node.func.id for node in ast.walk(found[0]) if isinstance(node, ast.Call) and hasattr(node.func, "id")
            }
            assert called & {"prove", "prove_emission", "prove_equivalent", "prove_no_path"}, row["test"]


def test_info_writes_a_sheet(tmp_path):
    words = ["info", "ovp-decoder", "-p", "pairs=2", "--interface", "axis", "--html"]
    path = tmp_path / "sheet.html"
    output, _ = bitloom(*words, "-o", path)
    assert output == f"wrote {path}\n"
    core = lookup("ovp-decoder")
    assert path.read_text() == page.html(core, core.config(pairs=2), "axis")
    assert printed(*words, "-o", "-") == path.read_text()


def test_info_refuses_what_has_no_sheet(tmp_path):
    assert "give --html too" in complaint("info", "ovp-decoder", "-o", tmp_path / "sheet.html")
    assert "give one of them" in complaint("info", "ovp-decoder", "--html", "--json")
    assert list(tmp_path.iterdir()) == []
