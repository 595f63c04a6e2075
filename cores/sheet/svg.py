"""Pictures as SVG text: the few shapes that the sheets draw with, in the colour of the text around them."""

from html import escape

__all__ = ["box", "dot", "group", "picture", "polyline", "text"]

_FONT = "font-family='DejaVu Sans Mono, Menlo, Consolas, monospace'"


def picture(title, width, height, shapes):
    """A whole picture.

    Parameters
    ----------
    title : str
        What it shows, for who cannot see it.
    width, height : float
        Pixels.
    shapes : sequence of str
        What the other functions give.
    """
    head = f"<svg xmlns='http://www.w3.org/2000/svg' role='img' width='{width:g}' height='{height:g}'"
    head += f" viewBox='0 0 {width:g} {height:g}' style='max-width:100%;height:auto' {_FONT} font-size='11'>"
    return "\n".join([head, f"<title>{escape(title)}</title>", *shapes, "</svg>"])


def box(x, y, width, height, *, dashed=False, filled=False, round_=0):
    """A rectangle."""
    style = " stroke-dasharray='3 2'" if dashed else ""
    fill = "fill='currentColor' fill-opacity='0.12'" if filled else "fill='none'"
    corner = f" rx='{round_:g}'" if round_ else ""
    return (
        f"<rect x='{x:g}' y='{y:g}' width='{width:g}' height='{height:g}'{corner} {fill} stroke='currentColor'{style}/>"
    )


def dot(x, y, words):
    """A point, and what is shown when the pointer rests on it."""
    return f"<circle cx='{x:g}' cy='{y:g}' r='3' fill='currentColor'><title>{escape(words)}</title></circle>"


def group(shapes, name):
    """Shapes in the colour that the page's style gives to a class."""
    return f"<g class='{name}'>{''.join(shapes)}</g>" if name else "".join(shapes)


def polyline(points, *, arrow=False, thin=False):
    """A line through points; with an arrow head at its end, which lies to the right of the point before or below it."""
    steps = " ".join(f"{x:g},{y:g}" for x, y in points)
    opacity = " stroke-opacity='0.35'" if thin else ""
    line = f"<polyline points='{steps}' fill='none' stroke='currentColor'{opacity}/>"
    if not arrow:
        return line
    x, y = points[-1]
    return line + f"<path d='M{x:g},{y:g} l-7,-3.5 v7 z' fill='currentColor'/>"


def text(x, y, words, *, anchor="middle", small=False, bold=False):
    """One line of text; `y` is its base line."""
    style = " font-size='9'" if small else ""
    style += " font-weight='bold'" if bold else ""
    return f"<text x='{x:g}' y='{y:g}' text-anchor='{anchor}' fill='currentColor'{style}>{escape(str(words))}</text>"
