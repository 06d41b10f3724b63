"""The pictures of a comparison: where things are drawn, what is read out, and what may not break them."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from kemm.results.comparison.ranking import rank_models
from kemm.results.comparison.records import (
    RankedModel,
    Ranking,
    SimultaneousDifference,
    SubgroupRow,
    Subgroups,
    SubgroupTable,
)
from kemm.results.records import Cell
from kemm.results.report.comparison_panels import (
    differences_panel,
    interactions_panel,
    ranking_panel,
    subgroups_panel,
)
from kemm.results.report.forest import ForestRow, forest
from kemm.results.report.labelled import WIDTH, shortened
from kemm.results.report.wording import Titles

TITLES = Titles(main="KEMM with covariates", clinical="Clinical Cox", site='Site <img src="x"> & "co"')


def ranking(groups: list[list[str]], *, critical_difference: float | None = 1.5, p: float = 0.001) -> Ranking:
    return Ranking(
        metric="harrell_c",
        blocks=15,
        models=[
            RankedModel(model=name, mean_rank=rank)
            for name, rank in (("main", 1.5), ("clinical", 2.0), ("genes", 3.0), ("site", 3.5))
        ],
        statistic=20.0,
        degrees_of_freedom=3,
        p=p,
        level=0.05,
        method="nemenyi" if critical_difference else "wilcoxon-holm",
        critical_difference=critical_difference,
        pairs=[],
        groups=groups,
        caution="Mind the blocks.",
    )


OVERLAPPING = [["main", "clinical"], ["clinical", "genes", "site"]]


def parsed(picture: str) -> ElementTree.Element:
    return ElementTree.fromstring(picture)


def circles(picture: str) -> list[float]:
    return [float(dot.attrib["cx"]) for dot in parsed(picture).iter("circle")]


def lines(picture: str, **wanted: str) -> list[tuple[float, float, float, float]]:
    return [
        tuple(float(each.attrib[name]) for name in ("x1", "y1", "x2", "y2"))  # type: ignore[misc]
        for each in parsed(picture).iter("line")
        if all(each.attrib.get(name.replace("_", "-")) == value for name, value in wanted.items())
    ]


# --- ranks


def test_ranks_lie_on_their_scale_and_the_bar_is_as_long_as_the_critical_difference() -> None:
    picture = ranking_panel(ranking(OVERLAPPING), TITLES).picture
    first, second, third, last = circles(picture)
    unit = third - second
    assert (second - first) / unit == pytest.approx(0.5, abs=0.01)
    assert (last - third) / unit == pytest.approx(0.5, abs=0.01)
    (bar,) = lines(picture, stroke_width="2")
    assert (bar[2] - bar[0]) / unit == pytest.approx(1.5, abs=0.01)
    assert "critical difference 1.50" in picture


def test_lines_of_groups_span_their_models_and_stand_side_by_side_where_they_overlap() -> None:
    picture = ranking_panel(ranking(OVERLAPPING), TITLES).picture
    heights = [float(dot.attrib["cy"]) for dot in parsed(picture).iter("circle")]
    one, other = lines(picture, stroke_width="3")
    assert (one[1], one[3]) == (heights[0] - 5, heights[1] + 5)
    assert (other[1], other[3]) == (heights[1] - 5, heights[3] + 5)
    assert max(circles(picture)) < one[0] < other[0] < WIDTH
    apart = ranking_panel(ranking([["main", "clinical"], ["genes", "site"]]), TITLES).picture
    one, other = lines(apart, stroke_width="3")
    assert one[0] == other[0]


def test_a_critical_difference_longer_than_the_scale_stays_inside() -> None:
    picture = ranking_panel(ranking([], critical_difference=9.0), TITLES).picture
    (bar,) = lines(picture, stroke_width="2")
    assert bar[2] < WIDTH
    assert "critical difference 9.00" in picture
    without = ranking_panel(ranking([], critical_difference=None), TITLES).picture
    assert "critical difference" not in without


def test_a_ranking_is_read_out() -> None:
    panel = ranking_panel(ranking(OVERLAPPING), TITLES)
    assert panel.words.startswith(
        "Mean ranks over 15 blocks, 1 is best: KEMM with covariates 1.50, Clinical Cox 2.00, genes 3.00, "
    )
    assert "The models differ (Friedman's test, p = 0.001)." in panel.words
    assert (
        "Not told apart: KEMM with covariates and Clinical Cox. Not told apart: Clinical Cox, genes and"
        in panel.words
    )
    assert panel.words.endswith("Mind the blocks.")
    assert parsed(panel.picture).attrib["aria-label"] == f"Ranks by Harrell's C. {panel.words}"
    assert "All are told apart." in ranking_panel(ranking([]), TITLES).words
    alike = ranking_panel(ranking([["main", "clinical", "genes", "site"]], p=0.2), TITLES).words
    assert "The models are not shown to differ (Friedman's test, p = 0.20)." in alike


def test_a_ranking_of_real_scores_draws() -> None:
    scores = {f"model {place}": [place + 0.1 * block for block in range(6)] for place in range(14)}
    found = rank_models(scores, independent=True)
    picture = ranking_panel(found, TITLES).picture
    assert len(circles(picture)) == 14
    assert circles(picture) == sorted(circles(picture))
    # With many models the scale names only its ends.
    assert [each.text for each in parsed(picture).iter("text") if each.text and each.text.isdigit()] == [
        "1",
        "14",
    ]


# --- forest


def difference(baseline: str, value: float, *, model: str = "main") -> SimultaneousDifference:
    return SimultaneousDifference(
        model=model,
        baseline=baseline,
        value=value,
        low=value - 0.02,
        high=value + 0.02,
        p=0.01,
        simultaneous_low=value - 0.03,
        simultaneous_high=value + 0.03,
        adjusted_p=0.02,
        cases=480,
    )


def test_differences_lie_on_one_scale_with_both_their_intervals() -> None:
    panel = differences_panel([difference("clinical", 0.01), difference("site", 0.05)], TITLES)
    one, other = circles(panel.picture)
    unit = (other - one) / 0.04
    own, wide = lines(panel.picture, **{"class": "s-main thick"}), lines(panel.picture, **{"class": "s-base"})
    assert [line[2] - line[0] for line in own] == pytest.approx([0.04 * unit] * 2, rel=0.01)
    assert [line[2] - line[0] for line in wide] == pytest.approx([0.06 * unit] * 2, rel=0.01)
    zero = {line[0] for line in lines(panel.picture, **{"class": "s-muted"})}
    assert len(zero) == 1
    assert one - zero.pop() == pytest.approx(0.01 * unit, abs=0.2)
    assert (
        "against Clinical Cox: +0.010 (95% interval −0.010 to +0.030; together with the others −0.020 to +0.040)."
        in parsed(panel.picture).attrib["aria-label"]
    )
    assert panel.title == "Differences in Harrell's C, KEMM with covariates"


def test_differences_of_several_models_name_both() -> None:
    both = [difference("clinical", 0.01), difference("clinical", 0.02, model="genes")]
    assert "genes against Clinical Cox" in differences_panel(both, TITLES).picture


def cell(value: float | None, reason: str | None = None) -> Cell:
    if value is None:
        return Cell(reason=reason)
    return Cell(value=value, low=value - 0.02, high=value + 0.02)


def level(name: str, gain: Cell, interaction: Cell | None = None) -> SubgroupRow:
    return SubgroupRow(
        level=name,
        cases=240,
        events=60,
        model=cell(0.7),
        reference=cell(0.65),
        gain=gain,
        interaction=interaction,
    )


GROUPS = Subgroups(
    model="main",
    reference="clinical",
    whole=level("all patients", cell(0.03)),
    tables=[
        SubgroupTable(
            variable="sex",
            rows=[level("F", cell(0.02)), level("M", cell(0.04), cell(0.02))],
            missing=3,
        ),
        SubgroupTable(
            variable="site",
            rows=[level('<script>"A" & B', cell(None, "4 events, fewer than 10"))],
            missing=0,
        ),
    ],
)


def test_subgroups_stand_below_their_variable_and_a_dash_says_why() -> None:
    panel = subgroups_panel(GROUPS, TITLES)
    label = parsed(panel.picture).attrib["aria-label"]
    assert len(circles(panel.picture)) == 3
    assert (
        "all patients (60 events): +0.030 (95% interval +0.010 to +0.050). sex, 3 patients unknown: F"
        in label
    )
    assert 'site: <script>"A" & B (60 events): no value, 4 events, fewer than 10.' in label
    assert "– 4 events, fewer than 10" in panel.picture
    assert panel.title == "Gain in Harrell's C, KEMM with covariates against Clinical Cox"


def test_interactions_name_what_a_level_is_compared_with() -> None:
    panel = interactions_panel(GROUPS, TITLES)
    assert (
        "sex: M, not F: +0.020 (95% interval 0.000 to +0.040)." in parsed(panel.picture).attrib["aria-label"]
    )
    assert len(circles(panel.picture)) == 1


def test_rows_without_any_value_still_draw() -> None:
    rows = [ForestRow(name="sex"), ForestRow(name="F", reason="no comparable pair")]
    assert circles(forest(rows, label="Gain.")) == []
    assert circles(forest([ForestRow(name="F", value=0.1)], label="Gain.")) != []
    assert parsed(forest([], label="Nothing.")).attrib["aria-label"] == "Nothing."


def test_nothing_is_drawn_outside_the_picture() -> None:
    rows = [
        ForestRow(name=f"level {place}", value=v, low=v - 0.2, high=v + 0.1)
        for place, v in enumerate((-1.0, 0.3))
    ]
    found = forest(rows, label="Gain.")
    ends = [x for line in lines(found) for x in (line[0], line[2])] + circles(found)
    assert 0 <= min(ends) <= max(ends) <= WIDTH


@pytest.mark.parametrize(
    "picture",
    [
        ranking_panel(ranking(OVERLAPPING), TITLES).picture,
        subgroups_panel(GROUPS, TITLES).picture,
        differences_panel([difference("site", 0.05)], TITLES).picture,
    ],
    ids=["ranks", "subgroups", "differences"],
)
def test_names_are_never_markup_and_colours_come_from_the_stylesheet(picture: str) -> None:
    tags = {element.tag for element in parsed(picture).iter()}
    assert tags <= {"svg", "g", "title", "text", "line", "circle"}
    assert not re.search(r' (style|fill|stroke|id|href|on\w+)="', picture)
    painted = [each for each in parsed(picture).iter() if each.tag in {"text", "line", "circle"}]
    assert all(re.match(r"[fs]-(ink|muted|grid|main|base)\b", each.attrib["class"]) for each in painted)


def test_a_long_name_is_cut_in_the_picture_and_whole_for_those_who_point_or_listen() -> None:
    name = "Hospital of a very long name in the north of a country, 日本"
    picture = forest([ForestRow(name=name, note="60 events", value=0.1, low=0.0, high=0.2)], label="Gain.")
    shown = [each.text or "" for each in parsed(picture).iter("text")]
    assert any(
        words.startswith("Hospital of") and "…" in words and words.endswith("60 events") for words in shown
    )
    assert name in parsed(picture).attrib["aria-label"]
    assert any(name in (each.text or "") for each in parsed(picture).iter("title"))
    assert shortened("abcdef", 1000) == "abcdef"
    assert shortened("abc defgh", 5 * 6.2 + 0.1) == "abc…"
