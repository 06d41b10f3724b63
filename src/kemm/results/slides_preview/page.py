"""What the page is given, and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kemm.results.document import render_document


@dataclass(frozen=True, kw_only=True)
class ShownSlide:
    """A slide on the page."""

    name: str
    case: str
    picture: str = ""
    """A JPEG in base64."""
    picture_width: int = 0
    picture_height: int = 0
    width: int = 0
    height: int = 0
    """Pixels at full resolution."""
    levels: int = 0
    mpp: float = 0
    power: float | None = None
    tissue_mm2: float = 0
    tissue_fraction: float = 0
    tiles: int = 0
    error: str = ""
    """Why it cannot be used."""


@dataclass(frozen=True)
class SlidesPreview:
    """Everything on the page."""

    study: str
    slides: Sequence[ShownSlide]
    side_um: float
    tile_px: int
    strangers: int

    contents: tuple[tuple[str, str], ...] = (("overview", "Overview"), ("slides", "Slides"))

    @property
    def failed(self) -> list[ShownSlide]:
        """Slides that cannot be used."""
        return [one for one in self.slides if one.error]

    @property
    def tiles(self) -> int:
        """Of all slides."""
        return sum(one.tiles for one in self.slides)

    @property
    def tissue_mm2(self) -> float:
        """Of all slides."""
        return sum(one.tissue_mm2 for one in self.slides)


def render_preview(preview: SlidesPreview) -> str:
    """The whole page as one HTML document; the same slides give the same bytes."""
    return render_document("kemm.results.slides_preview", "preview.html.j2", pictures=True, page=preview)
