"""From slides to bags: what is in them, what is skipped, and what one bad slide costs the others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from kemm.config import Study
from kemm.core.errors import Faults, InputError, InvalidInput, PartialError, UsageError
from kemm.core.files import read_features, sha256_of
from kemm.modalities.slides import SlidesConfig, find_slides, read_bag
from kemm.modalities.slides import kept as module
from kemm.modalities.slides.extraction import Tiling, extract, plan_slides
from kemm.modalities.slides.images import SlideImage, find_images
from kemm.modalities.slides.kept import read_record
from kemm.modalities.slides.tiles import TilesConfig
from kemm.modalities.slides.tissue import TissueConfig
from kemm.pipeline import extract_slides
from slides.synthetic import MeanColour, break_tiles, glass, painted, section, write_ome, write_svs
from studies import Told

DATA = Path(os.environ.get("KEMM_DATA") or Path(__file__).parents[3] / "shared" / "data")
PICTURE, TRUE = section(2048)
WORDS: list[str] = ["A-DX1", "A-DX2", "B", "C"]


def make_study(folder: Path, /, **slides: Any) -> Path:
    """Three cases, four slides."""
    (folder / "wsi").mkdir(parents=True)
    (folder / "clinical.csv").write_text("case_id,months,event\nA,10,1\nB,20,0\nC,30,1\n")
    settings = {
        "cohort": {
            "table": "clinical.csv",
            "cancer_type": "KIRC",
            "endpoints": {"OS": {"time": "months", "event": "event"}},
        },
        "slides": {"images": "wsi", **slides},
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.fixture(scope="module")
def svs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_svs(tmp_path_factory.mktemp("svs") / "slide.svs", PICTURE)


@pytest.fixture
def study(tmp_path: Path, svs: Path) -> Path:
    folder = make_study(tmp_path / "study")
    for name in WORDS:
        shutil.copy(svs, folder / "wsi" / f"{name}.svs")
    return folder


def run(folder: Path, encoder: MeanColour | None = None, **options: Any) -> Any:
    return extract_slides(Study.load(folder), encoder=encoder or MeanColour(), workers=1, **options)


# --- what is in a bag --------------------------------------------------------------------------


def test_a_bag_has_the_tiles_on_the_tissue_in_base_pixels(study: Path) -> None:
    result = run(study)
    assert [one.name for one in result.done] == WORDS
    bag = read_bag(study / "features" / "B.safetensors")
    side = 128  # 64 um of 0.5 um
    true = {
        (left, top)
        for left in range(0, 2048, side)
        for top in range(0, 2048, side)
        if TRUE[top : top + side, left : left + side].mean() >= 0.5
    }
    found = set(map(tuple, bag.coordinates.tolist()))
    assert len(found ^ true) <= 0.1 * len(true)
    assert bag.about.tile_side_px == side
    assert (bag.about.slide, bag.about.encoder, bag.about.mpp) == ("B", "mean-colour/test", 0.5)
    assert bag.about.tissue_fraction == pytest.approx(TRUE.mean(), rel=0.05)
    for (left, top), feature in list(zip(bag.coordinates.tolist(), bag.features, strict=True))[::7]:
        expected = PICTURE[top : top + side, left : left + side].mean(axis=(0, 1)) / 255
        np.testing.assert_allclose(feature.astype(float), expected, atol=0.01)


@pytest.mark.parametrize("mpp", [0.25, 0.5])
def test_tiles_are_equally_large_on_the_tissue_whatever_the_power(tmp_path: Path, mpp: float) -> None:
    folder = make_study(tmp_path / "study")
    write_ome(folder / "wsi" / "A.ome.tiff", PICTURE, mpp=mpp)
    run(folder)
    assert read_bag(folder / "features" / "A.ome.safetensors").about.tile_side_px == 64 / mpp


def test_the_same_bytes_whatever_the_number_of_workers(study: Path, tmp_path: Path) -> None:
    run(study)
    first = {path.name: sha256_of(path) for path in (study / "features").glob("*.safetensors")}
    shutil.rmtree(study / "features")
    extract_slides(Study.load(study), encoder=MeanColour(), workers=2)
    assert first == {path.name: sha256_of(path) for path in (study / "features").glob("*.safetensors")}
    assert len(first) == 4


def test_a_run_reads_the_bags_and_gives_each_case_all_its_slides(study: Path) -> None:
    run(study)
    faults = Faults()
    loaded = Study.load(study)
    assert loaded.config.slides is not None
    source = find_slides(loaded.config.slides, loaded.resolve, ["A", "B", "C"], None, faults)
    assert source is not None
    assert {case: len(paths) for case, paths in source.files.items()} == {"A": 2, "B": 1, "C": 1}
    features = read_features(source.files["B"][0])
    assert (features == read_bag(source.files["B"][0]).features.astype(np.float32)).all()


def test_ink_within_tiles_is_left_out_and_counted(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", tissue={"ink": False})
    line = np.zeros(TRUE.shape, dtype=bool)
    line[960:1100, 500:1500] = True
    write_svs(folder / "wsi" / "A.svs", painted(PICTURE, line, (35, 60, 170)))
    result = run(folder)
    assert result.done[0].left_out >= 5
    bag = read_bag(folder / "features" / "A.safetensors")
    assert len(bag.features) == result.done[0].tiles
    assert (bag.features[:, 0] > bag.features[:, 2] - 0.3).all()  # none is blue


# --- what is skipped ---------------------------------------------------------------------------


def test_a_second_run_encodes_nothing(study: Path) -> None:
    run(study)
    encoder = MeanColour()
    result = run(study, encoder)
    assert (encoder.seen, result.kept, result.done) == (0, 4, ())


@pytest.mark.parametrize(
    "changed",
    [
        lambda folder: os.utime(folder / "wsi" / "B.svs", ns=(1, 1)),
        lambda folder: (folder / "features" / "B.safetensors").unlink(),
        lambda folder: (folder / "features" / ".made" / "B.json").write_text("{"),
    ],
    ids=["slide", "bag", "record"],
)
def test_only_a_slide_that_changed_is_made_again(study: Path, changed: Callable[[Path], None]) -> None:
    run(study)
    changed(study)
    assert [one.name for one in run(study).done] == ["B"]


def test_another_encoder_or_tiling_makes_all_again(study: Path) -> None:
    run(study)
    assert len(run(study, MeanColour("mean-colour/other")).done) == 4
    assert len(run(study, MeanColour("mean-colour/other", side_um=48)).done) == 4
    kept = Study.load(study, ["slides.tile_side_um=48", "slides.encoder.device=cpu"])
    assert len(extract_slides(kept, encoder=MeanColour("mean-colour/other"), workers=1).done) == 0


def test_a_run_that_is_stopped_goes_on_where_it_was(study: Path) -> None:
    class Stopping(MeanColour):
        def encode(self, tiles: Any) -> Any:
            if self.seen > 150:
                raise KeyboardInterrupt
            return super().encode(tiles)

    with pytest.raises(KeyboardInterrupt):
        run(study, Stopping())
    done = {path.stem for path in (study / "features").glob("*.safetensors")}
    assert 0 < len(done) < 4
    assert not list((study / "features").glob("*.part"))
    assert {one.name for one in run(study).done} == set(WORDS) - done


def test_a_record_has_the_digest_of_its_bag(study: Path) -> None:
    run(study)
    record = read_record(study / "features", "B")
    assert record is not None
    assert record.sha256 == sha256_of(study / "features" / "B.safetensors")


# --- what one bad slide costs the others -------------------------------------------------------


def spoil(folder: Path) -> None:
    """A is truncated and unreadable in the middle, C is white; B is whole."""
    first = folder / "wsi" / "A-DX1.svs"
    first.write_bytes(first.read_bytes()[:3000])
    break_tiles(folder / "wsi" / "A-DX2.svs", 4)
    write_svs(folder / "wsi" / "C.svs", glass((1024, 1024)))


def test_bad_slides_are_named_and_do_not_stop_the_others(study: Path) -> None:
    spoil(study)
    result = run(study)
    assert [one.name for one in result.done] == ["B"]
    assert set(result.failed) == {"A-DX1", "A-DX2", "C"}
    assert "the file is cut short or damaged" in str(result.failed["A-DX1"])
    assert "cannot be decoded" in str(result.failed["A-DX2"])
    assert "no tissue was found" in str(result.failed["C"])
    with pytest.raises(PartialError, match=r"(?s)3 of 4 slides failed.*A-DX1: .*A-DX2: .*C: ") as told:
        result.raise_if_failed()
    assert told.value.exit_code == 4


def test_the_next_run_takes_up_only_those_that_failed(study: Path, svs: Path) -> None:
    spoil(study)
    run(study)
    shutil.copy(svs, study / "wsi" / "C.svs")
    result = run(study)
    assert ([one.name for one in result.done], result.kept) == (["C"], 1)
    assert set(result.failed) == {"A-DX1", "A-DX2"}


def test_where_no_slide_succeeds_the_failure_is_as_partial_as_any(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study")
    write_svs(folder / "wsi" / "A.svs", glass((1024, 1024)))
    (folder / "wsi" / "B.svs").touch()
    with pytest.raises(
        PartialError, match=r"(?s)2 of 2 slides failed; nothing was added.*A: .*no tissue.*B: .*is empty"
    ) as told:
        run(folder).raise_if_failed()
    assert told.value.exit_code == 4


def test_without_the_libraries_no_slide_is_blamed(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kemm.modalities.slides.reader.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'kemm\[wsi\]'"):
        run(study)


def test_a_slide_that_kills_its_worker_is_named_and_the_others_are_made(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = study / "wsi"
    images = [SlideImage(name, folder / f"{name}.svs", name[0]) for name in WORDS]
    encoder = MeanColour()
    tiling = Tiling(mpp=None, side_um=64.0, tile_px=64, batch=16, tissue=TissueConfig(), tiles=TilesConfig())

    def deadly(
        function: Callable[[Any, Any], Any], context: Any, tasks: Sequence[Any]
    ) -> Generator[tuple[Any, Any], None, None]:
        for task in tasks:
            if getattr(task, "name", "") == "A-DX2":
                raise PartialError("a worker process was killed")
            yield task, function(context, task)

    planned, failed = plan_slides(images, tiling, deadly)
    assert ([one.image.name for one in planned], set(failed)) == (["A-DX1", "B", "C"], {"A-DX2"})
    planned, _ = plan_slides(images, tiling, _in_turn)
    done, unread = extract(planned, tiling, encoder, tmp_path / "out", deadly)
    assert {one.name for one in done} == {"A-DX1", "B", "C"}
    assert "ends the process that does it" in str(unread["A-DX2"])


def _in_turn(function: Any, context: Any, tasks: Any) -> Generator[tuple[Any, Any], None, None]:
    for task in tasks:
        yield task, function(context, task)


def test_a_folder_that_cannot_be_written_stops_at_once(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_bag", full)
    encoder = MeanColour()
    with pytest.raises(InputError, match="the disk is full"):
        run(study, encoder)
    assert encoder.seen < 200  # one slide's


def test_an_encoder_that_overflows_fails_the_slide(study: Path) -> None:
    class Loud(MeanColour):
        def encode(self, tiles: Any) -> Any:
            return super().encode(tiles) * np.float16(np.inf)

    result = run(study, Loud())
    assert len(result.failed) == 4
    assert "not finite" in str(result.failed["B"])


def test_another_tools_features_of_a_slide_are_not_overwritten(study: Path) -> None:
    (study / "features").mkdir()
    (study / "features" / "B.h5").write_bytes(b"somebody's")
    result = run(study)
    assert "another tool's features of this slide are there" in str(result.failed["B"])
    assert (study / "features" / "B.h5").read_bytes() == b"somebody's"


def test_bags_of_two_encoders_are_refused_by_a_run(study: Path) -> None:
    run(study)
    (study / "wsi" / "C.svs").unlink()
    run(study, MeanColour("mean-colour/other"))
    faults = Faults()
    loaded = Study.load(study)
    find_slides(SlidesConfig(images="wsi"), loaded.resolve, ["A", "B", "C"], None, faults)
    assert "bags were made in 2 ways (mean-colour/other on 64 micrometres: 3" in str(faults.errors[0])


def test_progress_tells_the_rate_of_each_slide(study: Path) -> None:
    told = Told()
    run(study, progress=told)
    assert any("B: " in line and "a second" in line for line in told.lines)


# --- which slide is whose ----------------------------------------------------------------------


def test_slides_are_found_below_folders_and_by_a_column(tmp_path: Path) -> None:
    for name in ("x/one.svs", "y/two.tiff", "y/three.ndpi", "y/notes.txt", "four.svs"):
        path = tmp_path / "wsi" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    faults = Faults()
    cells = {"A": "one.svs; y/two.tiff", "B": "three;nine"}
    images = find_images(tmp_path / "wsi", ["A", "B"], cells, Path, faults)
    assert [(one.case, one.name) for one in images.found] == [("A", "one"), ("A", "two"), ("B", "three")]
    assert images.strangers == 1
    assert "1 slides listed for cases are not there: nine" in str(faults.warnings[0])


def test_two_slides_of_one_name_and_one_slide_of_two_cases_are_told(tmp_path: Path) -> None:
    for name in ("x/one.svs", "y/one.tiff"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    faults = Faults()
    find_images(tmp_path, ["A", "B"], {"A": "one", "B": "one"}, Path, faults)
    assert ["two slides are called one" in str(faults.errors[0]), len(faults.errors)] == [True, 2]
    assert "slide one is listed for two cases, A and B" in str(faults.errors[1])


def test_a_slide_that_is_a_link_out_of_the_study_is_refused_and_the_others_made(
    study: Path, tmp_path: Path, svs: Path
) -> None:
    shutil.copy(svs, tmp_path / "elsewhere.svs")
    (study / "wsi" / "B.svs").unlink()
    (study / "wsi" / "B.svs").symlink_to(tmp_path / "elsewhere.svs")
    result = run(study)
    assert "points outside the study folder" in str(result.failed["B"])
    assert len(result.done) == 3


@pytest.mark.parametrize(
    ("slides", "message"),
    [
        ({"images": "../elsewhere"}, "points outside the study folder"),
        ({"images": "nowhere"}, "there is no such folder"),
        ({"images": "wsi"}, "no file ends in"),
        ({"images": "wsi", "slide_ids": "slide"}, "there is no column 'slide'"),
        ({"images": None, "folder": "wsi"}, "does not say where its slides are"),
    ],
)
def test_settings_that_lead_to_no_slides_are_told(
    tmp_path: Path, slides: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        run(make_study(tmp_path / "study", **slides))


def test_a_run_before_the_features_are_made_says_how(study: Path) -> None:
    faults = Faults()
    loaded = Study.load(study)
    assert find_slides(SlidesConfig(images="wsi"), loaded.resolve, ["A"], None, faults) is None
    assert "there are no patch features of the slides yet. Make them: `kemm slides" in str(faults.errors[0])


# --- a real slide ------------------------------------------------------------------------------


def test_a_real_slide_goes_all_the_way(tmp_path: Path) -> None:
    real = DATA / "wsi" / "CMU-1-Small-Region.svs"
    if not real.is_file():
        pytest.skip(f"no slide in {DATA / 'wsi'}; set KEMM_DATA to the folder above it")
    folder = make_study(tmp_path / "study")
    shutil.copyfile(real, folder / "wsi" / "A.svs")
    result = run(folder, MeanColour(side_um=112))
    bag = read_bag(folder / "features" / "A.safetensors")
    assert result.failed == {}
    assert 40 <= len(bag.features) <= 60
    assert bag.about.mpp == 0.499
    # Stained tissue lets red through best and green worst.
    assert (bag.features[:, 0] > bag.features[:, 1]).mean() > 0.95
