"""A study of made-up patients whose log hazard is known: every modality, some of it missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from kemm.core.cohort import Case, Cohort, Covariate, Outcome
from kemm.core.types import CaseId, Statement
from kemm.modalities.background import Author, Background, RiskStatements
from kemm.modalities.encoders import TextConfig
from kemm.modalities.genomics import Column, Genomics, GenomicsConfig, GenomicsTableConfig, select_groups
from kemm.modalities.reports import FIELDS, RefinedReport
from kemm.modalities.slides import SlideBags
from kemm.model.kemm import ModelConfig
from kemm.training.comparators import ComparatorsConfig, ModelSpec, models_of
from kemm.training.crossval import Crossval, Task, Work
from kemm.training.dataset import StudyData
from kemm.training.features import FeaturesConfig
from kemm.training.splits import Fold, FoldsConfig, make_folds
from kemm.training.trainer import TrainingConfig
from kemm.training.units import run_work

ENDPOINT = "OS"
GROUPS = {"driver": ["A1", "A2", "A3", "A4"], "idle": ["B1", "B2", "B3"], "noise": ["C1", "C2", "C3"]}
GENES = [gene for genes in GROUPS.values() for gene in genes]
PATCH_WIDTH = 5
FILLER = (
    "capsule",
    "fibrous",
    "tissue",
    "section",
    "stain",
    "block",
    "specimen",
    "vessel",
    "cortex",
    "pelvis",
)

FEATURES = FeaturesConfig(text_components=8, gene_components=4, slide_components=3)
TEXT = TextConfig(dim=6)
GENOMICS = GenomicsConfig(tables=[GenomicsTableConfig(path="genes.csv")], components=2)
MODEL = ModelConfig(width=8, heads=2)
TRAINING = TrainingConfig(seeds=[0], epochs=2, patience=2, patches=6)


@dataclass(frozen=True)
class SmallStudy:
    """A study, and the log hazard its outcomes were drawn from."""

    data: StudyData
    truth: np.ndarray


def refined(*said: tuple[str, str, str], filler: Sequence[str] = ()) -> RefinedReport:
    """A report of sentences that each state one field: (field, value, quote); then words that state nothing."""
    text, statements = "", []
    for kind, value, quote in said:
        start = len(text)
        text += f"{quote}. "
        if kind == "sentence":
            statements.append(
                Statement(kind=kind, text=quote, quote=quote, start=start, end=start + len(quote))
            )
        else:
            statements.append(FIELDS[kind].statement(value, quote, start))
    return RefinedReport(statements=tuple(statements), text=text + " ".join(filler), masked={})


def background() -> Background:
    return Background(
        code="KIRC",
        name="Kidney renal clear cell carcinoma",
        author=Author(kind="test", name="test", date=date(2026, 1, 1)),
        reviewed_by_clinicians=True,
        slides=RiskStatements(high=("Necrosis is seen in the tumour.",), low=("The grade is low.",)),
        genes=RiskStatements(high=("Loss of the driver genes.",), low=("Silent genome.", "No loss.")),
    )


def small_study(
    cases: int = 80,
    seed: int = 0,
    *,
    missing: float = 0.1,
    age: float = 0.7,
    grade: float = 0.7,
    genes: float = 0.7,
    slides: float = 0.7,
) -> SmallStudy:
    """Patients with planted effects (log hazard a standard deviation) of one thing in each modality.

    `missing` is the chance of a case to lack its report, its genomics, its slides or its stage.
    """
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=(4, cases))
    truth = np.array([age, grade, genes, slides]) @ latent
    until_event = rng.exponential(30 * np.exp(-truth))
    until_censored = rng.uniform(6, 90, size=cases)
    months, event = np.minimum(until_event, until_censored), until_event <= until_censored
    lacks = rng.random((4, cases)) < missing
    everyone = []
    for row in range(cases):
        everyone.append(
            Case(
                id=CaseId(f"case-{row:04d}"),
                cancer_type="KIRC",
                site=f"site {rng.integers(6)}",
                outcomes={ENDPOINT: Outcome(months=float(max(months[row], 0.1)), event=bool(event[row]))},
                covariates={
                    "age": float(60 + 10 * latent[0, row]),
                    "sex": str(rng.choice(["female", "male"])),
                    "stage": None if lacks[0, row] else float(rng.integers(4)),
                },
            )
        )
    cohort = Cohort(
        tuple(everyone),
        ENDPOINT,
        (
            Covariate(name="age", kind="numeric"),
            Covariate(name="sex", kind="categorical", levels=("female", "male")),
            Covariate(name="stage", kind="ordinal", levels=("I", "II", "III", "IV")),
        ),
    )
    reports = [None if lacks[1, row] else _report(latent[1, row], rng) for row in range(cases)]
    genomics = _genomics([one.id for one in everyone], latent[2], lacks[2], rng)
    study = StudyData(
        cohort=cohort,
        reports=tuple(reports),
        background={"KIRC": background()},
        genomics=genomics,
        groups=select_groups(genomics, GROUPS),
        slides=_slides(latent[3], lacks[3], rng),
        text_vectors={},
        identity=f"small study {seed} of {cases}",
    )
    return SmallStudy(study, truth)


def _report(latent: float, rng: np.random.Generator) -> RefinedReport:
    grade = int(np.clip(np.round(2.5 + latent), 1, 4))
    necrosis = rng.choice(["present", "absent"])
    size = rng.integers(1, 9)
    return refined(
        ("grade", str(grade), f"Fuhrman nuclear grade {grade}"),
        ("tumor_size_cm", str(size), f"The tumour measures {size} cm"),
        ("necrosis", str(necrosis), f"Tumour necrosis: {necrosis}"),
        ("sentence", "", f"The {rng.choice(FILLER)} is {rng.choice(['free', 'involved'])}"),
        filler=rng.choice(FILLER, size=12).tolist(),
    )


def _genomics(
    ids: Sequence[CaseId], latent: np.ndarray, lacks: np.ndarray, rng: np.random.Generator
) -> Genomics:
    values = rng.normal(size=(len(ids), len(GENES)))
    values[:, : len(GROUPS["driver"])] = 1.5 * latent[:, None] + 0.5 * values[:, : len(GROUPS["driver"])]
    has = ~lacks
    return Genomics(
        tuple(case for case, there in zip(ids, has, strict=True) if there),
        tuple(Column(gene, "expr") for gene in GENES),
        values[has].astype(np.float32),
        {},
    )


def _slides(latent: np.ndarray, lacks: np.ndarray, rng: np.random.Generator) -> SlideBags:
    lengths = np.where(lacks, 0, rng.integers(4, 12, size=len(latent)))
    offsets = np.concatenate([[0], lengths.cumsum()])
    values = rng.normal(size=(offsets[-1], PATCH_WIDTH))
    values[:, 0] = 0.5 * values[:, 0] + np.repeat(latent, lengths)
    return SlideBags(values.astype(np.float32), offsets)


def with_outcomes(data: StudyData, months: Mapping[int, float], event: Mapping[int, bool]) -> StudyData:
    """The same study with other outcomes of some rows."""
    cases = {
        row: replace(
            data.cohort.cases[row], outcomes={ENDPOINT: Outcome(months=months[row], event=event[row])}
        )
        for row in months
    }
    return data.with_cases(cases)


def permuted(data: StudyData, seed: int) -> StudyData:
    """The same patients with one another's outcomes."""
    order = np.random.default_rng(seed).permutation(len(data.cohort))
    return with_outcomes(
        data,
        {row: float(data.cohort.months[other]) for row, other in enumerate(order)},
        {row: bool(data.cohort.event[other]) for row, other in enumerate(order)},
    )


def folds_of(data: StudyData, count: int = 2) -> tuple[Fold, ...]:
    return tuple(make_folds(FoldsConfig(kind="stratified", count=count), data.cohort, Path))


AVAILABLE = ("covariates", "age+sex", "report", "background", "genes", "slides", "site")


def crossval(data: StudyData, store: Path, **changes: Any) -> Crossval:
    """Every model that the study allows, with networks and training small enough for a test."""
    settings: dict[str, Any] = {
        "data": data,
        "folds": folds_of(data),
        "models": specs(),
        "features": FEATURES,
        "text": TEXT,
        "genomics": GENOMICS,
        "model": MODEL,
        "training": TRAINING,
        "store": store,
    }
    return Crossval(**{**settings, **changes})


def specs(available: Sequence[str] = AVAILABLE, model: ModelConfig = MODEL) -> tuple[ModelSpec, ...]:
    return tuple(models_of(available, model, ComparatorsConfig()))


def spec(name: str) -> ModelSpec:
    return next(one for one in specs() if one.name == name)


def run_unit(context: Crossval, task: Task) -> float:
    """One model on one fold."""
    return run_work(context, Work(task.model, (task.fold,)))
