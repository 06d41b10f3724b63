"""The figures of a comparison with their titles and words, as the page shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from kemm.results.comparison.records import AddedValue, Ranking, SimultaneousDifference, Subgroups
from kemm.results.report.forest import (
    cell_row,
    difference_row,
    difference_rows,
    forest,
    interaction_rows,
    subgroup_rows,
)
from kemm.results.report.panels import Panel
from kemm.results.report.ranks import critical_difference, ranking_words
from kemm.results.report.wording import Titles, metric_title

BOTH_INTERVALS: Final = (
    "Dot: the difference. Bar: its own 95% interval. Thin line: the interval that holds for all differences "
    "at once."
)


def gains_panel(entries: Sequence[AddedValue], titles: Titles) -> Panel:
    """By how much C of the clinical model rises with each model added to it."""
    title = f"Gain in Harrell's C over {titles[entries[0].reference]}"
    rows = [cell_row(titles[each.model], "", each.c_gain) for each in entries]
    return Panel(
        title,
        forest(rows, label=f"{title}.", left="takes away", right="adds"),
        "Each model's risk is added to that of the clinical model, weighed on the test patients of the other folds. Bar: 95% "
        "interval, of each by itself.",
    )


def ranking_panel(ranking: Ranking, titles: Titles) -> Panel:
    """Mean ranks, and who is not told apart."""
    title = f"Ranks by {metric_title(ranking.metric)}"
    words = ranking_words(ranking, titles)
    return Panel(title, critical_difference(ranking, titles, label=f"{title}. {words}"), words)


def differences_panel(differences: Sequence[SimultaneousDifference], titles: Titles) -> Panel:
    """Paired differences of one metric with their intervals."""
    models = {each.model for each in differences}
    title = f"Differences in {metric_title(differences[0].metric)}"
    if len(models) == 1:
        title = f"{title}, {titles[differences[0].model]}"
    return Panel(
        title,
        forest(difference_rows(differences, titles), label=f"{title}."),
        BOTH_INTERVALS,
    )


def against_panel(differences: Sequence[SimultaneousDifference], titles: Titles) -> Panel:
    """Differences of many models to one, each named by its model."""
    title = f"Differences in {metric_title(differences[0].metric)}, against {titles[differences[0].baseline]}"
    rows = [difference_row(each, titles[each.model]) for each in differences]
    return Panel(title, forest(rows, label=f"{title}."), BOTH_INTERVALS)


def ablations_panel(
    differences: Sequence[SimultaneousDifference], changes: Mapping[str, str], titles: Titles
) -> Panel:
    """What is lost where a part is taken away; `changes` says by model what that is."""
    title = f"Differences in {metric_title(differences[0].metric)}, changed minus {titles[differences[0].baseline]}"
    rows = [difference_row(each, changes.get(each.model, titles[each.model])) for each in differences]
    return Panel(title, forest(rows, label=f"{title}."), BOTH_INTERVALS)


def subgroups_panel(found: Subgroups, titles: Titles) -> Panel:
    """What the model gains in each part of the patients."""
    title = f"Gain in Harrell's C, {titles[found.model]} against {titles[found.reference]}"
    return Panel(
        title,
        forest(subgroup_rows(found), label=f"{title}."),
        "Pairs of patients of the same level and fold. Each interval is for its level alone; of many levels, some leave "
        "out zero by chance, and one that includes it does not show that the model gains nothing there.",
    )


def interactions_panel(found: Subgroups, titles: Titles) -> Panel:
    """Whether gains differ between parts of the patients."""
    title = f"Does the gain of {titles[found.model]} differ between patients?"
    return Panel(
        title,
        forest(interaction_rows(found), label=title, left="gains less", right="gains more"),
        "Gain of a level minus that of the first one of its variable. An interval that includes zero: no difference is shown.",
    )
