"""The TRIPOD+AI checklist of a finished run, written beside its report."""

from __future__ import annotations

from pathlib import Path

from kemm.core.files import write_json, write_text
from kemm.pipeline.runs import CHECKLIST, CHECKLIST_PAGE, RECORD, read_record, read_run
from kemm.results.comparison.controls_record import Controls
from kemm.results.records import RunRecord
from kemm.results.tripod import fill_checklist, render_checklist


def write_tripod(folder: Path, controls: Controls | None = None) -> Path:
    """Fill the checklist from the records in a run's folder; write it as JSON and as a page, whose path is returned.

    Raises:
        IntegrityError: A record is damaged, or of another version.
    """
    checklist = fill_checklist(
        read_run(folder).evaluation,
        read_record(folder / RECORD, RunRecord),
        present={path.name for path in folder.iterdir() if path.is_file()},
        controls=controls,
    )
    write_json(folder / CHECKLIST, checklist.model_dump(mode="json"))
    write_text(folder / CHECKLIST_PAGE, render_checklist(checklist))
    return folder / CHECKLIST_PAGE
