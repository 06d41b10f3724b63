"""What a person sees in the terminal of a comparison: the answer, the table of models, what must not be missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from kemm.terminal import duration

if TYPE_CHECKING:
    from kemm.results.comparison.records import Comparison, MeanRow, StudyComparison
    from kemm.results.records import Cell
    from kemm.results.report.wording import Titles

NAME_WIDTH = 26
C, C_INTERVAL = ("C", 5), ("95 % interval", 14)
GAIN, GAIN_INTERVAL = ("gain", 6), ("95 % interval", 16)
"""Columns, and how wide their numbers may be."""


def print_comparison(console: Console, comparison: Comparison) -> None:
    """For each cohort the answer in a line and a row a model; then the mean over cohorts."""
    for study in comparison.studies:
        _print_study(console, study)
    if comparison.mean:
        _print_mean(console, comparison.mean)


def _print_study(console: Console, study: StudyComparison) -> None:
    from kemm.results.report import comparison_wording as compared
    from kemm.results.report.wording import Titles

    titles = Titles({model.name: model.title for model in study.evaluation.models})
    found = compared.answer(study, titles, study.evaluation.cohort.name)
    console.print()
    console.print(f"[bold]{escape(found.word)}.[/] {escape(found.sentence)}", highlight=False)
    console.print()
    console.print(_models(study), highlight=False)
    reference = titles[study.reference] if study.reference else ""
    console.print(f"[dim]{escape(_legend(reference))}[/]", highlight=False)
    if study.ablation_differences:
        console.print()
        console.print(_ablations(study), highlight=False)
    for reason in dict.fromkeys(one.reason for one in study.left_out):
        names = ", ".join(titles[one.model] for one in study.left_out if one.reason == reason)
        console.print(f"[dim]left out: {escape(names)}; {escape(reason)}[/]", highlight=False)
    _print_alarms(console, study, titles)


def _print_alarms(console: Console, study: StudyComparison, titles: Titles) -> None:
    from kemm.results.report import comparison_wording as compared

    for leak in study.leaks.errors:
        console.print(f"[red]leak: {escape(leak.told)} {escape(leak.remedy)}[/]", highlight=False)
    if study.controls is None:
        return
    for control in study.controls.faults:
        console.print(f"[red]{escape(compared.failure(control, titles))}[/]", highlight=False)
    for control in study.controls.warnings:
        console.print(f"[yellow]{escape(compared.failure(control, titles))}[/]", highlight=False)
    console.print(escape(compared.controls_sentence(study.controls)), highlight=False)


def _models(study: StudyComparison) -> Table:
    gains = {one.model: one for one in study.against_reference}
    seconds = {cost.model: cost.seconds for cost in study.costs}
    table = _table("model", C, C_INTERVAL, GAIN, GAIN_INTERVAL, ("time", 7))
    for model in study.evaluation.models:
        if model.role == "ablation":
            continue
        c, gain = model.metrics.get("harrell_c"), gains.get(model.name)
        title = escape(model.title)
        table.add_row(
            f"[bold]{title}[/]" if model.name == study.main else title,
            *_pair(c),
            f"{gain.value:+.3f}" if gain else "-",
            f"{gain.low:+.3f} to {gain.high:+.3f}" if gain else "-",
            duration(seconds[model.name]) if model.name in seconds else "-",
        )
    return table


def _ablations(study: StudyComparison) -> Table:
    from kemm.results.report import comparison_wording as compared

    change_of = {one.model: one for one in study.ablations}
    table = _table("main model, changed", ("change", 6), GAIN_INTERVAL, ("result", 24), room=31)
    for row in study.ablation_differences:
        one = change_of.get(row.model)
        words = compared.FAMILY_WORDS[one.family if one else "part"]
        table.add_row(
            escape(one.change if one else row.model),
            f"{row.value:+.3f}",
            f"{row.low:+.3f} to {row.high:+.3f}",
            words[compared.together(row)].word,
        )
    return table


def _print_mean(console: Console, rows: list[MeanRow]) -> None:
    table = _table("mean over cohorts", C, C_INTERVAL, GAIN, GAIN_INTERVAL, ("cohorts", 7))
    for row in rows:
        table.add_row(escape(row.title), *_pair(row.c), *_pair(row.gain, "+.3f"), str(row.cohorts))
    console.print()
    console.print(table, highlight=False)


def _table(first: str, *others: tuple[str, int], room: int = NAME_WIDTH) -> Table:
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(first, no_wrap=True, overflow="ellipsis", max_width=room)
    for name, width in others:
        # A long name is cut short; a number never is.
        table.add_column(name, justify="right", no_wrap=True, min_width=width)
    return table


def _legend(reference: str) -> str:
    gain = (
        f"gain: C less that of {reference}, each interval by itself"
        if reference
        else "no covariates, no gain"
    )
    return f"C: concordance, 0.5 is chance; {gain}; time: of all folds and seeds."


def _pair(cell: Cell | None, form: str = ".3f") -> tuple[str, str]:
    if cell is None or cell.value is None:
        return "-", "-"
    if cell.low is None or cell.high is None:
        return format(cell.value, form), "-"
    return format(cell.value, form), f"{cell.low:{form}} to {cell.high:{form}}"
