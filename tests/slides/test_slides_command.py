"""`kemm slides` as a user sees it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from kemm.modalities.slides import TILE_ENCODERS
from slides.synthetic import MeanColour, glass, section, write_svs
from slides.test_extraction import make_study
from slides.test_importing import write_h5

if TYPE_CHECKING:
    from studies import Kemm


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    TILE_ENCODERS.register("mean-colour")(lambda config: MeanColour(f"mean-colour/{config.device}"))
    yield
    del TILE_ENCODERS._makers["mean-colour"]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    folder = make_study(tmp_path / "study")
    write_svs(folder / "wsi" / "A-1.svs", section(1400)[0])
    write_svs(folder / "wsi" / "B.svs", section(1400)[0], mpp=0.4)
    write_svs(folder / "wsi" / "Z.svs", section(600)[0])
    return folder


def test_slides_are_made_then_kept(kemm: Kemm, study: Path) -> None:
    said = kemm("slides", study, "--encoder", "mean-colour", "--workers", 1)
    assert said.code == 0, said.err
    assert "2 slides of 2 of 3 cases; 1 slides of no case are left alone" in said.out
    assert re.search(r"A-1: \d+ tiles, [\d,]+ a second", said.out)
    assert "2 slides done" in said.out
    again = kemm("slides", study, "--encoder", "mean-colour", "--workers", 1)
    assert "0 slides done, 0 tiles; 2 were done before" in again.out
    other = kemm("slides", study, "--encoder", "mean-colour", "--device", "cpu", "--workers", 1)
    assert "2 slides done" in other.out


def test_a_bad_slide_ends_in_code_four_and_is_named(kemm: Kemm, study: Path) -> None:
    write_svs(study / "wsi" / "C.svs", glass((1024, 1024)))
    said = kemm("slides", study, "--encoder", "mean-colour", "--workers", 1)
    assert said.code == 4
    assert "1 of 3 slides failed" in said.err
    assert "C.svs: no tissue was found" in said.err
    assert "Traceback" not in said.err


def test_an_unknown_encoder_suggests_the_nearest(kemm: Kemm, study: Path) -> None:
    said = kemm("slides", study, "--encoder", "mean_colour")
    assert (said.code, "did you mean 'mean-colour'?" in said.err) == (2, True)


def test_the_preview_shows_every_slide_and_what_is_wrong(kemm: Kemm, study: Path) -> None:
    write_svs(study / "wsi" / "C-<b>.svs", section(600)[0], mpp=None)
    said = kemm("slides", study, "--encoder", "mean-colour", "--preview", "--workers", 1)
    assert said.code == 0, said.err
    page = (study / "features" / "preview.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2
    assert "C-&lt;b&gt;" in page
    assert "the file does not say how many micrometres a pixel is" in page
    assert "1,400 × 1,400" in page
    assert "img-src data:" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)
    assert not list((study / "features").glob("*.safetensors"))


def test_features_of_others_are_imported(kemm: Kemm, study: Path, tmp_path: Path) -> None:
    write_h5(tmp_path / "theirs" / "A-1.h5")
    said = kemm("slides", study, "--import", tmp_path / "theirs")
    assert (said.code, "1 slides done, 4 tiles" in said.out) == (0, True), said.err
    kept = kemm("slides", study, "--encoder", "mean-colour", "--workers", 1)
    assert "A-1: imported features are kept" in kept.out


def test_the_preview_is_one_column_on_a_phone(kemm: Kemm, study: Path) -> None:
    kemm("slides", study, "--encoder", "mean-colour", "--preview", "--workers", 1)
    page = (study / "features" / "preview.html").read_text()
    # Of rules that are equally specific the last counts: the one for narrow screens must come after.
    columns = re.findall(r"\.frame \{[^}]*grid-template-columns: ([^;]*);", page)
    assert columns[-1].startswith("minmax(0,")


def test_preview_and_import_are_two_things(kemm: Kemm, study: Path) -> None:
    said = kemm("slides", study, "--preview", "--import", study)
    assert (said.code, "Ask for one of them" in said.err) == (2, True)


def test_check_reads_what_slides_wrote(kemm: Kemm, study: Path) -> None:
    before = kemm("check", study)
    assert "Make them: `kemm slides" in before.err
    kemm("slides", study, "--encoder", "mean-colour", "--workers", 1)
    shutil.rmtree(study / "wsi")
    after = kemm("check", study)
    assert "no patch features" not in after.err + after.out
