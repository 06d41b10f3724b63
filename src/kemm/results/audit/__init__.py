"""One self-contained HTML file for people who check what was read from reports, case by case."""

from __future__ import annotations

from kemm.results.audit.page import render_audit
from kemm.results.audit.records import Audit, AuditCase

__all__ = ["Audit", "AuditCase", "render_audit"]
