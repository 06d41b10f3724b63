"""One self-contained HTML document: what every page of kemm shares in looks, escaping and what it may load."""

from __future__ import annotations

from kemm.results.document import numbers
from kemm.results.document.rendering import render_document

__all__ = ["numbers", "render_document"]
