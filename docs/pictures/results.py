"""The picture of the README, drawn from the figures that the pages of this site show.

`python docs/pictures/results.py` writes `results.svg` beside this file. Nothing is typed twice: each bar names the page
and the pattern that finds its figure there, so a picture that is out of date fails a test.
"""

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
DOCS = HERE.parent

_WIDTH, _HEIGHT = 460, 138  # of a panel
_LABEL, _BAR = 170, 210  # pixels: where bars begin, and the longest one
_OURS, _OTHER = "#2a6f97", "#b0b7bf"


@dataclass(frozen=True)
class Panel:
    """Some bars of one unit.

    Attributes
    ----------
    title, unit : str
        What is shown.
    page : str
        Where the figures stand, below docs/.
    bars : tuple of (str, str, bool)
        Label; pattern whose only group is the figure; whether the bar is the one to look at.
    """

    title: str
    unit: str
    page: str
    bars: tuple

    def figures(self):
        """The figures as the page has them, one for each bar."""
        text = " ".join((DOCS / self.page).read_text().split())
        return [self._found(pattern, text) for _, pattern, _ in self.bars]

    def _found(self, pattern, text):
        found = re.findall(pattern, text)
        if len(set(found)) != 1:
            raise ValueError(f"{self.page} has {len(found)} of {pattern!r}: there must be one figure")
        return found[0]


PANELS = (
    Panel(
        "OliVe: 4-bit weights and activations, MiniLM",
        "cosine similarity of sentence embeddings with FP32's",
        "tours/first_verilog.md",
        (
            ("outlier-victim pairs", r"ovp-int4 [\d.]+ ([\d.]+) int4", True),
            ("INT4", r" int4 [\d.]+ ([\d.]+) 294", False),
        ),
    ),
    Panel(
        "Anda: products per area, FP16 = 1",
        "sky130 cells, a processing element; M bits of mantissa",
        "systems/anda.md",
        (
            ("M = 4", r"([\d.]+) times as many at M = 4", True),
            ("M = 7", r"at M = 4, ([\d.]+) at M = 7", True),
            ("M = 13", r"at M = 7 and ([\d.]+) at M = 13", True),
        ),
    ),
    Panel(
        "SeVeDo: 4-bit layers of MiniLM",
        "signal over quantization noise, dB",
        "systems/sevedo.md",
        (
            ("rank 32, MP", r"SeVeDo, rank 32: without, with MP \| [\d.]+ \| [\d.]+, ([\d.]+)", True),
            ("HGQ 128/16", r"HGQ 128/16 \| [\d.]+ \| ([\d.]+)", True),
            ("INT4, one scale a channel", r"INT4, a scale a channel \| [\d.]+ \| ([\d.]+)", False),
        ),
    ),
    Panel(
        "SAT: N:M sparse layers of a vision transformer",
        "cycles for an image on one 8 x 8 tile",
        "systems/sat.md",
        (
            ("2:8", r"bdwp-2:8 ([\d,]+) [\d.]+x", True),
            ("2:4", r"bdwp-2:4 ([\d,]+) [\d.]+x", True),
            ("dense", r"dense ([\d,]+) 1\.00x", False),
        ),
    ),
    Panel(
        "GQA-LUT: piecewise-linear unit, 8 entries",
        "sky130 cells, square micrometres",
        "systems/gqa_lut.md",
        (
            ("INT8", r"\| 8 \| (\d+,\d+) \|", True),
            ("INT32", r"\| 8 \| [\d,]+ \| ([\d,]+),", False),
            ("FP32", r"\| 8 \| [\d,]+ \| [\d,]+, [^|]*\| ([\d,]+),", False),
        ),
    ),
    Panel(
        "On a small board: logic of one core and its link",
        "LUT4 on an iCE40 UP5K, host link included, of 5,280",
        "boards.md",
        (
            ("ovp-decoder", r"\| ovp-decoder \| ([\d,]+),", True),
            ("anda-tile, 1 x 1", r"\| anda-tile \| ([\d,]+),", True),
            ("nm-tile, 4 x 4", r"\| nm-tile \| ([\d,]+),", True),
        ),
    ),
)


def draw():
    """The picture, SVG text."""
    rows = -(-len(PANELS) // 2)
    width, height = 2 * _WIDTH, rows * _HEIGHT + 8
    shapes = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'role="img" font-family="sans-serif">',
        "<title>Figures of bitloom: what each number format gains</title>",
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for number, panel in enumerate(PANELS):
        row, column = divmod(number, 2)
        shapes += _panel(panel, column * _WIDTH + 16, row * _HEIGHT + 26)
    return "\n".join([*shapes, "</svg>"]) + "\n"


def _panel(panel, x, y):
    figures = panel.figures()
    values = [float(figure.replace(",", "")) for figure in figures]
    yield _text(x, y, panel.title, 15, weight="bold")
    yield _text(x, y + 17, panel.unit, 12, colour="#555")
    for number, ((label, _, ours), figure, value) in enumerate(zip(panel.bars, figures, values, strict=True)):
        top = y + 28 + 24 * number
        length = round(_BAR * value / max(values), 1)
        colour = _OURS if ours else _OTHER
        yield _text(x, top + 13, label, 12)
        yield f'<rect x="{x + _LABEL}" y="{top}" width="{length}" height="17" fill="{colour}"/>'
        yield _text(x + _LABEL + length + 6, top + 13, figure, 12)


def _text(x, y, words, size, weight="normal", colour="#111"):
    return f'<text x="{x:g}" y="{y}" font-size="{size}" font-weight="{weight}" fill="{colour}">{escape(words)}</text>'


if __name__ == "__main__":
    (HERE / "results.svg").write_text(draw())
