"""Background knowledge on a cancer type, written by a language model into a file of one's own."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

from kemm.core.errors import UsageError
from kemm.core.files import locked, write_text
from kemm.llm import Client, Journal, LLMConfig, make_backend
from kemm.modalities.background import Background
from kemm.modalities.background.loader import find_cancer_type, prompt_template
from kemm.modalities.background.writing import PROMPT_BESIDE, as_yaml, write_background
from kemm.pipeline.asking import JOURNAL

FOLDER = "background"


def write_background_file(folder: Path, cancer_type: str, config: LLMConfig) -> tuple[Path, Background]:
    """Ask a model for the background on a cancer type; the file goes to `background/` in `folder`, its prompt beside it.

    What was there under the same name is kept with the ending `.before`.

    Raises:
        UsageError: `folder` does not exist, or the name says nothing.
        ServiceError: The model gave no usable answer.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such folder. Name the study's folder.")
    known = find_cancer_type(cancer_type)
    code = known.code if known else re.sub(r"[^A-Za-z0-9]+", "-", cancer_type).strip("-")
    if not code:
        raise UsageError(
            f"{cancer_type!r} is no name of a cancer type. Name it, such as 'Merkel cell carcinoma'."
        )
    name = known.name if known else cancer_type.strip()
    background = asyncio.run(_ask(folder, code, name, config))
    file = folder / FOLDER / f"{code}.yaml"
    with locked(file.parent, otherwise=""):
        if file.is_file():
            file.replace(file.with_suffix(".yaml.before"))
        write_text(file.with_name(PROMPT_BESIDE), prompt_template())
        write_text(file, as_yaml(background))
    return file, background


async def _ask(folder: Path, code: str, name: str, config: LLMConfig) -> Background:
    backend = None if config.offline else make_backend(config)
    journal_file = folder / JOURNAL
    journal_file.parent.mkdir(exist_ok=True)
    with Journal(journal_file) as journal:
        async with Client(backend, journal, config) as client:
            return await write_background(client, name, code=code, name=name, today=datetime.now(UTC).date())
