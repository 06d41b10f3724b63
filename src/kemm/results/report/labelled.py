"""Pictures with a name beside each row, drawn without matplotlib: names may hold any letter.

They are as wide as other figures and take their colours from the same stylesheet. A name that does not
fit is cut short; in full it stands in the row's `<title>` and in the picture's label.
"""

from __future__ import annotations

from html import escape
from typing import Final, Literal

from markupsafe import Markup

WIDTH: Final = 380
"""Of a picture, in CSS pixels before scaling."""
SIZE: Final = 11
"""Of its letters, in pixels."""
LETTER: Final = 6.2
"""About the width of a letter of `SIZE`, in pixels."""

Anchor = Literal["start", "middle", "end"]


def picture(height: float, inside: str, label: str) -> Markup:
    """The `<svg>` element; `label` says in words what it shows."""
    return Markup(
        f'<svg class="figure" role="img" aria-label="{escape(label)}" viewBox="0 0 {WIDTH} {height:g}">{inside}</svg>'
    )


def row(inside: str, name: str) -> str:
    """Some elements that belong to one name, which is shown in full when pointed at."""
    return f"<g><title>{escape(name)}</title>{inside}</g>"


def text(
    x: float, y: float, words: str, *, paint: str = "ink", anchor: Anchor = "start", bold: bool = False
) -> str:
    """Words on a base line."""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text class="f-{paint}" font-size="{SIZE}" text-anchor="{anchor}"{weight} x="{x:.1f}" y="{y:.1f}">'
        f"{escape(words, quote=False)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, paint: str, *, width: float = 1, more: str = "") -> str:
    """A straight line; `more` are further classes of the stylesheet."""
    classes = f"s-{paint} {more}".rstrip()
    thick = "" if more else f' stroke-width="{width:g}"'
    return f'<line class="{classes}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{thick}/>'


def dot(x: float, y: float, paint: str, radius: float = 4.5) -> str:
    """A filled circle."""
    return f'<circle class="f-{paint}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"/>'


def shortened(words: str, room: float) -> str:
    """What fits in `room` pixels, an ellipsis at its end if that is not all."""
    letters = max(int(room / LETTER), 2)
    return words if len(words) <= letters else f"{words[: letters - 1].rstrip()}…"
