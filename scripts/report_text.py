"""What reports add to clinical covariates, in which form: docs/report-text.md.

KEMM_DATA=/folder/of/the/data python scripts/report_text.py

Raw text, what the rules refine from it, the fields as covariates, and what other groups' language models made of
the same reports, each through the same linear model, on the same cases and the published folds.
"""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd

from kemm import Study
from kemm.core.errors import Faults
from kemm.core.store import Store
from kemm.execution import Processes, usable_cores
from kemm.modalities.encoders import fit_encoder
from kemm.modalities.reports import RefinedReport
from kemm.pipeline import Silent
from kemm.pipeline.inputs import read_inputs
from kemm.pipeline.prepare import prepare
from kemm.survival.metrics import FoldRisks, bootstrap_concordance
from kemm.training.dataset import StudyData
from kemm.training.features import FoldTransforms, refined_text
from kemm.training.linear import TEXT, FittedView, Stack, View

ROOT = Path(__file__).parent.parent
COHORTS = ("brca", "luad", "kirc")
KINDS = {"stratified": "Stratified folds", "site": "Site-disjoint folds"}
ELSEWHERE = ("gpt-4o-mini summary", "question-answer list", "mixtral-8x7b fields")
FORMS = ("raw", "refined", "fields", "raw + refined", "all", *ELSEWHERE)
TITLES = {
    "raw": "raw text",
    "refined": "statements of the rules refiner",
    "fields": "fields of the rules refiner, as covariates",
    "raw + refined": "raw text and statements",
    "all": "raw text, statements and fields",
}
RESAMPLES = 1000


def study_data(cohort: str, kind: str) -> tuple[Study, StudyData, list]:  # type: ignore[type-arg]
    """A cohort prepared, with its folds."""
    files = f"{cohort.upper()}/splits/{kind}/fold_{{fold}}.csv"
    study = Study.load(
        ROOT / "examples" / f"tcga-{cohort}",
        ["folds.kind=files", f"folds.files={files}", "genomics=null", "slides=null"],
    )
    faults = Faults()
    inputs = read_inputs(study, faults)
    faults.raise_if_any()
    assert inputs is not None
    data = prepare(inputs, Store(study.store_folder), Processes(usable_cores()), Silent())
    return study, data, list(inputs.folds)


def elsewhere(cohort: str, data: StudyData) -> dict[str, list[str]]:
    """Other groups' texts by language model, in the cohort's order; "" where a case has none."""
    path = Path(os.environ["KEMM_DATA"]) / "tcga" / cohort.upper() / "reports_refined_elsewhere.parquet"
    table = pd.read_parquet(path)
    found = {}
    for llm, rows in table.groupby("llm"):
        text = dict(zip(rows["case_id"], rows["text"], strict=True))
        found[str(llm)] = [text.get(case, "") for case in data.cohort.ids]
    return found


def text_view(texts: list[str], train: list[int], study: Study) -> View:
    """Words of a text, by TF-IDF and singular vectors fitted on the training cases."""
    config = study.config.text.model_copy(update={"dim": study.config.features.text_components})
    encoder = fit_encoder(config, [texts[row] for row in train if texts[row]])
    return View(encoder.encode(texts).astype(np.float64), np.array([bool(text) for text in texts]), TEXT)


def views_of(
    study: Study, data: StudyData, train: list[int], others: dict[str, list[str]]
) -> dict[str, View]:
    """Every view of all cases, fitted on the training cases."""
    transforms = FoldTransforms.fit(
        data, train, config=study.config.features, text=study.config.text, genomics=None
    )
    features = transforms.apply(data, range(len(data.cohort)))

    def text(of: RefinedReport | None, refined: bool) -> str:
        return "" if of is None else refined_text(of) if refined else of.text

    raw = [text(one, False) for one in data.reports]
    refined = [text(one, True) for one in data.reports]
    return {
        "clinical": features.views["covariates"],
        "fields": features.views["fields"],
        "raw": text_view(raw, train, study),
        "refined": text_view(refined, train, study),
        **{name: text_view(texts, train, study) for name, texts in others.items()},
    }


PARTS = {"raw + refined": ("raw", "refined"), "all": ("raw", "refined", "fields")}


def risks(
    study: Study,
    data: StudyData,
    folds: list,
    forms: tuple[str, ...],
    others: dict[str, list[str]],
    cases: np.ndarray,  # type: ignore[type-arg]
) -> list[FoldRisks]:
    """Risks of the test cases: the clinical model, each form by itself, and each beside the clinical one."""
    chosen = set(np.flatnonzero(cases).tolist())
    found = []
    for fold in folds:
        train = [row for row in fold.train if row in chosen]
        test = [row for row in fold.test if row in chosen]
        views = views_of(study, data, train, others)
        models = {"clinical": ("clinical",)}
        for form in forms:
            models[form] = PARTS.get(form, (form,))
            models[f"clinical + {form}"] = ("clinical", *PARTS.get(form, (form,)))
        at = {name: np.array(rows) for name, rows in (("train", train), ("test", test))}
        outcome = data.cohort.months[train], data.cohort.event[train]
        fitted = {
            name: FittedView.fit(view.take(at["train"]), *outcome, seed=0) for name, view in views.items()
        }
        risk = {}
        for model, parts in models.items():
            stack, _ = Stack.of({name: fitted[name] for name in parts}, *outcome)
            risk[model] = stack.log_risk({name: views[name].take(at["test"]) for name in parts})
        found.append(
            FoldRisks(
                cases=[data.cohort.ids[row] for row in test],
                months=data.cohort.months[test],
                event=data.cohort.event[test],
                risks=risk,
            )
        )
    return found


def rows_for(kind: str, cohort: str, names: tuple[str, ...] | None) -> tuple[list[str], str]:
    """Lines of a table: kemm's own forms on all cases with a report, or one other group's on its cases."""
    study, data, folds = study_data(cohort, kind)
    has_report = np.array([report is not None for report in data.reports])
    others = elsewhere(cohort, data) if names else {}
    forms = ("raw", "refined", "fields", "raw + refined", "all")
    if names:
        (name,) = names
        if name not in others:
            return [], ""
        others = {name: others[name]}
        forms = ("raw", "refined", name)
        has_report &= np.array([bool(text) for text in others[name]])
    result = bootstrap_concordance(
        risks(study, data, folds, forms, others, has_report), resamples=RESAMPLES, seed=0
    )
    cases, events = int(has_report.sum()), int(data.cohort.event[has_report].sum())
    lines = [f"| {cohort.upper()} | clinical | - | {_c(result, 'clinical')} | |"]
    for form in forms:
        gap = result.difference(f"clinical + {form}", "clinical")
        lines.append(
            f"| {cohort.upper()} | {TITLES.get(form, form)} | {_c(result, form)} | {_c(result, f'clinical + {form}')} "
            f"| {gap.value:+.3f} ({gap.lower:+.3f} to {gap.upper:+.3f}) |"
        )
    return lines, f"{cohort.upper()} {cases} cases, {events} deaths"


def _c(result, model: str) -> str:  # type: ignore[no-untyped-def]
    one = result.estimate(model)
    return f"{one.value:.3f} ({one.lower:.3f} to {one.upper:.3f})"


def run_task(context: None, task: tuple[str, str, tuple[str, ...] | None]) -> tuple[list[str], str]:
    """A part of the page, for a worker."""
    return rows_for(*task)


HEAD = [
    "| cohort | form of the report | C alone | C beside clinical | minus clinical |",
    "|---|---|---|---|---|",
]


def main() -> None:
    """Run everything, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, default=ROOT / "docs" / "report-text.md")
    options = parser.parse_args()
    page = [
        "# What the report adds, and in which form",
        "",
        f"Made on {datetime.now(UTC):%Y-%m-%d} by `python scripts/report_text.py` with the data folder in KEMM_DATA. Overall survival, 5 "
        "published folds. Each form of the report goes through the same linear model: words by TF-IDF and 200 singular vectors, a ridge "
        "Cox, and a stack with the Cox model of age, sex, stage and grade, all fitted on the training part. Harrell's C over the pairs "
        f"of all folds, with the 95 % interval of {RESAMPLES:,} resamples of patients; differences are paired. Only cases with a report count. Intervals are not corrected for the many comparisons.",
        "",
        "The settings of the stack were chosen on these cohorts' stratified folds, for raw text and statements together.",
    ]
    tasks = [
        (kind, cohort, names)
        for kind in KINDS
        for cohort in COHORTS
        for names in (None, *((name,) for name in ELSEWHERE))
    ]
    for cohort in COHORTS:
        study_data(cohort, "site")  # refined once, before several processes want it
    # Workers know this file by its name, not as the program that was started.
    work = import_module("report_text").run_task
    found = dict(Processes(usable_cores())(work, None, tasks))
    for kind, title in KINDS.items():
        page += ["", f"## {title}", "", *HEAD]
        own = [found[kind, cohort, None] for cohort in COHORTS]
        page += [line for lines, _ in own for line in lines]
        page += ["", "; ".join(cases for _, cases in own) + "."]
        page += ["", f"### Texts that other groups' language models made, {title.lower()}", "", *HEAD]
        others = [(name, found[kind, cohort, (name,)]) for name in ELSEWHERE for cohort in COHORTS]
        page += [line for _, (lines, _) in others for line in lines]
        told = "; ".join(f"{name}: {cases}" for name, (_, cases) in others if cases)
        page += ["", f"Each on the cases that have that text and a report. {told}."]
    options.write.write_text("\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    if "KEMM_DATA" not in os.environ:
        raise SystemExit("set KEMM_DATA to the folder that holds tcga/")
    main()
