"""Reads and checks every input of a study, and tells all that is wrong with them at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kemm.config import Study
from kemm.core.clinical import read_cohort
from kemm.core.cohort import Cohort
from kemm.core.columns import counted
from kemm.core.errors import Fault, Faults, InputError, KemmError
from kemm.core.files import read_json, read_table, sha256_of
from kemm.core.study_file import FILE_NAME
from kemm.llm import BACKENDS, require_allowed
from kemm.modalities.background import Background, load_background
from kemm.modalities.encoders import TEXT_ENCODERS
from kemm.modalities.genomics import (
    Genomics,
    GroupSelection,
    default_groups,
    read_genomics,
    read_groups,
    select_groups,
)
from kemm.modalities.reports import BY_MODEL, REFINERS, read_reports
from kemm.modalities.reports.covariates import check_covariates
from kemm.modalities.slides import SlideSource, find_slides, read_table_cases
from kemm.pipeline.unchanged import Sight
from kemm.results.cohort_summary import median_follow_up
from kemm.training.splits import Fold, fold_kind, make_folds

SHOWN_CASES = 5
SHORTEST_NAME = 4
"""A site's code of two or three characters also occurs as a word of medicine ("T2"), and is not masked by itself;
the barcodes that carry it are."""


@dataclass(frozen=True)
class Inputs:
    """Everything read, nothing computed."""

    study: Study
    cohort: Cohort
    dropped: Mapping[str, int]
    reports: Mapping[str, str]
    """By case."""
    genomics: Genomics | None
    groups: GroupSelection | None
    slides: SlideSource | None
    background: Mapping[str, Background]
    """By cancer type."""
    folds: tuple[Fold, ...]
    warnings: tuple[Fault, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of each input table, by the path in study.yaml."""

    @property
    def event_coding(self) -> str:
        """How the chosen endpoint's event is coded: "1 = event"."""
        config = self.study.config.cohort.endpoints[self.cohort.endpoint]
        meaning = "death" if self.cohort.endpoint.upper() in ("OS", "DSS") else "event"
        return f"{config.event_value} = {meaning}, {config.censored_value} = censored"

    @property
    def first_line(self) -> str:
        """What every run says first."""
        events = int(self.cohort.event.sum())
        follow_up = median_follow_up(self.cohort.months, self.cohort.event)
        followed = "not reached" if follow_up is None else f"{follow_up:.1f} months"
        return (
            f"{self.study.name}: {len(self.cohort)} cases, {events} events ({events / len(self.cohort):.0%}), "
            f"median follow-up {followed}, {self.cohort.endpoint}, {self.event_coding}"
        )

    @property
    def modalities(self) -> dict[str, int]:
        """How many cases have each modality."""
        ids = set(self.cohort.ids)
        counts = {}
        if self.study.config.reports is not None:
            counts["report"] = len(self.reports)
        if self.genomics is not None:
            counts["genes"] = len(ids & set(self.genomics.case_ids))
        if self.slides is not None:
            counts["slides"] = self.slides.cases
        if self.cohort.covariates:
            known = [
                any(value is not None for value in case.covariates.values()) for case in self.cohort.cases
            ]
            counts["covariates"] = sum(known)
        return counts

    @property
    def missing(self) -> dict[str, int]:
        """How many cases lack each covariate."""
        return {
            covariate.name: sum(case.covariates.get(covariate.name) is None for case in self.cohort.cases)
            for covariate in self.cohort.covariates
        }

    @property
    def cancer_types(self) -> dict[str, int]:
        """Cases of each cancer type."""
        return dict(Counter(case.cancer_type for case in self.cohort.cases))

    @property
    def fold_kind(self) -> str:
        """ "site-disjoint", "stratified" or "given"."""
        return fold_kind(self.study.config.folds, self.cohort)


def masked_names(inputs: Inputs) -> list[str]:
    """Names to mask in reports: those of the settings, and sites whose name is no short code."""
    config = inputs.study.config.reports
    sites = {case.site for case in inputs.cohort.cases if case.site and len(case.site) >= SHORTEST_NAME}
    return sorted({*(config.mask if config else ()), *sites})


def read_inputs(study: Study, faults: Faults) -> Inputs | None:
    """Read all inputs; every fault goes to `faults`. None where the cohort itself cannot be read."""
    config = study.config
    reading = read_cohort(config.cohort, study.resolve, faults)
    if reading is None:
        _read_beside(study, faults)
        return None
    cohort, ids = reading.cohort, reading.cohort.ids
    reports = read_reports(config.reports, study.resolve, ids, faults) if config.reports else {}
    genomics, groups = _genomics(study, cohort, faults)
    slides = _slides(study, reading.table, cohort, faults) if config.slides else None
    background = _background(study, cohort, faults)
    _names(study, faults)
    folds = _folds(study, cohort, faults)
    _truth(study, cohort, faults)
    _settings(study, folds, faults)
    if not (config.reports or config.genomics or config.slides or cohort.covariates):
        faults.add(
            "there is nothing to learn from",
            "Give the study covariates, reports, genomics or slides.",
            file=FILE_NAME,
        )
    return Inputs(
        study=study,
        cohort=cohort,
        dropped=reading.dropped,
        reports=reports,
        genomics=genomics,
        groups=groups,
        slides=slides,
        background=background,
        folds=tuple(folds),
        warnings=tuple(faults.warnings),
        files=_digests(study),
    )


def _read_beside(study: Study, faults: Faults) -> None:
    """Where the cohort cannot be read, the other inputs are looked for all the same: one message tells all."""
    config = study.config
    paths = [table.path for table in config.genomics.tables] if config.genomics else []
    paths += (
        [path for path in (config.reports.table, config.reports.folder) if path] if config.reports else []
    )
    paths += [path for path in (config.slides.table, config.slides.folder) if path] if config.slides else []
    for path in paths:
        try:
            if not study.resolve(path).exists():
                faults.add("there is no such file or folder", "Correct the path in study.yaml.", file=path)
        except KemmError as error:
            faults.add_error(error)
    _names(study, faults)


def _names(study: Study, faults: Faults) -> None:
    """Registered names, so that a misspelt one is told before anything runs."""
    for look in (
        lambda: _refiner(study),
        lambda: TEXT_ENCODERS[study.config.text.encoder],
    ):
        try:
            look()
        except KemmError as error:
            faults.add_error(error)
    if study.config.reports is not None:
        check_covariates(study.config.reports.covariates, study.config.cohort.covariates, faults)


def _refiner(study: Study) -> None:
    config = study.config
    if config.reports is None:
        return
    if config.reports.refiner != BY_MODEL:
        REFINERS[config.reports.refiner]
    elif config.llm is None:
        raise InputError(
            f"{FILE_NAME}: reports.refiner is {BY_MODEL}, and there is no section llm. Name the model: "
            "`llm: {model: ..., base_url: ...}`."
        )
    else:
        BACKENDS[config.llm.backend]
        if config.llm.backend == "openai" and not config.llm.offline:
            require_allowed(config.llm.base_url, config.llm.allow_host)


def _genomics(study: Study, cohort: Cohort, faults: Faults) -> tuple[Genomics | None, GroupSelection | None]:
    config = study.config.genomics
    if config is None:
        return None, None
    try:
        genomics = read_genomics(config, study.resolve, cohort.ids, faults)
        if genomics is None:
            return None, None
        listed = read_groups(study.resolve(config.groups)) if config.groups else default_groups()
        return genomics, select_groups(genomics, listed, other_genes=config.other_genes)
    except KemmError as error:
        faults.add_error(error)
        return None, None


def _slides(study: Study, table, cohort: Cohort, faults: Faults) -> SlideSource | None:  # type: ignore[no-untyped-def]
    config = study.config.slides
    assert config is not None
    slide_ids = None
    if config.slide_ids is not None:
        if config.slide_ids not in table.columns:
            faults.add(
                f"there is no column {config.slide_ids!r}",
                "Correct slides.slide_ids, or remove it if files are named by case.",
                file=study.config.cohort.table,
            )
            return None
        slide_ids = dict(zip(table[study.config.cohort.case], table[config.slide_ids], strict=True))
    source = find_slides(config, study.resolve, cohort.ids, slide_ids, faults)
    if source is None or source.table is None:
        return source
    try:
        return read_table_cases(source, cohort.ids, faults)
    except KemmError as error:
        faults.add_error(error)
        return None


def _background(study: Study, cohort: Cohort, faults: Faults) -> dict[str, Background]:
    found = {}
    for name in sorted({case.cancer_type for case in cohort.cases}):
        try:
            file = study.config.background.file
            found[name] = load_background(name, file=study.resolve(file) if file else None)
        except KemmError as error:
            faults.add_error(error)
    return found


def _folds(study: Study, cohort: Cohort, faults: Faults) -> list[Fold]:
    try:
        folds = make_folds(study.config.folds, cohort, study.resolve)
    except KemmError as error:
        faults.add_error(error)
        return []
    untested = set(range(len(cohort))) - {row for fold in folds for row in fold.test}
    if untested:
        shown = ", ".join(cohort.ids[row] for row in sorted(untested)[:SHOWN_CASES])
        faults.warn(
            f"{len(untested)} of {len(cohort)} cases are in no fold's test part and so in no result: {shown}"
            + (", ..." if len(untested) > SHOWN_CASES else ""),
            "Add them to a fold, or raise folds.count if there are more folds than it says.",
            file=study.config.folds.files or "",
        )
    return folds


def _settings(study: Study, folds: list[Fold], faults: Faults) -> None:
    """Settings that are right by themselves, and wrong beside others or for this cohort."""
    training, horizons = study.config.training, study.config.evaluation.horizons
    fewest = min((len(fold.train) for fold in folds), default=None)
    wrong = []
    for section, sizes in (("model", study.config.model), ("baselines", study.config.baselines)):
        if sizes.width % sizes.heads:
            wrong.append(
                (
                    f"{section}.heads is {sizes.heads}, which does not divide {section}.width, {sizes.width}",
                    "Set one of them so that it does.",
                )
            )
    if len(set(training.seeds)) < len(training.seeds):
        wrong.append(("training.seeds has a seed twice", "The same seed trains the same network: keep one."))
    if fewest is not None and training.inner_parts > fewest:
        wrong.append(
            (
                f"training.inner_parts is {training.inner_parts}, but a fold trains on {fewest} cases",
                "Set it lower: each part chooses the epoch of a network.",
            )
        )
    if min(horizons) <= 0:
        wrong.append((f"evaluation.horizons has {min(horizons):g}", "Horizons are months after 0."))
    for problem, remedy in wrong:
        faults.add(problem, remedy, file=FILE_NAME)


def _truth(study: Study, cohort: Cohort, faults: Faults) -> None:
    """The known truth of a made-up cohort, read once so that its faults are not told only after training."""
    name = study.config.evaluation.truth
    if name is None:
        return
    try:
        path = study.resolve(name)
        table = read_table(path)
        for column in ("case_id", "true_log_hazard"):
            if column not in table.columns:
                faults.add(
                    f"there is no column {column!r}",
                    "Add it, or remove evaluation.truth from study.yaml.",
                    file=name,
                )
                return
        unknown = set(cohort.ids) - set(table["case_id"])
        if unknown:
            faults.add(
                f"the truth of {counted(len(unknown), 'case')} is missing, for instance of {min(unknown)}",
                "Add them, or remove evaluation.truth from study.yaml.",
                file=name,
            )
        for row, value in enumerate(table["true_log_hazard"], start=1):
            if not _is_number(value):
                faults.add(
                    f"{value!r} is not a number",
                    "Correct the cell.",
                    file=name,
                    row=row,
                    column="true_log_hazard",
                )
        planted = path.with_suffix(".json")
        if planted.is_file() and "planted" not in read_json(planted):
            faults.add("there is no list 'planted'", "Restore the file, or delete it.", file=planted)
    except KemmError as error:
        faults.add_error(error)


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


def tables_of(study: Study) -> list[str]:
    """Every file that study.yaml names as an input, by its path there."""
    config = study.config
    paths = [config.cohort.table]
    paths += [config.reports.table] if config.reports and config.reports.table else []
    paths += [table.path for table in config.genomics.tables] if config.genomics else []
    paths += [config.genomics.groups] if config.genomics and config.genomics.groups else []
    paths += [config.slides.table] if config.slides and config.slides.table else []
    paths += [config.background.file] if config.background.file else []
    paths += [config.evaluation.truth] if config.evaluation.truth else []
    if config.folds.files:
        paths += [config.folds.files.replace("{fold}", str(index)) for index in range(config.folds.count)]
    return paths


def look_at_inputs(study: Study) -> Sight | None:
    """All that a run will read, as it is now; None where that cannot be known."""
    config = study.config
    files = tables_of(study)
    files += [config.reports.folder] if config.reports and config.reports.folder else []
    files += [str(Path(config.evaluation.truth).with_suffix(".json"))] if config.evaluation.truth else []
    bags = [config.slides.bags] if config.slides and config.slides.bags else []
    try:
        return Sight.of(study.folder, study.identity, study.places(files), study.places(bags))
    except (OSError, KemmError):
        return None  # whoever reads it says what is wrong


def _digests(study: Study) -> dict[str, str]:
    found = {FILE_NAME: sha256_of(study.folder / FILE_NAME)} if (study.folder / FILE_NAME).is_file() else {}
    for path in tables_of(study):
        try:
            file: Path = study.resolve(path)
            if file.is_file():
                found[path] = sha256_of(file)
        except KemmError:
            continue  # told already, by whoever read it
    return found


def describe(inputs: Inputs) -> dict[str, str]:
    """Facts worth a line, beyond the counts: of groups, statements, sites."""
    facts = {}
    if inputs.groups is not None:
        facts["gene groups"] = (
            f"{len(inputs.groups.groups)} used, {len(inputs.groups.absent)} without a measured gene"
        )
        if inputs.genomics is not None:
            facts["genomic columns"] = (
                f"{len(inputs.genomics.columns):,} of types {', '.join(inputs.genomics.data_types)}"
            )
    if inputs.reports:
        lengths = [len(text) for text in inputs.reports.values()]
        facts["report length"] = f"median {int(np.median(lengths)):,} characters, longest {max(lengths):,}"
    if inputs.study.config.reports is not None and inputs.study.config.reports.covariates:
        facts["covariates from reports"] = ", ".join(inputs.study.config.reports.covariates)
    sites = {case.site for case in inputs.cohort.cases} - {None}
    facts["folds"] = f"{len(inputs.folds)}, {inputs.fold_kind}" + (f", {len(sites)} sites" if sites else "")
    for name, one in inputs.background.items():
        facts[f"background {name}"] = one.describe()
    return facts
