"""The report: what the page holds, that it needs nothing else, and that its numbers are right."""

import csv
import html.parser
import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree

import made_up_rows as made_up
import numpy as np
import pytest
import toy_encoder
from command_line import bitloom, complaint

from bitloom.compare import report
from bitloom.compare.report import axis, bars, columns, figures, labels, notes, page, pareto
from bitloom.golden.workloads.comparison.rows import ROWS

NASTY = "<b>&\"'"


@pytest.fixture
def rows():
    """A run of four rows: all is measured of the first one, nothing of the last."""
    return made_up.run(
        made_up.record("int8", 0.97, core="c", **made_up.hardware()),
        made_up.record(
            NASTY, 0.5, cycles=500, core="a", **made_up.hardware(luts=50, mhz=100.0, area=1000.0), attends=False
        ),
        made_up.record(
            "2:4", 0.9, cycles=250, core="d", fpga={"part": "ecp5-85k", "uses": {}, "fmax_mhz": None}, area=None
        ),
        made_up.record("2.4", 0.6, cycles=2000, core="b"),
    )


class Reader(html.parser.HTMLParser):
    """Elements of a page, and what is wrong with their nesting."""

    EMPTY = ("meta",)

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.wrong = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def values(self, name):
        """Values of an attribute."""
        return [attributes[name] for _, attributes in self.elements if name in attributes]


def tables(text):
    """Cells of the tables that can be sorted, by the tables' names: lists of (text, number or None)."""
    root = ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))
    return {
        table.get("id"): [
            [("".join(cell.itertext()), cell.get("data-value")) for cell in line] for line in table.find("tbody")
        ]
        for table in root.iter("table")
        if table.get("class") == "sortable"
    }


def heads(text, ident):
    """Titles of a table's columns."""
    root = ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))
    (table,) = (table for table in root.iter("table") if table.get("id") == ident)
    return [cell.text for cell in table.find("thead")[1]]


def test_page_is_one_well_formed_file_that_needs_nothing_else(rows):
    text = page.page(rows)
    reader = Reader(text)
    assert reader.wrong == [] and reader.open == []
    tags = {tag for tag, _ in reader.elements}
    assert not tags & {"link", "img", "iframe", "object", "embed", "base"}
    assert reader.values("src") == [] and all(link.startswith("#") for link in reader.values("href"))
    assert "url(" not in text and "@import" not in text
    # The name of SVG's vocabulary is no resource.
    assert set(re.findall(r"https?://[^'\" ]*", text)) == {"http://www.w3.org/2000/svg"}
    assert "prefers-color-scheme: dark" in text


def test_every_row_has_its_section_and_every_link_its_target(rows):
    reader = Reader(page.page(rows))
    targets = reader.values("id")
    assert len(set(targets)) == len(targets)
    assert {link[1:] for link in reader.values("href")} <= set(targets)
    sections = [attributes["id"] for tag, attributes in reader.elements if tag == "section"]
    # Two names have the same letters and digits.
    assert sections == ["row-int8", "row-b", "row-2-4", "row-2-4-"]
    for cells in tables(page.page(rows)).values():
        assert [line[0][0] for line in cells] == ["int8", NASTY, "2:4", "2.4"]


def test_text_is_escaped():
    nasty = made_up.record(
        NASTY, 0.5, measure=NASTY, core=NASTY, parameters=[NASTY], summary=NASTY, **made_up.hardware()
    )
    nasty["places"][0]["place"] = NASTY
    nasty["chosen"] = {NASTY: 7}
    nasty["baseline"] = {"what": NASTY, "scores": {NASTY: 1.0}}
    nasty |= {"fpga": nasty["fpga"] | {"part": NASTY}, "area": {"library": NASTY, "area": 2.0}}
    nasty["rtl"] = {"products": 2, "cycles": 4, "failures": [NASTY], "seconds": 0.1}
    text = page.page(made_up.run(nasty, model=NASTY, inputs=None))
    reader = Reader(text)
    assert reader.wrong == [] and "<b>" not in text
    root = ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))
    assert NASTY in {element.text for element in root.iter("dd")}


def test_what_is_missing_is_a_dash(rows):
    text = page.page(rows)
    titles = heads(text, "rows")
    found = {line[0][0]: dict(zip(titles, line, strict=True)) for line in tables(text)["rows"]}
    for title in ("LUT4", "MHz", "k area", "fJ", "µJ a pass"):
        assert [found[row][title][0] == "-" for row in ("int8", NASTY, "2:4", "2.4")] == [False, False, True, True]
        assert found["2.4"][title][1] == ""
    assert all("-" in {cell for cell, _ in line} for line in tables(text)["beside"][2:])
    told = [note for note in notes.notes(rows) if note.startswith("Not measured")]
    assert told[0] == "Not measured: clock and size on an FPGA of 2.4."
    # With nothing measured there are no columns to compare but those of cycles.
    bare = page.page(made_up.run(made_up.record("a", 0.1), made_up.record("b", 0.2)))
    assert {cell for line in tables(bare)["beside"] for cell, _ in line} == {"a", "b", "-", "1.00×"}
    assert "Not measured: energy of any row." in bare


def test_memories_that_are_left_out_are_told():
    memories = [{"words": words, "width": 32, "reads": 1, "writes": 2} for words in (64, 4096, 64)]
    costs = made_up.hardware()
    costs["energy"] |= {"memories": memories}
    told = notes.notes(made_up.run(made_up.record("sevedo", 0.5, **costs), made_up.record("int8", 0.5)))
    ports = "with 1 read and 2 write ports"
    assert [note for note in told if "leave out" in note] == [
        "Area and switching energy of sevedo leave out its memories of 135,168 bits, which an ASIC has macros for: "
        f"2 of 64 words of 32 bits {ports}, 1 of 4,096 words of 32 bits {ports}."
    ]


def test_a_core_that_does_not_fit_is_told():
    large = made_up.record("int8", 0.5, fpga={"part": "ice40-up5k", "why": "9,000 LUT4 of 5,280"})
    text = page.page(made_up.run(large, made_up.record("int4", 0.4, **made_up.hardware())))
    assert "The core of int8 does not fit on the part: 9,000 LUT4 of 5,280" in text
    assert tables(text)["rows"][0][heads(text, "rows").index("LUT4")] == ("-", "")


def test_a_cost_of_zero_divides_nothing():
    zero = made_up.record("int8", 0.5, **made_up.hardware(luts=0, mhz=0.0, area=0.0, femtojoules=0.0))
    other = made_up.record("other", 0.5, **made_up.hardware())
    assert "other" in page.page(made_up.run(zero, other))


def test_derived_figures(rows):
    first, second = rows["rows"][:2]
    by_name = {column.name: column.value for column in columns.comparing(rows["rows"])}
    assert by_name["passes_per_second"](first) == 50e6 / 1000
    assert by_name["products_per_second_per_lut4"](first) == 50e6 / 1000 * 1024 / 100
    assert by_name["products_per_second_per_area"](second) == 100e6 / 500 * 1024 / 1000
    assert by_name["speed_same_elements_same_clock"](second) == 2 and by_name["speed_same_elements"](second) == 4
    # Four times as fast, in half of the tables and a quarter of the area.
    assert by_name["passes_per_second_same_lut4"](second) == 2 * 4 * 50e3
    assert by_name["passes_per_second_same_area"](second) == 4 * 4 * 50e3
    assert by_name["lut4_same_throughput"](second) == 50 / 4 and by_name["area_same_throughput"](second) == 1000 / 4
    # 1,024 products of 200 fJ, 50,000 times a second.
    assert by_name["power_same_throughput_mw"](second) == pytest.approx(1024 * 200e-15 * 50e3 * 1e3)
    assert figures.pass_energy(first) == pytest.approx(1024 * 200e-9)
    assert columns.base(rows["rows"][1:])["row"] == NASTY
    # 4 tokens; 2,000,000 bytes of 160 pJ.
    assert figures.switching_token_energy(first) == pytest.approx(1024 * 200e-9 / 4)
    assert figures.byte_token_energy(first) == pytest.approx(2_000_000 * 160e-6 / 4)
    assert figures.token_energy(first) == pytest.approx(1024 * 200e-9 / 4 + 2_000_000 * 160e-6 / 4)
    assert figures.token_energy(rows["rows"][3]) is None


@pytest.mark.parametrize("values", [8, 1000], ids=["ties", "few ties"])
def test_front_is_who_is_beaten_by_nobody(values):
    rng = np.random.default_rng(values)
    for count in (1, 2, 3, 10, 40):
        points = [tuple(map(int, point)) for point in rng.integers(0, values, (count, 2))]
        beaten = [
            any(a <= cost and b >= worth and (a, b) != (cost, worth) for a, b in points) for cost, worth in points
        ]
        assert pareto.front(points) == [not lost for lost in beaten]


def test_less_perplexity_is_better():
    """The front runs from the cheapest row to the one of least perplexity, which stands on top."""
    scores = {"cheap": (40.0, 100), "good": (31.0, 300), "bad": (35.0, 400)}
    records = [
        made_up.record(name, score, cycles=cycles, measure="perplexity", bytes=cycles)
        for name, (score, cycles) in scores.items()
    ]
    root = ElementTree.fromstring(page.page(made_up.run(*records)).removeprefix("<!DOCTYPE html>\n"))
    svg = "{http://www.w3.org/2000/svg}"
    drawn = next(picture for picture in root.iter(f"{svg}svg") if "against" in picture.find(f"{svg}title").text)
    marks = {link.find(f"{svg}text").text: link.find(f"{svg}circle") for link in drawn.iter(f"{svg}a")}
    assert {name: mark.get("class") for name, mark in marks.items()} == {
        "cheap": "best",
        "good": "best",
        "bad": "other",
    }
    assert float(marks["good"].get("cy")) < float(marks["bad"].get("cy")) < float(marks["cheap"].get("cy"))
    titles = [link.find(f"{svg}title").text for link in drawn.iter(f"{svg}a")]
    assert titles[-1] == "good: perplexity 31.0000, 0.00 MB a pass" and len(titles) == 3


def test_labels_of_a_crowd_do_not_cover_each_other():
    rng = np.random.default_rng(5)
    points = [(float(x), float(y)) for x, y in rng.normal((300, 100), (40, 20), (18, 2))]
    placed = labels.place(points, [f"row-{n}" for n in range(18)], (0, 0, 640, 400))
    for index, one in enumerate(placed):
        assert min(one.left, one.top) >= 0 and one.right <= 640 and one.bottom <= 400
        for other in placed[:index]:
            apart = one.right <= other.left or other.right <= one.left
            assert apart or one.bottom <= other.top or other.bottom <= one.top


@pytest.mark.parametrize("values", [[3, 3], [0, 0], [-5, 20], [0.9, 0.91], [1, 3000], [0.001, 5], [5e6, 2e7]], ids=str)
def test_axes(values):
    made = axis.axis(values, 100, 0)
    assert 0 < made(max(values)) <= made(min(values)) < 100
    ticks = made.ticks()
    assert 2 <= len(ticks) <= 13 and all(float(words.replace(",", "")) == value for value, words in ticks)
    assert all(0 <= made(value) <= 100 for value, _ in ticks)


def test_kinds_of_layers():
    names = ["layer.0.attention.query", "layer.11.attention.query", "blk.3.down", "head"]
    places = [{"place": name, "cycles": 10 + number} for number, name in enumerate(names)]
    assert bars.kinds(places) == {"attention.query": 21, "down": 12, "head": 13}


def test_command_line_that_makes_it_again(rows):
    words = "bitloom compare minilm --rows 'int8,<b>&\"'\"'\"',2:4,2.4' --inputs 3 "
    words += "--part ecp5-85k --liberty sky130_fd_sc_hd.lib --byte-energy 160 --more rows.py -o report"
    assert notes.command(rows) == words
    rtl = {"products": 1, "cycles": 1, "failures": [], "seconds": 1}
    every = [made_up.record(name, 0.5, rtl=rtl) for name in ROWS]
    run = made_up.run(*every, model="/somewhere/model.gguf", inputs=None, tokens=16)
    assert notes.command(run) == "bitloom compare model.gguf --on rtl --tokens 16 -o report"
    assert "/somewhere" not in page.page(run)
    assert any(f"All {len(ROWS)} matrix products" in note for note in notes.notes(run))


def test_files(rows, tmp_path):
    folder = tmp_path / "new" / "report"
    report.write(folder, rows)
    assert {path.name for path in folder.iterdir()} == set(report.FILES)
    before = [(folder / name).read_bytes() for name in report.FILES]
    report.write(folder, json.loads((folder / "rows.json").read_text()))
    assert [(folder / name).read_bytes() for name in report.FILES] == before
    with open(folder / "rows.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["row"] for line in lines] == ["int8", NASTY, "2:4", "2.4"]
    assert float(lines[0]["score_cosine"]) == 0.97 and lines[1]["fpga_carry"] == "3"
    assert lines[3]["fpga_lut4"] == lines[3]["area"] == lines[3]["energy_per_product_fj"] == ""
    assert json.loads((folder / "rows.json").read_text()) == rows


def test_command_writes_a_report(tmp_path):
    toy_encoder.write(tmp_path / "model")
    words = ["compare", tmp_path / "model", "--rows", "int8,2:4,mxfp4", "--inputs", "2"]
    told, _ = bitloom(*words, "-o", "report", cwd=tmp_path)
    assert told.endswith("wrote report/index.html\n")
    text = (tmp_path / "report" / "index.html").read_text()
    assert Reader(text).wrong == [] and str(tmp_path) not in text
    records = json.loads((tmp_path / "report" / "rows.json").read_text())["rows"]
    # Layers have noise, and codes; a kind of layer each.
    assert all(place["sqnr_db"] for record in records for place in record["places"])
    assert text.count("How often each code occurs") == 3 and "attention.query" in text


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "report" / "rows.csv").mkdir(parents=True)
    toy_encoder.write(tmp_path / "model")
    for output, message in (("file", "file"), ("file/report", "Not a directory"), ("report", "Is a directory")):
        assert message in complaint("compare", "model", "-o", output, cwd=tmp_path)
    assert (tmp_path / "file").read_text() == "" and len([*(tmp_path / "report").iterdir()]) == 1


CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium", path="/usr/bin")


def browse(folder, *words):
    """What a browser without a window says of a page, from a home of its own."""
    options = ["headless", "no-sandbox", "disable-gpu", "disable-background-networking", "disable-component-update"]
    options += ["disable-sync", f"user-data-dir={folder / 'home'}", "virtual-time-budget=2000"]
    command = [CHROMIUM, *(f"--{option}" for option in options), *words, (folder / "index.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
@pytest.mark.skipif(CHROMIUM is None, reason="there is no /usr/bin/chromium, and CHROMIUM names none")
def test_in_a_browser_a_click_sorts(rows, tmp_path):
    report.write(tmp_path, rows)
    path = tmp_path / "index.html"
    whole = path.read_text()
    orders = {
        "LUT4": (["int8", NASTY, "2:4", "2.4"], [NASTY, "int8", "2:4", "2.4"]),
        "cosine": (["int8", "2:4", "2.4", NASTY], [NASTY, "2.4", "2:4", "int8"]),
        "core": ([NASTY, "2.4", "int8", "2:4"], ["2:4", "int8", "2.4", NASTY]),
    }
    for title, wanted in orders.items():
        column = heads(whole, "rows").index(title)
        for clicks, order in enumerate(wanted, 1):
            click = f"document.querySelectorAll('#rows thead tr:last-child button')[{column}].click();" * clicks
            path.write_text(whole.replace("</body>", f"<script>{click}</script></body>"))
            shown = re.search(r'id="rows".*?</table>', browse(tmp_path, "--dump-dom"), flags=re.S)[0]
            links = re.findall(r'<th scope="row"><a[^>]*>([^<]*)</a>', shown)
            assert [html.unescape(link) for link in links] == order and shown.count("aria-sort") == 1
    path.write_text(whole)
    browse(tmp_path, "--window-size=700,900", f"--screenshot={tmp_path / 'page.png'}")
    assert (tmp_path / "page.png").stat().st_size > 10_000
