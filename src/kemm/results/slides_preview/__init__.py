"""One self-contained HTML file that shows every slide: its tissue, its tiles, or what is wrong with it."""

from __future__ import annotations

from kemm.results.slides_preview.drawing import draw_slide
from kemm.results.slides_preview.page import ShownSlide, SlidesPreview, render_preview

__all__ = ["ShownSlide", "SlidesPreview", "draw_slide", "render_preview"]
