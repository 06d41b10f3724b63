"""One self-contained HTML file that tells the results of a run or of a comparison, the answer first.

It computes nothing: every number comes from the records. It needs no network, no script and no
other file, and all text that came from input is escaped.
"""

from __future__ import annotations

from kemm.results.report.comparison_page import render_comparison
from kemm.results.report.page import render_report

__all__ = ["render_comparison", "render_report"]
