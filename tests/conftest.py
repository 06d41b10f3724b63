"""What tests at the level of a user share: the command line, and a small study to run it on."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

# Tests share few cores; how long one example takes says nothing.
hypothesis.settings.register_profile("kemm", deadline=None)
hypothesis.settings.load_profile("kemm")

if TYPE_CHECKING:
    from studies import Kemm, Said, StudyFolder, Told


@pytest.fixture
def kemm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Kemm]:
    """`kemm("check", study)`: the command line, in this process."""
    from kemm.cli import main
    from studies import Said

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("KEMM_DEBUG", "")
    before = signal.getsignal(signal.SIGTERM)

    def call(*words: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["kemm", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        return Said(code, *capsys.readouterr())

    yield call
    signal.signal(signal.SIGTERM, before)


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A small study that no test may change."""
    from studies import small_study

    return small_study(tmp_path_factory.mktemp("pristine") / "study")


@pytest.fixture
def study(pristine: StudyFolder, tmp_path: Path) -> StudyFolder:
    """A small study of one's own."""
    from studies import copy_of

    return copy_of(pristine, tmp_path / "study")


@pytest.fixture(scope="session")
def uninterrupted(
    pristine: StudyFolder, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyFolder, Told]:
    """A small study that was run without interruption, and what the run told. No test may change it."""
    from kemm import Study, run
    from studies import Told, copy_of

    folder, told = copy_of(pristine, tmp_path_factory.mktemp("finished") / "study"), Told()
    run(Study.load(folder.path), workers=1, progress=told)
    return folder, told


@pytest.fixture(scope="session")
def finished(uninterrupted: tuple[StudyFolder, Told]) -> StudyFolder:
    """A small study that was run without interruption. No test may change it."""
    return uninterrupted[0]


@pytest.fixture
def done(finished: StudyFolder, tmp_path: Path) -> StudyFolder:
    """A copy of the finished study, with its store and its run."""
    import shutil

    from studies import StudyFolder

    shutil.copytree(finished.path, tmp_path / "study", copy_function=shutil.copy2)
    return StudyFolder(tmp_path / "study")
