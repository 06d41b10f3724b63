"""The checklist of a run that took place: it lies beside the report, and leads into it."""

from __future__ import annotations

import re

from kemm.core.files import read_json
from kemm.pipeline.tripod import write_tripod
from kemm.results.tripod import Checklist
from studies import StudyFolder


def test_the_checklist_of_a_finished_run_leads_into_its_folder(done: StudyFolder) -> None:
    folder = done.path / "runs" / "latest"
    page = write_tripod(folder)
    checklist = Checklist.model_validate(read_json(folder / "tripod.json"))
    assert len(checklist.items) == 52
    assert checklist.counts["filled"] >= 10
    report = (folder / "report.html").read_text(encoding="utf-8")
    links = re.findall(r'href="([^"#]+)(?:#([^"]+))?"', page.read_text(encoding="utf-8"))
    assert links
    for name, anchor in links:
        assert (folder / name).is_file()
        assert not anchor or f'id="{anchor}"' in report, anchor
