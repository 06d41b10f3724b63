"""A matplotlib figure as an inline SVG that follows the colours of the page.

Names from input stand beside a figure, in its HTML legend and its label; inside it are only numbers
and our own words.

Figures are drawn in paints: stand-in colours, each of which becomes a CSS class (`f-main` fills,
`s-main` strokes). The stylesheet gives every class its colour in light, dark and print. No style
attribute is left, so the page's content-security policy can refuse all of them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import Final
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.figure import Figure

PAINTS: Final = {
    name: f"#0101{number:02x}"
    for number, name in enumerate(
        ("ink", "muted", "grid", "paper", "main", "base", "third", "fourth", "fifth", "sixth"), start=1
    )
}
"""Stand-in colour of each paint of the stylesheet."""

_PAINT_OF: Final = {colour: name for name, colour in PAINTS.items()}
_NUMBER: Final = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
_KEPT: Final = {
    "clip-path", "d", "height", "href", "id", "transform", "width", "x", "y", "viewBox",
    "fill", "fill-opacity", "opacity", "stroke", "stroke-dasharray", "stroke-opacity", "stroke-width",
    "stroke-linecap", "stroke-linejoin", "font-size", "font-weight", "text-anchor",
}  # fmt: skip
_DROPPED: Final = {"metadata", "style"}


@contextmanager
def drawing(key: str) -> Iterator[None]:
    """matplotlib's own defaults and ours, whatever the user's matplotlibrc says; restored after.

    `key` names the figure within the page, and makes its ids the same on every run.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": key,
                "text.parse_math": False,
                "font.size": 11,
                "lines.linewidth": 1.6,
                "text.color": PAINTS["ink"],
                "axes.edgecolor": PAINTS["muted"],
                "axes.labelcolor": PAINTS["muted"],
                "axes.labelsize": 11,
                "axes.linewidth": 0.8,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.facecolor": "none",
                "axes.axisbelow": True,
                "figure.facecolor": "none",
                "grid.color": PAINTS["grid"],
                "grid.linewidth": 0.8,
                "xtick.color": PAINTS["muted"],
                "ytick.color": PAINTS["muted"],
                "xtick.major.size": 3,
                "ytick.major.size": 0,
                "xtick.major.width": 0.8,
            }
        )
        yield


def themed(figure: Figure, key: str, label: str) -> Markup:
    """The figure as an `<svg>` element; `label` says in words what it shows."""
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    root = ElementTree.fromstring(drawn.getvalue())
    view = _shortened(root.attrib["viewBox"])
    inside = "".join(_element(child, key) for child in root)
    return Markup(
        f'<svg class="figure" role="img" aria-label="{escape(label)}" viewBox="{view}">{inside}</svg>'
    )


def _element(element: ElementTree.Element, key: str) -> str:
    tag = _local(element.tag)
    if tag in _DROPPED:
        return ""
    attributes = _attributes(element, key)
    inside = escape(element.text or "", quote=False) if tag in {"text", "tspan"} else ""
    inside += "".join(_element(child, key) for child in element)
    if tag == "g" and not attributes:
        return inside
    if tag in {"g", "defs"} and not inside:
        return ""
    opening = "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
    return f"<{tag}{opening}>{inside}</{tag}>"


def _attributes(element: ElementTree.Element, key: str) -> dict[str, str]:
    given = {_local(name): value for name, value in element.attrib.items()}
    for declaration in given.pop("style", "").split(";"):
        name, _, value = declaration.partition(":")
        given[name.strip()] = value.strip()
    if size := re.search(r"([\d.]+)px", given.pop("font", "")):
        given["font-size"] = size[1]
    if _local(element.tag) == "g":
        # Every artist gets an id that repeats from figure to figure; none of them is referred to.
        given.pop("id", None)

    classes = []
    kept: dict[str, str] = {}
    for name, value in given.items():
        if name not in _KEPT:
            continue
        if name in {"fill", "stroke"} and value in _PAINT_OF:
            classes.append(f"{name[0]}-{_PAINT_OF[value]}")
        elif name == "id":
            kept[name] = f"{key}-{value}"
        elif name == "href":
            kept[name] = f"#{key}-{value.removeprefix('#')}"
        elif name == "clip-path":
            kept[name] = value.replace("url(#", f"url(#{key}-")
        elif name in {"fill", "stroke"} and value != "none":
            raise ValueError(f"figure {key!r} draws {name} {value!r}, which is not one of the paints")
        else:
            kept[name] = _shortened(value.removesuffix("px") if name == "font-size" else value)
    if classes:
        kept["class"] = " ".join(classes)
    return kept


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _shortened(numbers: str) -> str:
    """Hundredths of a pixel are plenty: a third of the size."""
    return _NUMBER.sub(
        lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), " ".join(numbers.split())
    )
