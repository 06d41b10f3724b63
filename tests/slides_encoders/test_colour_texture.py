"""The built-in encoder: what its numbers are, what leaves them alone, and what they tell apart."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tiny_encoders import tiles_of
from tissues import EOSIN, HAEMATOXYLIN, TISSUES, tile

from kemm.core.errors import InputError
from kemm.modalities.slides import TILE_ENCODERS, TileEncoder, TileEncoderConfig
from kemm.modalities.slides.encoders.colour_texture import ColourTexture, feature_names

ENCODER = ColourTexture()
NAMES = feature_names()


def numbers(image: np.ndarray) -> dict[str, float]:
    return dict(zip(NAMES, ENCODER.encode(image[None])[0].astype(float), strict=True))


def stained(haematoxylin: float, eosin: float) -> np.ndarray:
    """A tile of one colour: optical densities of stains at full strength are those of their vectors."""
    density = haematoxylin * HAEMATOXYLIN / np.linalg.norm(HAEMATOXYLIN) + eosin * EOSIN / np.linalg.norm(
        EOSIN
    )
    return np.broadcast_to(np.round(256 * 10**-density - 1), (128, 128, 3)).astype(np.uint8)


def test_it_is_an_encoder_of_64_numbers_each_with_a_name() -> None:
    made = TILE_ENCODERS["colour-texture"](TileEncoderConfig())
    assert isinstance(made, TileEncoder)
    assert (made.dim, made.tile_px, made.tile_side_um) == (64, 128, 112.0)
    assert len(set(NAMES)) == 64
    vectors = made.encode(tiles_of(128, 3))
    assert (vectors.shape, vectors.dtype) == ((3, 64), np.float16)


@pytest.mark.parametrize(("haematoxylin", "eosin"), [(0.8, 0.0), (0.0, 0.6), (0.5, 0.4)])
def test_the_amounts_of_the_stains_are_found(haematoxylin: float, eosin: float) -> None:
    found = numbers(stained(haematoxylin, eosin))
    # A value of a pixel is a whole number, which is a hundredth or so of density here.
    assert found["h: mean"] == pytest.approx(haematoxylin, abs=0.02)
    assert found["e: mean"] == pytest.approx(eosin, abs=0.02)
    assert found["rest: mean"] == pytest.approx(0, abs=0.02)
    for quantile in ("0.05", "0.5", "0.95"):
        assert found[f"h: quantile {quantile}"] == pytest.approx(haematoxylin, abs=0.02)
    assert found["h at 1 px: mean gradient"] == 0
    assert found["h: standard deviation"] < 1e-5


def test_white_and_black_are_finite_and_known() -> None:
    white = numbers(np.full((128, 128, 3), 255, np.uint8))
    assert white["density: mean"] == 0
    assert white["density: share of clear pixels"] == 1
    black = numbers(np.zeros((128, 128, 3), np.uint8))
    assert black["density: mean"] == pytest.approx(np.log10(256), abs=1e-2)
    assert all(np.isfinite([*white.values(), *black.values()]))


@pytest.mark.parametrize("stain", ["h", "e"])
def test_the_bins_of_a_histogram_are_shares_of_all_pixels(stain: str) -> None:
    found = numbers(tile("stroma", 0))
    assert sum(value for name, value in found.items() if name.startswith(f"{stain}: hist")) == pytest.approx(
        1, abs=1e-2
    )


def test_the_third_moment_is_that_of_the_densities() -> None:
    image = stained(0.2, 0.0).copy()
    image[:32] = stained(1.0, 0.0)[:32]
    found = numbers(image)
    # A quarter at 1.0 and three at 0.2: mean 0.4, variance 0.12, third central moment 0.048.
    assert found["h: mean"] == pytest.approx(0.4, abs=0.01)
    assert found["h: standard deviation"] == pytest.approx(0.12**0.5, abs=0.01)
    assert found["h: cube root of the third moment"] == pytest.approx(0.048 ** (1 / 3), abs=0.01)


def test_stripes_have_a_direction_and_noise_has_none() -> None:
    stripes = np.where((np.arange(128) // 8 % 2)[:, None, None], stained(0.0, 0.5), stained(0.0, 0.2))
    assert numbers(stripes)["e at 1 px: anisotropy"] > 0.95
    assert numbers(tiles_of(128, 1)[0])["e at 1 px: anisotropy"] < 0.1


# --- what changes nothing, and what does ---------------------------------------------------------


def test_the_same_tiles_give_the_same_bytes_however_many_and_in_whatever_order() -> None:
    tiles = tiles_of(128, 70)
    whole = ENCODER.encode(tiles)
    np.testing.assert_array_equal(ColourTexture().encode(tiles), whole)
    np.testing.assert_array_equal(
        np.concatenate([ENCODER.encode(tiles[i : i + 1]) for i in range(70)]), whole
    )
    np.testing.assert_array_equal(ENCODER.encode(tiles[::-1]), whole[::-1])
    assert ENCODER.encode(tiles[:0]).shape == (0, 64)


@pytest.mark.parametrize("tissue", TISSUES)
def test_turning_by_a_quarter_and_mirroring_change_nothing(tissue: str) -> None:
    image = tile(tissue, 1)
    turned = [np.rot90(image, quarter) for quarter in range(4)]
    vectors = ENCODER.encode(np.stack([*turned, *(side[:, ::-1] for side in turned)])).astype(float)
    np.testing.assert_allclose(vectors, np.broadcast_to(vectors[0], vectors.shape), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("change", "least"),
    [
        (lambda image: image[..., ::-1], 0.1),  # red for blue
        (lambda image: tile("stroma", 2, stain=1.2), 0.05),  # more stain
        (lambda image: np.kron(image[:64, :64], np.ones((2, 2, 1), np.uint8)), 0.02),  # twice the size
        (lambda image: np.random.default_rng(0).permutation(image.reshape(-1, 3)).reshape(image.shape), 0.1),
        (lambda image: np.broadcast_to(image.mean((0, 1)).astype(np.uint8), image.shape), 0.1),
        (lambda image: np.clip(image.astype(int) + 15, 0, 255).astype(np.uint8), 0.02),  # brighter
    ],
    ids=["channels", "stain", "scale", "shuffled pixels", "flat", "brightness"],
)
def test_other_changes_are_seen(change: object, least: float) -> None:
    assert callable(change)
    image = tile("stroma", 2, stain=1.0)
    one, other = ENCODER.encode(np.stack([image, change(image)])).astype(float)
    assert np.abs(one - other).max() > least


def test_shuffled_pixels_change_the_texture_only() -> None:
    image = tile("lymphocytes", 3)
    shuffled = np.random.default_rng(0).permutation(image.reshape(-1, 3)).reshape(image.shape)
    before, after = numbers(image), numbers(shuffled)
    colour = [name for name in NAMES if ":" in name and "px" not in name and "blocks" not in name]
    assert len(colour) == 39
    for name in colour:
        assert after[name] == pytest.approx(before[name], abs=2e-3), name
    assert after["h at 1 px: mean gradient"] > 1.5 * before["h at 1 px: mean gradient"]


# --- what it tells apart -------------------------------------------------------------------------


def probe_set(seeds: range) -> tuple[np.ndarray, np.ndarray]:
    labels = [tissue for tissue in TISSUES for _ in seeds]
    tiles = np.stack([tile(tissue, seed) for tissue in TISSUES for seed in seeds])
    return ENCODER.encode(tiles).astype(float), np.array(labels)


def test_a_linear_probe_separates_tissues_whatever_the_strength_of_the_stain() -> None:
    vectors, labels = probe_set(range(24))
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(vectors, labels)
    vectors, labels = probe_set(range(100, 116))
    assert probe.score(vectors, labels) >= 0.97


@pytest.mark.parametrize("tiles", [tiles_of(224), tiles_of(128).astype(np.float32)], ids=["side", "floats"])
def test_other_tiles_are_refused(tiles: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"'colour-texture' takes tiles \(tile, 128, 128, 3\) of uint8, not"):
        ENCODER.encode(tiles)
