"""Made-up whole-slide images: reproducible, true to their map, and open as a scanner's file does."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kemm.core.errors import UsageError
from kemm.demo import make_demo_study
from kemm.demo.hazard import SOLID_GROWTH
from kemm.demo.patches import PATTERNS, draw_slides
from kemm.demo.patients import stream
from kemm.demo.slides import (
    GLASS,
    MPP,
    REGION_PX,
    draw_pattern_map,
    planted_share,
    render,
    write_slide,
)
from kemm.demo.textures import LEVELS, SIDE, textures

openslide = pytest.importorskip("openslide")
pytest.importorskip("imagecodecs")

SOLID = PATTERNS.index(SOLID_GROWTH)


def patterns(share: float, seed: int = 0) -> np.ndarray:
    return draw_slides(share, 0, np.random.default_rng(seed))[0].pattern


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo_study(tmp_path_factory.mktemp("images") / "study", cases=40, slides="images")


def test_the_map_has_the_shares_of_the_bag() -> None:
    for seed in range(20):
        drawn = patterns(0.02 + 0.018 * seed, seed)
        where = draw_pattern_map(drawn, np.random.default_rng(seed))
        planted = np.bincount(drawn, minlength=len(PATTERNS)) / len(drawn)
        np.testing.assert_allclose(where.shares(), planted, atol=0.01)


def test_like_lies_beside_like() -> None:
    where = draw_pattern_map(patterns(0.3), np.random.default_rng(0)).regions
    both = (where[:, 1:] != GLASS) & (where[:, :-1] != GLASS)
    alike = (where[:, 1:] == where[:, :-1])[both].mean()
    shuffled = np.random.default_rng(1).permutation(where[where != GLASS])
    by_chance = ((np.bincount(shuffled) / len(shuffled)) ** 2).sum()
    assert alike > 0.6 > 2 * by_chance
    # The rim of a slide is glass.
    assert (where[[0, -1]] == GLASS).all()
    assert (where[:, [0, -1]] == GLASS).all()


def test_textures_differ_in_how_much_dye_they_took() -> None:
    codes = textures()
    assert codes.shape == (len(PATTERNS) + 1, SIDE, SIDE)
    haematoxylin, eosin = (
        dict(zip((*PATTERNS, "glass"), dye.mean(axis=(1, 2)), strict=True))
        for dye in divmod(codes.astype(int), LEVELS)
    )
    assert max(haematoxylin, key=haematoxylin.__getitem__) == "lymphocytes"
    assert max(eosin, key=eosin.__getitem__) == SOLID_GROWTH
    assert haematoxylin["glass"] == eosin["glass"] == 0
    assert eosin["fat"] < eosin["clear cell nests"] < eosin["stroma"]


def test_the_picture_shows_the_map() -> None:
    random = np.random.default_rng(5)
    where = draw_pattern_map(patterns(0.35, 3), random)
    image = render(where, 2, random).astype(float)
    assert image.shape == (where.size[1], where.size[0], 3)
    assert image.nbytes // 8 >= 2048 * 2048 * 3
    assert max(where.size) <= 4096
    blocks = image.reshape(where.regions.shape[0], REGION_PX, where.regions.shape[1], REGION_PX, 3).mean(
        axis=(1, 3)
    )
    # Solid growth is strongly pink: it lets less green through than clear cells do.
    green = blocks[..., 1]
    assert green[where.regions == SOLID].mean() < green[where.regions == 0].mean() - 40
    assert green[where.regions == GLASS].mean() > 225


def test_shares_of_the_picture_are_those_planted() -> None:
    # The same map rendered with every pattern but one taken away shows how much area that one has.
    shares = []
    for seed in range(6):
        where = draw_pattern_map(patterns(0.3, seed), np.random.default_rng(seed))
        alone = type(where)(np.where(where.regions == SOLID, SOLID, GLASS).astype(np.int8))
        image = render(alone, 0, np.random.default_rng(seed))
        area = (image[..., 1] < 215).mean() * image.shape[0] * image.shape[1] / REGION_PX**2
        shares.append((area - (where.regions == SOLID).sum()) / (where.regions != GLASS).sum())
    assert abs(np.mean(shares)) < 0.01


def test_openslide_reads_three_levels_at_half_a_micrometre(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    where = draw_pattern_map(patterns(0.1), random)
    write_slide(tmp_path / "s.tif", where, 0, random)
    with openslide.OpenSlide(tmp_path / "s.tif") as slide:
        assert slide.properties["openslide.vendor"] == "aperio"
        assert float(slide.properties["openslide.mpp-x"]) == MPP == 0.5
        assert float(slide.properties["openslide.mpp-y"]) == 0.5
        assert slide.properties["openslide.objective-power"] == "20"
        assert slide.dimensions == where.size
        assert slide.level_downsamples == pytest.approx([1, 4, 16])
        drawn = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB")).astype(float)
    again = np.random.default_rng(0)
    exact = render(draw_pattern_map(patterns(0.1), again), 0, again)
    assert np.abs(drawn - exact).mean() < 6  # what JPEG costs


def test_the_same_slide_has_the_same_bytes_and_another_site_other_colours(tmp_path: Path) -> None:
    digests = set()
    for name, site in (("a", 1), ("b", 1), ("c", 2)):
        random = stream(3, "slide")
        where = draw_pattern_map(patterns(0.2), random)
        write_slide(tmp_path / f"{name}.tif", where, site, random)
        digests.add(hashlib.sha256((tmp_path / f"{name}.tif").read_bytes()).hexdigest())
    assert len(digests) == 2


def test_a_study_of_images_holds_slides_and_the_map_of_each(study: Path) -> None:
    truth = pd.read_parquet(study / "truth_patches.parquet")
    names = {path.stem for path in (study / "slides").glob("*.tif")}
    assert names == set(truth["slide_id"])
    table = pd.read_csv(study / "clinical.csv", dtype=str, keep_default_na=False)
    assert names == {name for cell in table["slide_ids"] for name in cell.split(";") if name}
    settings = (study / "study.yaml").read_text()
    assert "\n  images: slides " in settings
    assert "folder: features" not in settings
    assert not (study / "features").exists()
    assert sum(path.stat().st_size for path in (study / "slides").iterdir()) / len(names) < 0.68e6
    # Planted as in the study of features: the share of solid growth drives the hazard.
    planted = pd.read_csv(study / "truth.csv").set_index("case_id")[SOLID_GROWTH] / 10
    solid = (truth["pattern"] == SOLID_GROWTH).groupby(truth["slide_id"]).mean()
    for name, share in solid.items():
        # Of 40 patches one is 2.5 %; and a slide has one at least.
        assert share == pytest.approx(planted[str(name)[:12]], abs=0.02)


def test_images_and_features_are_of_one_cohort(study: Path, tmp_path: Path) -> None:
    features = make_demo_study(tmp_path / "study", cases=40)
    for name in ("clinical.csv", "truth.csv", "groups.gmt"):
        assert (study / name).read_bytes() == (features / name).read_bytes()


def test_the_share_of_a_tile_that_shows_a_pattern() -> None:
    truth = pd.DataFrame(
        {
            "slide_id": ["a", "a", "b"],
            "left": [0, 128, 0],
            "top": [0, 0, 0],
            "side": 128,
            "pattern": [SOLID_GROWTH, "fat", SOLID_GROWTH],
        }
    )
    tiles = np.array([[0, 0], [64, 0], [64, 64], [500, 500]])
    share = planted_share(truth, "a", tiles, 128, SOLID_GROWTH)
    np.testing.assert_allclose(share, [1, 0.5, 0.25, 0])


def test_what_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "imagecodecs", None)
    with pytest.raises(UsageError, match=r"not installed here: pip install 'kemm\[wsi\]'"):
        make_demo_study(tmp_path / "study", cases=40, slides="images")
    assert not (tmp_path / "study").exists()
    with pytest.raises(UsageError, match="slides cannot be 'glass'; choose from: features, images"):
        make_demo_study(tmp_path / "study", slides="glass")  # type: ignore[arg-type]
