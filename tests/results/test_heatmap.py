"""Heatmaps: tiles land where they are, colours are ranks, and QuPath can read the objects."""

from __future__ import annotations

import base64
import io
import json
import warnings

import fake_results as fake
import numpy as np
import pytest
from documents import NASTY, Document
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from kemm.results.heatmap import (
    CAUTION,
    RISK_CAUTION,
    SlideAttention,
    SlideRisk,
    Thumbnail,
    draw_heatmap,
    geojson,
    limit_of,
    percentiles,
    picture,
    small_heatmap,
)
from kemm.results.heatmap.picture import OPACITY, _base, _painted
from kemm.results.records import SlideHeatmap
from kemm.results.report import render_report

PNG = b"\x89PNG"


def attention(weights: list[float], places: list[tuple[int, int]], **changes: object) -> SlideAttention:
    settings = {"slide": "S1", "tile_side": 100.0, **changes}
    return SlideAttention(
        coordinates=np.array(places, dtype=np.int32),
        weights=np.array(weights, dtype=np.float32),
        **settings,  # type: ignore[arg-type]
    )


def test_percentiles_by_hand() -> None:
    np.testing.assert_allclose(percentiles(np.array([10.0, 0.1, 2.0])), [1, 0, 0.5])
    # Two share the ranks 1 and 2 of 0 to 3.
    np.testing.assert_allclose(percentiles(np.array([5.0, 2.0, 2.0, 9.0])), [2 / 3, 1 / 6, 1 / 6, 1])
    np.testing.assert_allclose(percentiles(np.array([1.0, 1.0, 1.0])), 0.5)
    np.testing.assert_allclose(percentiles(np.array([3.0])), 0.5)


def test_a_tile_is_painted_where_it_lies_on_the_thumbnail() -> None:
    # 10 base pixels a thumbnail pixel, the thumbnail drawn twice as large: 5 a pixel of the picture.
    thumbnail = Thumbnail(np.full((40, 60, 3), 200, dtype=np.uint8), 10.0)
    one = attention([1.0, 3.0], [(100, 50), (400, 300)])
    base, scale, corner = _base(one, thumbnail, 120)
    assert base.shape == (80, 120, 3)
    assert scale == 5.0
    painted = _painted(base, one, scale, corner)
    changed = (painted != 200).any(axis=2)
    expected = np.zeros((80, 120), dtype=bool)
    expected[10:30, 20:40] = True
    expected[60:80, 80:100] = True
    np.testing.assert_array_equal(changed, expected)
    highest = 255 * np.array(colormaps[SlideAttention.COLOURS](1.0)[:3])
    np.testing.assert_allclose(painted[70, 90], 200 * (1 - OPACITY) + highest * OPACITY, atol=0.6)


def test_without_an_image_the_canvas_is_where_the_tiles_are() -> None:
    one = attention([1.0, 1.0], [(50_000, 70_000), (50_900, 70_000)])
    base, scale, corner = _base(one, None, 104)
    # A thousand wide with a margin of 2% on each side.
    np.testing.assert_allclose(corner, [49_980, 69_980])
    assert scale == 10.0
    assert base.shape[:2] == (14, 104)


def test_of_overlapping_tiles_the_one_looked_at_more_is_on_top() -> None:
    one = attention([5.0, 1.0], [(0, 0), (50, 0)])
    base, scale, corner = _base(one, Thumbnail(np.zeros((10, 15, 3), dtype=np.uint8), 10.0), 150)
    painted = _painted(base, one, scale, corner)
    np.testing.assert_array_equal(painted[50, 75], painted[50, 10])
    assert (painted[50, 120] != painted[50, 10]).any()


def test_a_tile_smaller_than_a_pixel_is_not_lost() -> None:
    one = attention([1.0, 2.0], [(0, 0), (90_000, 90_000)], tile_side=10.0)
    base, scale, corner = _base(one, Thumbnail(np.zeros((100, 100, 3), dtype=np.uint8), 1000.0), 100)
    assert (_painted(base, one, scale, corner) != 0).any(axis=2).sum() == 2


@pytest.mark.parametrize("mpp", [None, 0.25])
def test_the_picture_is_a_png_and_the_same_each_time(mpp: float | None) -> None:
    one = attention([0.2, 1.0, 2.5], [(0, 0), (100, 0), (100, 100)], mpp=mpp)
    tiles = {2: np.full((32, 32, 3), 90, dtype=np.uint8)}
    first = draw_heatmap(one, None, tiles)
    assert first.startswith(PNG)
    assert first == draw_heatmap(one, None, tiles)
    assert first != draw_heatmap(one)


def test_a_small_picture_keeps_to_its_size() -> None:
    random = np.random.default_rng(0)
    places = [(100 * x, 100 * y) for x in range(30) for y in range(30)]
    noise = Thumbnail(random.integers(0, 255, (600, 600, 3), dtype=np.uint8), 5.0)
    made = small_heatmap(attention(list(random.random(900)), places), noise, most_bytes=60_000)
    assert made.startswith(PNG)
    assert len(made) <= 60_000
    assert Image.open(io.BytesIO(made)).width > 200


def test_attention_that_hardly_differs_is_said_to_be_so() -> None:
    places = [(100 * x, 0) for x in range(20)]
    assert attention([0.9, 1.1] * 10, places).nearly_even
    # One tile of twenty may stand out.
    assert attention([3.0, *[0.95] * 19], places).nearly_even
    assert not attention([0.5, 1.5] * 10, places).nearly_even


def test_any_name_of_a_slide_can_be_drawn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = draw_heatmap(attention([1.0], [(0, 0)], slide=NASTY, asked_by=NASTY, mpp=0.5))
    assert made.startswith(PNG)


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ValueError, match="2 weights and coordinates"):
        attention([1.0, 1.0], [(0, 0)])
    with pytest.raises(ValueError, match="must be finite"):
        attention([float("nan")], [(0, 0)])
    with pytest.raises(ValueError, match="above 0"):
        attention([1.0], [(0, 0)], tile_side=0.0)
    with pytest.raises(ValueError, match="uint8"):
        Thumbnail(np.zeros((4, 4), dtype=np.uint8), 1.0)


# --- QuPath ----------------------------------------------------------------------------------------


def test_geojson_is_a_collection_of_closed_counterclockwise_squares() -> None:
    found = json.loads(json.dumps(geojson(attention([0.5, 3.25], [(100, 200), (300, 200)])), allow_nan=False))
    assert found["type"] == "FeatureCollection"
    assert found["note"] == CAUTION
    second = found["features"][1]
    assert second["type"] == "Feature"
    assert second["geometry"] == {
        "type": "Polygon",
        "coordinates": [[[300, 200], [400, 200], [400, 300], [300, 300], [300, 200]]],
    }
    ring = np.array(second["geometry"]["coordinates"][0])
    # The shoelace formula: above 0 is counterclockwise, as RFC 7946 asks of an outer ring.
    assert (ring[:-1, 0] * ring[1:, 1] - ring[1:, 0] * ring[:-1, 1]).sum() == 2 * 100 * 100
    assert second["properties"]["objectType"] == "tile"
    assert second["properties"]["measurements"] == {
        "Attention (times the even share)": 3.25,
        "Attention percentile": 100,
    }
    assert second["properties"]["classification"] == {"name": "Looked at: top 1%", "color": [253, 231, 37]}
    assert found["features"][0]["properties"]["classification"]["name"] == "Looked at: lower half"


# --- what the linear part makes of tiles -----------------------------------------------------------


def risk(values: list[float], places: list[tuple[int, int]], **changes: object) -> SlideRisk:
    settings = {
        "slide": "S1",
        "tile_side": 100.0,
        "case_tiles": len(values),
        "case_sum": float(np.mean(values)),
        "limit": 2.0,
        **changes,
    }
    return SlideRisk(
        coordinates=np.array(places, dtype=np.int32),
        weights=np.array(values, dtype=np.float32),
        **settings,  # type: ignore[arg-type]
    )


ROW = [(0, 0), (100, 0), (200, 0), (300, 0), (400, 0)]


def test_colours_of_risk_are_even_on_both_sides_of_zero() -> None:
    one = risk([-4.0, -1.0, 0.0, 1.0, 2.0], ROW)
    np.testing.assert_allclose(one.shades, [0, 0.25, 0.5, 0.75, 1])
    lowers, zero, raises = (np.array(picture.colours_of(one)(place)[:3]) for place in (0.1, 0.5, 0.9))
    assert lowers[2] > lowers[0]  # blue
    assert raises[0] > raises[2]  # orange
    assert zero.min() > 0.9
    # Of tiles that overlap the one further from zero is seen.
    assert one.on_top.argsort(kind="stable").tolist() == [2, 1, 3, 0, 4]


def test_tiles_add_up_to_what_the_slides_add() -> None:
    # Three tiles here and one on another slide of the case, at 5.
    one = risk([1.0, -2.0, 4.0], ROW[:3], case_tiles=4, case_sum=2.0)
    np.testing.assert_allclose(one.adds, [0.25, -0.5, 1.0])
    assert one.adds.sum() + 5 / 4 == one.case_sum
    assert "All 4 tiles of this patient add +2.000 to the log risk (hazard × 7.39)" in one.heading


def test_the_tiles_that_raise_and_those_that_lower_the_risk_most_are_shown() -> None:
    one = risk([0.1, -3.0, 2.0, 0.0, 1.0], ROW)
    assert one.strongest(4) == [2, 4, 3, 1]
    assert one.strongest(8) == [2, 4, 0, 3, 1]
    assert [one.said(tile) for tile in (2, 0, 3, 1)] == ["+2.00", "+0.10", "0", "-3.00"]


def test_few_extreme_tiles_do_not_leave_the_others_pale() -> None:
    assert limit_of(np.array([*[0.5, -0.5] * 500, 80.0])) == 0.5
    assert limit_of(np.array([0.0] * 999 + [-3.0])) == 3.0
    assert limit_of(np.zeros(4)) == 1.0


def test_risk_is_written_for_qupath() -> None:
    found = json.loads(json.dumps(geojson(risk([-2.0, 0.5], ROW[:2])), allow_nan=False))
    assert (found["of"], found["case_tiles"], found["case_sum"]) == ("risk", 2, -0.75)
    assert RISK_CAUTION in found["note"]
    first, second = (one["properties"] for one in found["features"])
    assert first["classification"]["name"] == "Linear part: lowers the risk, more"
    assert second["classification"]["name"] == "Linear part: raises the risk"
    assert second["measurements"] == {"Adds to the log risk": 0.25, "Log risk, were all tiles like it": 0.5}


def test_a_map_of_risk_is_drawn_within_its_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[picture.Figure] = []
    kept = picture.Figure.savefig
    monkeypatch.setattr(
        picture.Figure,
        "savefig",
        lambda self, *rest, **named: (made.append(self), kept(self, *rest, **named))[1],
    )
    assert draw_heatmap(risk([-2.0, 0.5, 12.0], ROW[:3], limit=12.0)).startswith(PNG)
    figure = made[0]
    renderer = FigureCanvasAgg(figure).get_renderer()
    legend = [text for axes in figure.axes for text in axes.get_yticklabels() if text.get_text()]
    assert [text.get_text() for text in legend][-1] == "+12.00  raises"
    right = figure.get_figwidth() * picture.DPI
    assert all(text.get_window_extent(renderer).x1 <= right for text in [*legend, *figure.texts])


@pytest.mark.parametrize("changes", [{"limit": 0.0}, {"case_tiles": 1}])
def test_a_map_of_risk_without_a_scale_or_with_too_few_tiles_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="the limit of the colours must be above 0"):
        risk([1.0, 2.0], ROW[:2], **changes)


# --- in the report ---------------------------------------------------------------------------------


def test_a_story_shows_its_heatmap_and_the_policy_lets_it() -> None:
    png = base64.b64encode(draw_heatmap(attention([1.0], [(0, 0)]))).decode()
    explanation = fake.explanation()
    shown = SlideHeatmap(slide=NASTY, png=png, caption=f"4 tiles. {CAUTION}")
    story = explanation.cases[0].model_copy(update={"heatmaps": [shown]})
    html = render_report(
        fake.evaluation(),
        explanation.model_copy(update={"cases": [story, *explanation.cases[1:]]}),
        fake.run_record(),
    )
    page = Document(html)
    images = page.all("img")
    assert [image["src"] for image in images] == [f"data:image/png;base64,{png}"]
    assert images[0]["alt"] == f"Heatmap of the attention to the tiles of slide {NASTY}"
    assert "<script" not in html
    assert CAUTION in page.text
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv"))
    assert policy is not None
    assert "; img-src data:; base-uri 'none'" in policy


def test_a_heatmap_record_is_base64_and_nothing_else() -> None:
    with pytest.raises(ValueError, match="should match pattern"):
        SlideHeatmap(slide="S", png='"><script>', caption="")


def test_words_above_a_small_picture_are_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[picture.Figure] = []
    kept = picture.Figure.savefig
    monkeypatch.setattr(
        picture.Figure,
        "savefig",
        lambda self, *rest, **named: (made.append(self), kept(self, *rest, **named))[1],
    )
    places = [(100 * x, 0) for x in range(20)]
    small_heatmap(attention([0.9, 1.1] * 10, places))
    figure = made[0]
    width = figure.get_figwidth() * picture.DPI
    renderer = FigureCanvasAgg(figure).get_renderer()
    words = next(text for text in figure.texts if text.get_text().startswith("Attention of"))
    assert "\n" in words.get_text()
    assert words.get_window_extent(renderer).x1 <= width
