"""Begin a study: look at the tables in a folder, and write the study.yaml they suggest.

Everything is a guess for a person to check, and the file says so beside every key. What no table can
tell, such as which cancer this is, stays a question that `kemm check` asks.
"""

from __future__ import annotations

from pathlib import Path

from kemm.core.errors import InputError, UsageError
from kemm.core.files import write_text
from kemm.core.files.output import cannot_write
from kemm.scaffold.folder import survey
from kemm.scaffold.template import study_yaml

FILE_NAME = "study.yaml"


def init_study(folder: Path) -> list[str]:
    """Write a commented study.yaml into `folder`, and the folders it expects. Returns what was found, in sentences.

    Raises:
        UsageError: There is a study.yaml already; it is never overwritten.
        InputError: The folder cannot be written.
    """
    file = folder / FILE_NAME
    if file.exists():
        raise UsageError(
            f"{file} exists already, and is not overwritten. Run `kemm check {folder}`, "
            "or move the file away to have a new one written."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        findings = survey(folder)
    except OSError as error:
        raise InputError(
            f"{error.filename}: cannot be read ({error.strerror}). Mend its permissions."
        ) from error
    write_text(file, study_yaml(folder.resolve().name, findings))
    try:
        for name, is_there in (("reports", findings.reports), ("features", findings.slides)):
            if is_there is None:
                (folder / name).mkdir(exist_ok=True)
    except OSError as error:
        raise cannot_write(folder / name, error) from error
    return [*findings.sentences(), f"{file} is written: check it, then run `kemm check {folder}`"]
