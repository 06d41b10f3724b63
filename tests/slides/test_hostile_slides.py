"""Slides that are damaged, or meant to harm: each fails by its name and with its reason, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import pytest

from kemm.config import Study
from kemm.core.errors import KemmError
from kemm.modalities.slides import TILE_ENCODERS
from kemm.pipeline import extract_slides
from slides.synthetic import (
    MeanColour,
    break_tiles,
    glass,
    section,
    set_tags,
    write_ome,
    write_svs,
)
from slides.test_extraction import make_study
from slides.test_importing import FEATURES, write_h5

if TYPE_CHECKING:
    from studies import Kemm

TISSUE = section(1024)[0]


def truncated(folder: Path) -> None:
    path = write_svs(folder / "A-x.svs", TISSUE)
    path.write_bytes(path.read_bytes()[:3000])


def empty(folder: Path) -> None:
    (folder / "A-x.svs").touch()


def a_picture_with_a_slides_suffix(folder: Path) -> None:
    (folder / "A-x.svs").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))


def a_format_that_is_not_read(folder: Path) -> None:
    (folder / "A-x.vsi").write_bytes(b"something")


def a_level_of_no_pixels(folder: Path) -> None:
    set_tags(write_ome(folder / "A-x.tiff", TISSUE), 1, ImageWidth=0)


def a_first_level_of_no_pixels(folder: Path) -> None:
    set_tags(write_ome(folder / "A-x.tiff", TISSUE), 0, ImageLength=0)


def a_level_of_absurd_size(folder: Path) -> None:
    set_tags(write_ome(folder / "A-x.tiff", TISSUE), 1, ImageWidth=4_000_000_000)


def a_first_level_of_absurd_size(folder: Path) -> None:
    set_tags(write_ome(folder / "A-x.tiff", TISSUE), 0, ImageWidth=3_000_000, ImageLength=3_000_000)


def a_level_larger_than_the_first(folder: Path) -> None:
    set_tags(write_ome(folder / "A-x.tiff", TISSUE), 1, ImageWidth=5000, ImageLength=5000)


def all_white(folder: Path) -> None:
    write_svs(folder / "A-x.svs", glass((1024, 1024), colour=(255, 255, 255)))


def unreadable_in_the_middle(folder: Path) -> None:
    break_tiles(write_svs(folder / "A-x.svs", TISSUE), 4)


def outside_the_study(folder: Path) -> None:
    (folder / "A-x.svs").symlink_to(write_svs(folder.parents[1] / "elsewhere" / "other.svs", TISSUE))


def a_link_that_leads_nowhere(folder: Path) -> None:
    (folder / "A-x.svs").symlink_to(folder / "gone.svs")


HOSTILE: list[tuple[Callable[[Path], None], str]] = [
    (truncated, "the file is cut short or damaged"),
    (empty, "the file is empty (0 bytes)"),
    (a_picture_with_a_slides_suffix, "this is a PNG picture"),
    (a_format_that_is_not_read, ".vsi is a format that is not read"),
    (a_level_of_no_pixels, "level 1 is 0 x 256 pixels, which no scanner makes"),
    (a_first_level_of_no_pixels, "the slide is damaged"),
    (a_level_of_absurd_size, "level 1 is 4,000,000,000 x 256 pixels, which no scanner makes"),
    (a_first_level_of_absurd_size, "the slide is damaged"),
    (a_level_larger_than_the_first, "level 1 is 5,000 x 5,000 pixels, more than the first level's 1,024"),
    (all_white, "no tissue was found"),
    (unreadable_in_the_middle, "cannot be decoded"),
    (outside_the_study, "points outside the study folder"),
    (a_link_that_leads_nowhere, "there is no such file"),
]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    TILE_ENCODERS.register("mean-colour")(lambda config: MeanColour(f"mean-colour/{config.device}"))
    yield
    del TILE_ENCODERS._makers["mean-colour"]


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """B is whole."""
    folder = make_study(tmp_path / "study")
    write_svs(folder / "wsi" / "B.svs", TISSUE)
    return folder


@pytest.mark.parametrize(("spoil", "reason"), HOSTILE, ids=[spoil.__name__ for spoil, _ in HOSTILE])
def test_a_hostile_slide_fails_by_its_name_and_the_other_is_made(
    study: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    spoil(study / "wsi")
    result = extract_slides(Study.load(study), encoder=MeanColour(), workers=1)
    assert [one.name for one in result.done] == ["B"]
    assert reason in str(result.failed["A-x"])
    assert "A-x" in str(result.failed["A-x"]) or "gone" in str(result.failed["A-x"])
    with pytest.raises(
        KemmError, match=r"(?s)1 of 2 slides failed; the others are kept in .*- A-x: "
    ) as told:
        result.raise_if_failed()
    assert reason in str(told.value)
    again = extract_slides(Study.load(study), encoder=MeanColour(), workers=1)
    assert (again.done, again.kept, set(again.failed)) == ((), 1, {"A-x"})


def test_where_every_slide_fails_each_is_named_and_only_those_are_tried_again(
    kemm: Kemm, tmp_path: Path
) -> None:
    folder = make_study(tmp_path / "study")
    write_svs(folder / "wsi" / "A.svs", glass((512, 512)))
    (folder / "wsi" / "B.svs").touch()
    asked = ("slides", folder, "--encoder", "mean-colour", "--workers", 1)
    said = kemm(*asked)
    assert said.code == 4
    assert "2 of 2 slides failed; nothing was added to" in said.err
    assert "- A: " in said.err
    assert "- B: " in said.err
    assert "no tissue was found" in said.err
    assert "the file is empty" in said.err
    assert "Traceback" not in said.err
    write_svs(folder / "wsi" / "B.svs", TISSUE)
    later = kemm(*asked)
    assert later.code == 4
    assert "1 slides done" in later.out
    assert "1 of 2 slides failed; the others are kept" in later.err
    write_svs(folder / "wsi" / "A.svs", TISSUE)
    last = kemm(*asked)
    assert (last.code, "1 slides done" in last.out, "1 were done before" in last.out) == (0, True, True)


def test_a_file_of_features_with_links_out_of_it_fails_alone(kemm: Kemm, study: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    write_h5(theirs / "B.h5")
    secret = write_h5(tmp_path / "secret.h5")
    with h5py.File(theirs / "A-x.h5", "w") as handle:
        handle["features"] = h5py.ExternalLink(str(secret), "/features")
    with h5py.File(theirs / "A-y.h5", "w") as handle:
        handle.create_dataset("features", data=FEATURES)
        handle["coords"] = h5py.ExternalLink(str(secret), "/coords")
    said = kemm("slides", study, "--import", theirs)
    assert said.code == 4
    assert "1 slides done" in said.out
    assert "2 of 3 slides failed" in said.err
    assert "A-x.h5: 'features' is a link to another place and is not followed" in said.err
    assert "A-y.h5: 'coords' is a link to another place and is not followed" in said.err
    assert sorted(path.name for path in (study / "features").glob("*.safetensors")) == ["B.safetensors"]
