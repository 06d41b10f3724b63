"""Heatmaps of a finished run: from the files of features to pictures, or to a clear message."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from kemm import Study, draw_case, run
from kemm.core.errors import InputError, PolicyError, UsageError
from kemm.core.files import (
    read_features,
    read_frame,
    read_json,
    safe_name,
    sha256_of,
    write_arrays,
    write_json,
)
from kemm.modalities.slides import UNKNOWN, PackedSlide, SlideBag, SlideSource, read_places, write_bag
from kemm.modalities.slides.bag import BagAbout
from kemm.pipeline.running import read_run
from kemm.pipeline.slide_attention import attention_of_slides, thumbnail_of, with_heatmaps
from kemm.results.heatmap import CAUTION, RISK_CAUTION, no_weight
from kemm.training.patch_attention import PatchAttention, read_patch_attention, write_patch_attention
from studies import Kemm, StudyFolder, copy_of


def give_coordinates(features: Path) -> None:
    """Every other file becomes a bag of kemm's, the others get coordinates as CLAM writes them."""
    for place, path in enumerate(sorted(features.glob("*.h5"))):
        bag = read_features(path)
        spots = np.stack(np.divmod(np.arange(len(bag)), 12)[::-1], axis=1) * 256
        if place % 2:
            path.unlink()
            about = BagAbout(slide=path.stem, encoder="test", tile_side_px=256, mpp=0.5)
            write_bag(
                path.with_suffix(".safetensors"),
                SlideBag(bag.astype(np.float16), spots.astype(np.int32), about),
            )
            continue
        with h5py.File(path, "a") as handle:
            handle["coords"] = spots
            handle["coords"].attrs["patch_size"] = 256
            handle["coords"].attrs["patch_level"] = 0


def give_weight(study: StudyFolder, weight: float, epoch: int = 3) -> None:
    """As if the networks of every fold had given slides this weight: quick ones learn nothing."""
    for folder in study.entries("units"):
        about = read_json(folder / "about.json")
        if isinstance(about, list):
            for one in about:
                one["branch_weights"]["slides"] = weight
                one["best_epoch"] = epoch
            write_json(folder / "about.json", about)
            entry = read_json(folder / "entry.json")
            entry["sha256"]["about.json"] = sha256_of(folder / "about.json")
            write_json(folder / "entry.json", entry)


def drawn_again(study: StudyFolder) -> StudyFolder:
    """The records and the report of the run, made again from its units."""
    (study / "runs" / "latest" / "run.json").unlink()
    run(Study.load(study.path), workers=1)
    return study


@pytest.fixture(scope="module")
def unused(pristine: StudyFolder, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A finished run on slides whose files say where their patches lie; its networks give slides no weight."""
    folder = copy_of(pristine, tmp_path_factory.mktemp("unused") / "study")
    give_coordinates(folder / "features")
    run(Study.load(folder.path), workers=1)
    give_weight(folder, 0.0, epoch=0)
    return drawn_again(folder)


@pytest.fixture(scope="module")
def placed(unused: StudyFolder, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """The same, but that its networks give slides weight."""
    folder = copy_of(unused, tmp_path_factory.mktemp("placed") / "study")
    give_weight(folder, 0.5)
    return drawn_again(folder)


def slides_of(study: StudyFolder, case: str) -> list[str]:
    table = study.table.set_index("case_id")
    return [name for name in table.loc[case, "slide_ids"].split(";") if name]


def a_case(study: StudyFolder) -> str:
    return next(case for case in study.table["case_id"] if slides_of(study, case))


def test_the_slides_of_a_case_are_drawn(placed: StudyFolder, kemm: Kemm) -> None:
    case = a_case(placed)
    said = kemm("heatmap", placed, case)
    assert (said.code, said.err) == (0, "")
    assert CAUTION in said.out
    folder = placed / "runs" / "latest" / "heatmaps"
    for slide in slides_of(placed, case):
        assert (folder / f"{safe_name(slide)}.png").read_bytes().startswith(b"\x89PNG")
        features = json.loads((folder / f"{safe_name(slide)}.geojson").read_text())["features"]
        weights = [one["properties"]["measurements"]["Attention (times the even share)"] for one in features]
        ring = features[13]["geometry"]["coordinates"][0]
        assert ring[0] == [256, 256]
        assert ring[2] == [512, 512]
        assert len(weights) > 13
    if len(slides_of(placed, case)) == 1:
        # Times the even share: the mean over all patches of a case is 1, but for 16 bits.
        assert np.mean(weights) == pytest.approx(1, abs=2e-3)


def test_the_patches_of_the_story_are_those_looked_at_most(placed: StudyFolder) -> None:
    case = a_case(placed)
    units = read_json(placed / "runs" / "latest" / "units.json")
    stored = [placed / ".kemm" / "units" / one["key"] / "explained.json" for one in units]
    told = next(
        read_json(path)["patches"][case]
        for path in stored
        if path.is_file() and case in read_json(path)["patches"]
    )
    result = draw_case(Study.load(placed.path), case)
    drawn = [
        feature["properties"]["measurements"]["Attention (times the even share)"]
        for path in result.paths
        if path.suffix == ".geojson"
        for feature in json.loads(path.read_text())["features"]
    ]
    for patch, weight in told:
        assert drawn[patch] == pytest.approx(weight, abs=2e-3 * max(1, weight))
    assert max(drawn) == pytest.approx(told[0][1], abs=2e-3 * max(1, told[0][1]))


def test_the_report_shows_the_stories_slides(placed: StudyFolder) -> None:
    html = (placed / "runs" / "latest" / "report.html").read_text()
    stories = read_json(placed / "runs" / "latest" / "explanation.json")["cases"]
    drawn = [heatmap for story in stories for heatmap in story["heatmaps"]]
    assert 1 <= len([story for story in stories if story["heatmaps"]]) <= 8
    assert {heatmap["of"] for heatmap in drawn} == {"attention", "risk"}
    assert html.count("data:image/png;base64,") == len(drawn)
    assert all(len(heatmap["png"]) * 3 / 4 <= 100_000 for heatmap in drawn)
    caution = {"attention": CAUTION, "risk": RISK_CAUTION}
    assert all(caution[heatmap["of"]] in heatmap["caption"] for heatmap in drawn)
    assert not any(story["slides_note"] for story in stories)


def test_attention_that_no_forecast_rests_on_is_not_drawn(unused: StudyFolder, kemm: Kemm) -> None:
    case = a_case(unused)
    said = kemm("heatmap", unused, case)
    assert (said.code, said.err) == (0, "")
    assert no_weight(trained=False) in said.out
    assert "Drawn instead: what each tile adds to the linear part of the risk." in said.out
    assert RISK_CAUTION in said.out
    assert {path.name.split("_")[1][:5] for path in (unused / "runs/latest/heatmaps").iterdir()} == {"risk-"}
    for words in (["--of", "attention"], ["--statement", "grade"]):
        said = kemm("heatmap", unused, case, *words)
        assert said.code == 2
        assert (
            "no weight in its forecast: attention is as it began, by chance. A map of it would seem"
            in said.err
        )
        assert "--of risk" in said.err


def test_the_report_says_that_the_network_gave_slides_no_weight(unused: StudyFolder) -> None:
    html = (unused / "runs" / "latest" / "report.html").read_text()
    stories = read_json(unused / "runs" / "latest" / "explanation.json")["cases"]
    with_slides = [story for story in stories if slides_of(unused, story["case"])]
    assert with_slides
    for story in with_slides:
        assert story["slides_note"].startswith(no_weight(trained=False))
        assert {heatmap["of"] for heatmap in story["heatmaps"]} == {"risk"}
        # The patches that chance looked at most are no regions of interest.
        assert not [one for one in story["slide_tokens"] if one["name"].startswith("patch")]
    assert "attention is as it began, by chance. Drawn instead" in html
    assert "Heatmap of the attention" not in html


def test_attention_that_was_trained_and_is_not_used_is_not_called_chance(
    unused: StudyFolder, kemm: Kemm, tmp_path: Path
) -> None:
    study = copy_of(unused, tmp_path / "study")
    give_weight(study, 0.0, epoch=4)
    said = kemm("heatmap", study, a_case(study))
    assert "no weight in its forecast: attention was trained, and plays no part in it." in said.out
    assert "chance" not in said.out


def test_what_patches_add_sums_to_the_slides_part_of_the_linear_model(
    placed: StudyFolder, tmp_path: Path
) -> None:
    study = Study.load(placed.path)
    explained: dict[str, float] = {}
    for case in [case for case in placed.table["case_id"] if slides_of(placed, case)][:6]:
        result = draw_case(study, case, of="risk", out=tmp_path / case)
        made = [json.loads(path.read_text()) for path in result.paths if path.suffix == ".geojson"]
        adds = [
            feature["properties"]["measurements"]["Adds to the log risk"]
            for one in made
            for feature in one["features"]
        ]
        assert {one["case_tiles"] for one in made} == {len(adds)}
        explained[case] = sum(adds)
        assert explained[case] == pytest.approx(made[0]["case_sum"], abs=1e-6)
    assert len({round(value, 6) for value in explained.values()}) == len(explained)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--of", "glory"], "--of cannot be 'glory'; choose from: attention, risk"),
        (["--of", "risk", "--statement", "grade"], "a statement has attention and no risk"),
    ],
)
def test_what_cannot_be_drawn_is_a_wrong_command(
    placed: StudyFolder, kemm: Kemm, words: list[str], message: str
) -> None:
    said = kemm("heatmap", placed, a_case(placed), *words)
    assert said.code == 2
    assert message in said.err


def test_one_statement_can_be_asked_for(placed: StudyFolder, tmp_path: Path) -> None:
    study = Study.load(placed.path)
    predictions = read_frame(placed / "runs" / "latest" / "predictions.parquet")
    for case in predictions["case_id"].unique():
        if not slides_of(placed, case):
            continue
        with pytest.raises(UsageError, match="no statement called 'grado' asked its slides") as error:
            draw_case(study, case, statement="grado")
        if "did you mean 'grade'?" in str(error.value):
            break
    result = draw_case(study, case, statement="grade", out=tmp_path)
    made = json.loads(next(path for path in result.paths if path.suffix == ".geojson").read_text())
    assert made["asked_by"] == "grade"
    assert {path.parent for path in result.paths} == {tmp_path}


def test_files_without_coordinates_are_named(finished: StudyFolder, kemm: Kemm) -> None:
    said = kemm("heatmap", finished, a_case(finished))
    assert said.code == 3
    assert "does not say where its patches lie, so no heatmap can be drawn" in said.err
    assert "`kemm slides`" in said.err
    html = (finished / "runs" / "latest" / "report.html").read_text()
    assert "data:image" not in html
    assert "No heatmap of DEMO-" in html
    assert "does not say where its patches lie" in html


def test_an_unknown_case_and_an_unknown_run_are_named(placed: StudyFolder) -> None:
    study = Study.load(placed.path)
    with pytest.raises(
        InputError, match="no case of this run is called 'DEMO-0A-000'; did you mean 'DEMO-0A"
    ):
        draw_case(study, "DEMO-0A-000")
    with pytest.raises(InputError, match=r"no finished run is there\. There are: latest"):
        draw_case(study, a_case(placed), name="other")


def test_a_case_without_slides_says_so(placed: StudyFolder) -> None:
    case = next(case for case in placed.table["case_id"] if not slides_of(placed, case))
    with pytest.raises(InputError, match=f"case {case}: the model of run latest looked at no slide of it"):
        draw_case(Study.load(placed.path), case)


def bag_of(path: Path, features: np.ndarray, spots: np.ndarray | None = None) -> Path:
    places = np.zeros((len(features), 2)) if spots is None else spots
    about = BagAbout(slide=path.stem, encoder="e")
    write_bag(path, SlideBag(features.astype(np.float16), places.astype(np.int32), about))
    return path


@pytest.mark.parametrize(
    ("saw", "message"),
    [
        ({"s": np.zeros((5, 3))}, r"s\.safetensors: 4 patches are there, and the model saw 5"),
        ({"s": np.eye(4, 3)}, r"s\.safetensors: 4 patches are there, but not those that the model saw"),
        ({"s": np.zeros((4, 3)), "t": np.zeros((1, 3))}, "the slides are s, and the model saw s, t"),
        ({"t": np.zeros((4, 3))}, "the slides are s, and the model saw t"),
    ],
    ids=["fewer", "as many", "another slide", "another name"],
)
def test_features_that_changed_since_the_run_are_refused(
    tmp_path: Path, saw: dict[str, np.ndarray], message: str
) -> None:
    path = bag_of(tmp_path / "s.safetensors", np.zeros((4, 3)))
    slides = tuple(
        PackedSlide.of(Path(f"{name}.h5"), features.astype(np.float32)) for name, features in saw.items()
    )
    patches = sum(one.patches for one in slides)
    seen = PatchAttention((), np.ones((1, patches), dtype=np.float16), slides)
    with pytest.raises(InputError, match=f"{message}.*run again"):
        attention_of_slides([path], seen)


def test_two_slides_that_changed_places_are_refused(tmp_path: Path) -> None:
    paths = [
        bag_of(tmp_path / f"{name}.safetensors", np.full((2, 3), number)) for number, name in enumerate("ab")
    ]
    slides = tuple(PackedSlide.of(path, read_features(path)) for path in paths)
    seen = PatchAttention((), np.ones((1, 4), dtype=np.float16), slides)
    assert [one.slide for one in attention_of_slides(paths, seen)[0]] == ["a", "b"]
    with pytest.raises(InputError, match="the slides are b, a, and the model saw a, b"):
        attention_of_slides(paths[::-1], seen)


def test_attention_of_a_run_that_kept_no_slides_is_refused(tmp_path: Path) -> None:
    path = bag_of(tmp_path / "s.safetensors", np.zeros((4, 3)))
    about = np.frombuffer(json.dumps({"A": ["grade"]}).encode(), dtype=np.uint8)
    write_arrays(tmp_path / "attention.safetensors", {"0": np.ones((2, 4), np.float16), "about": about})
    with pytest.raises(InputError, match=r"did not keep which patches the model saw\. Run again"):
        attention_of_slides([path], read_patch_attention(tmp_path)["A"])


def test_attention_is_kept_with_its_slides(tmp_path: Path) -> None:
    slides = (PackedSlide("a", 2, "1f"), PackedSlide("b", 1, "2e"))
    write_patch_attention(tmp_path, {"A": PatchAttention(("grade",), np.ones((2, 3), np.float16), slides)})
    assert read_patch_attention(tmp_path)["A"].slides == slides


def extracted_again(folder: Path, slide: str, change: Callable[[SlideBag], SlideBag]) -> None:
    """The bag of a slide, in whichever form its file is, written anew by kemm."""
    path = folder / f"{slide}.safetensors"
    old = folder / f"{slide}.h5"
    features = read_features(old if old.is_file() else path).astype(np.float16)
    old.unlink(missing_ok=True)
    spots = np.stack(np.divmod(np.arange(len(features)), 12), axis=1).astype(np.int32)
    write_bag(
        path, change(SlideBag(features, spots, BagAbout(slide=slide, encoder="test", tile_side_px=256)))
    )


def a_case_of_bags(study: StudyFolder) -> str:
    return next(
        case
        for case in study.table["case_id"]
        if (names := slides_of(study, case))
        and all((study / "features" / f"{name}.safetensors").is_file() for name in names)
    )


def test_a_bag_extracted_again_with_as_many_tiles_is_refused(
    placed: StudyFolder, kemm: Kemm, tmp_path: Path
) -> None:
    study = copy_of(placed, tmp_path / "study")
    case = a_case_of_bags(study)
    for name in slides_of(study, case):
        extracted_again(
            study / "features", name, lambda bag: replace(bag, features=bag.features[::-1].copy())
        )
    said = kemm("heatmap", study, case)
    assert said.code == 3
    assert "but not those that the model saw. The features were changed since the run: run again" in said.err


def test_a_slide_whose_places_are_unknown_is_not_drawn(
    placed: StudyFolder, kemm: Kemm, tmp_path: Path
) -> None:
    study = copy_of(placed, tmp_path / "study")
    case = a_case_of_bags(study)
    for name in slides_of(study, case):
        extracted_again(
            study / "features",
            name,
            lambda bag: replace(bag, coordinates=np.full_like(bag.coordinates, UNKNOWN)),
        )
    said = kemm("heatmap", study, case, "--out", tmp_path / "drawn")
    assert said.code == 3
    assert "does not say where its patches lie, so no heatmap can be drawn" in said.err
    assert "slides.mpp" in said.err
    assert not (tmp_path / "drawn").exists()


def test_of_two_slides_the_one_whose_places_are_known_is_drawn(tmp_path: Path) -> None:
    grid = np.array([[0, 0], [256, 0]])
    paths = [
        bag_of(tmp_path / "a.safetensors", np.zeros((2, 3)), np.full((2, 2), UNKNOWN)),
        bag_of(tmp_path / "b.safetensors", np.ones((2, 3)), grid),
        bag_of(tmp_path / "c.safetensors", np.ones((2, 3)), np.array([[0, 0], [UNKNOWN, UNKNOWN]])),
        h5(tmp_path / "d.h5", np.full((2, 2), UNKNOWN)),
    ]
    slides = tuple(PackedSlide.of(path, read_features(path)) for path in paths)
    weights = np.arange(8, dtype=np.float16)[None]
    drawn, without = attention_of_slides(paths, PatchAttention((), weights, slides))
    assert [(one.slide, one.weights.tolist()) for one in drawn] == [("b", [2.0, 3.0])]
    assert without == [paths[0], paths[2], paths[3]]


def test_the_page_says_of_which_slides_there_is_no_heatmap(placed: StudyFolder, tmp_path: Path) -> None:
    a = bag_of(tmp_path / "a<b>.safetensors", np.zeros((2, 3)), np.full((2, 2), UNKNOWN))
    b = bag_of(tmp_path / "b.safetensors", np.ones((2, 3)))
    explanation = read_run(placed / "runs" / "latest").explanation
    assert explanation is not None
    stories = [story.model_copy(update={"heatmaps": []}) for story in explanation.cases[:2]]
    first, second = (story.case for story in stories)
    seen = {
        first: PatchAttention((), np.ones((1, 2), np.float16), (PackedSlide.of(a, read_features(a)),)),
        second: PatchAttention((), np.ones((1, 2), np.float16), (PackedSlide("b", 2, "other"),)),
    }
    made = with_heatmaps(
        explanation.model_copy(update={"cases": stories}),
        Study.load(placed.path),
        SlideSource({first: (a,), second: (b,)}, None, ""),
        seen,
        {},
    )
    assert not any(story.heatmaps for story in made.cases)
    told = [note for note in made.notes if note not in explanation.notes]
    assert len(told) == 2
    assert f"No heatmap of case {second}. b.safetensors: 2 patches are there, but not those" in told[0]
    assert "No heatmap of a<b>.safetensors: such a file does not say where its patches lie" in told[1]


def test_without_images_there_is_no_thumbnail(placed: StudyFolder) -> None:
    assert thumbnail_of(Study.load(placed.path), "DEMO-0A-0001-DX1") is None


# --- what a file says of its tiles -----------------------------------------------------------------


def h5(path: Path, coordinates: np.ndarray, **about: object) -> Path:
    with h5py.File(path, "w") as handle:
        handle["features"] = np.zeros((len(coordinates), 3), dtype=np.float32)
        handle["coords"] = coordinates
        handle["coords"].attrs.update(about)
    return path


def test_tile_sides_are_read_from_what_each_tool_writes(tmp_path: Path) -> None:
    grid = np.array([[0, 0], [512, 0], [0, 512]])
    trident = read_places(h5(tmp_path / "a.h5", grid, patch_size=256, patch_size_level0=512))
    clam = read_places(h5(tmp_path / "b.h5", grid, patch_size=256, patch_level=1, downsample=[4.0, 4.0]))
    bare = read_places(h5(tmp_path / "c.h5", grid))
    assert [one.tile_side for one in (trident, clam, bare) if one is not None] == [512, 1024, 512]
    assert trident is not None
    assert (trident.slide, trident.mpp) == ("a", None)
    # STAMP's are micrometres: without the slide nobody knows where that is in pixels.
    assert read_places(h5(tmp_path / "d.h5", grid, unit="um")) is None


def test_broken_coordinates_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'coords' must be numbers of shape \(patch, 2\)"):
        read_places(h5(tmp_path / "a.h5", np.zeros((4, 3))))
    with pytest.raises(InputError, match="not finite"):
        read_places(h5(tmp_path / "b.h5", np.full((4, 2), np.nan)))
    with h5py.File(tmp_path / "c.h5", "w") as handle:
        handle["coords"] = h5py.ExternalLink("a.h5", "coords")
    with pytest.raises(PolicyError, match="'coords' is a link to another place and is not followed"):
        read_places(tmp_path / "c.h5")
