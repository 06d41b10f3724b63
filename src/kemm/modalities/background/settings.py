"""The background section of study.yaml."""

from __future__ import annotations

from kemm.core.settings import Section


class BackgroundConfig(Section):
    """Prognostic background knowledge of the cancer type."""

    file: str | None = None
    """A file of your own (see docs/background.md); by default the one that comes with kemm for the cancer type."""
