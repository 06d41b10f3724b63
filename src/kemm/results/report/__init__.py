"""One self-contained HTML file that tells a run's results, the answer first.

It computes nothing: every number comes from the records. It needs no network, no script and no
other file, and all text that came from input is escaped.
"""

from __future__ import annotations

from kemm.results.report.page import render_report

__all__ = ["render_report"]
