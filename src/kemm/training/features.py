"""From a study's data to what models take. Everything fitted here is fitted on training cases.

`FoldTransforms.fit` sees the training part of a fold; `apply` gives any cases' features, each case by
itself, so that a new patient's are made the same way.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from kemm.core.cohort import Case
from kemm.core.settings import Section
from kemm.core.types import CaseId, Statement
from kemm.modalities.background import BACKGROUND_KINDS
from kemm.modalities.covariates import CovariateTransform
from kemm.modalities.encoders import TextConfig, TextEncoder, fit_encoder, restore_encoder
from kemm.modalities.genomics import GenomicsConfig, GroupFeatures, Spectrum, fit_group_features
from kemm.modalities.reports import FIELDS, RefinedReport
from kemm.modalities.reports.values import FIELD_COVARIATES, field_values, value_of
from kemm.modalities.slides import SlideBags
from kemm.model.batch import Inputs, Tokens
from kemm.training.dataset import StudyData
from kemm.training.linear import COVARIATES, FIELDS_STATED, GENES, SLIDES, TEXT, View, ViewKind
from kemm.training.slide_scaler import SlideScaler

SENTENCE, WHOLE_REPORT = "sentence", "report"
STATEMENT_KINDS = (*FIELDS, SENTENCE, WHOLE_REPORT)
"""Kinds of statements, each with an embedding of its own."""
MODALITIES: tuple[Literal["slides", "genes"], ...] = ("slides", "genes")
RISKS: tuple[Literal["high", "low"], ...] = ("high", "low")


class FeaturesConfig(Section):
    """What is made of each modality before a model sees it."""

    whole_report: bool = True
    """Beside the statements, one token for the report as a whole: no rule reads everything."""
    sentences: bool = True
    """Use the report's prognostic sentences that no field covers."""
    text_components: int = Field(200, ge=2)
    """Singular vectors of the whole text, for linear models of the report."""
    gene_components: int = Field(150, ge=1)
    """Principal components of all that was measured, for linear models of the genes."""
    slide_components: int = Field(16, ge=1)
    """Principal components of mean patch features, for linear models of the slides."""


@dataclass(frozen=True, kw_only=True)
class FoldTransforms:
    """All that is fitted on the training part of a fold, short of a model."""

    config: FeaturesConfig
    covariates: CovariateTransform
    fields: CovariateTransform
    """What reports state, as covariates."""
    statements: TextEncoder | None
    """Encodes one statement."""
    document: TextEncoder | None
    """Encodes a whole report."""
    refined: TextEncoder | None
    """Encodes all statements of a report as one text."""
    genes: GroupFeatures | None
    spectrum: Spectrum | None
    slides: SlideScaler | None
    sites: tuple[str, ...]
    """Sites of the training part."""

    @classmethod
    def fit(
        cls,
        data: StudyData,
        rows: Sequence[int],
        *,
        config: FeaturesConfig,
        text: TextConfig,
        genomics: GenomicsConfig | None,
    ) -> FoldTransforms:
        """Fit on the cases at `rows`, the training part; no other case is looked at."""
        cases = [data.cohort.cases[row] for row in rows]
        reports = [report for row in rows if (report := data.reports[row]) is not None]
        statements = document = refined = None
        known = background_texts(data)
        if reports:
            said = [statement.text for report in reports for statement in report.statements]
            statements = fit_encoder(text, [*said, *known], data.text_vectors)
            wide = text.model_copy(update={"dim": config.text_components})
            document = fit_encoder(wide, [report.text for report in reports], data.text_vectors)
            refined = fit_encoder(wide, [refined_text(report) for report in reports], data.text_vectors)
        elif known:
            rare_words = text.model_copy(update={"min_documents": 1})
            statements = fit_encoder(rare_words, known, data.text_vectors)
        genes = spectrum = None
        if data.genomics is not None and data.groups is not None and genomics is not None:
            training = data.genomics.values_of([data.cohort.ids[row] for row in rows])
            genes = fit_group_features(training, data.genomics, data.groups, genomics)
            spectrum = Spectrum.fit(
                training,
                data.genomics.columns,
                components=config.gene_components,
                transforms=genomics.transforms,
                minimum_prevalence=genomics.minimum_prevalence,
            )
        return cls(
            config=config,
            covariates=CovariateTransform.fit(data.cohort.covariates, cases),
            fields=_fit_fields(reports),
            statements=statements,
            document=document,
            refined=refined,
            genes=genes,
            spectrum=spectrum,
            slides=SlideScaler.fit(data.slides, rows, config.slide_components) if data.slides else None,
            sites=tuple(sorted({case.site for case in cases if case.site is not None})),
        )

    def apply(self, data: StudyData, rows: Sequence[int]) -> CaseFeatures:
        """Features of the cases at `rows`."""
        cases = [data.cohort.cases[row] for row in rows]
        reports = [data.reports[row] for row in rows]
        tokens: dict[str, Tokens] = {}
        views: dict[str, View] = {}
        everyone = np.ones(len(rows), dtype=bool)
        statements: list[list[Statement]] = [[] for _ in rows]
        if self.covariates.fitted:
            tokens["covariates"] = _tokens(*self.covariates.tokens(cases))
            views["covariates"] = View(self.covariates.design(cases), everyone, COVARIATES)
            named = [name for name in self.covariates.names if name.lower() in ("age", "sex", "gender")]
            if named:
                views["age+sex"] = View(self.covariates.design(cases, named), everyone, COVARIATES)
        if data.cohort.covariates:
            # What is constant in this training part says nothing, and is a view all the same: models are
            # the same in every fold.
            views.setdefault("covariates", _silent(everyone, COVARIATES))
            views.setdefault("age+sex", _silent(everyone, COVARIATES))
        if self.sites:
            views["site"] = View(
                np.array([[float(case.site == site) for site in self.sites] for case in cases]),
                everyone,
                COVARIATES,
            )
        elif any(site is not None for site in data.cohort.sites):
            views["site"] = _silent(everyone, COVARIATES)
        if self.document is None and data.has_reports:
            reported = np.array([report is not None for report in reports], dtype=bool)
            views |= {"report": _silent(reported, TEXT), "fields": _silent(reported, FIELDS_STATED)}
        elif self.document is not None:
            part = self.report_part(reports)
            statements = part.statements
            tokens["report"] = part.tokens
            views |= part.views
        if self.genes is not None and self.spectrum is not None and data.genomics is not None:
            measured = data.genomics.values_of([data.cohort.ids[row] for row in rows])
            tokens["genes"] = _tokens(*self.genes.transform(measured))
            has_genes: NDArray[np.bool_] = (~np.isnan(measured)).any(axis=1)
            views["genes"] = View(self.spectrum.transform(measured), has_genes, GENES)
        if self.slides is not None and data.slides is not None:
            has_slide: NDArray[np.bool_] = data.slides.present[list(rows)]
            pooled = np.zeros((len(rows), len(self.slides.components)))
            for position in np.flatnonzero(has_slide).tolist():
                pooled[position] = self.slides.pooled(data.slides, rows[position])
            views["slides"] = View(pooled, has_slide, SLIDES)
        types = sorted(data.background)
        return CaseFeatures(
            rows=tuple(rows),
            tokens=tokens,
            views=views,
            statements=statements,
            background=self._background(data, types),
            type_of=torch.tensor([types.index(case.cancer_type) if types else 0 for case in cases]),
            slides=data.slides if self.slides is not None else None,
            scaler=self.slides,
        )

    def report_part(self, reports: Sequence[RefinedReport | None]) -> ReportPart:
        """What is made of reports alone."""
        assert self.document is not None
        assert self.refined is not None
        statements = [chosen_statements(report, self.config) for report in reports]
        documents = self.document.encode([report.text if report else "" for report in reports])
        whole = self.refined.encode([refined_text(report) for report in reports])
        has_report = np.array([report is not None for report in reports], dtype=np.bool_)
        return ReportPart(
            statements,
            self._statement_tokens(statements, documents, has_report),
            {
                "report": View(
                    np.concatenate([documents, whole], axis=1).astype(np.float64), has_report, TEXT
                ),
                "fields": View(
                    self.fields.design_of([field_values(one) for one in reports]), has_report, FIELDS_STATED
                ),
            },
        )

    def _statement_tokens(
        self, statements: list[list[Statement]], documents: NDArray[np.float32], has_report: NDArray[np.bool_]
    ) -> Tokens:
        """Each statement: its text's vector, its value at training scale, and whether it has one."""
        assert self.statements is not None
        scale = {one.covariate.name: one for one in self.fields.fitted}
        whole = self.config.whole_report
        most = max(map(len, statements), default=0) + whole
        width = self.text_width
        documents = documents[
            :, : width - 2
        ]  # its first directions: the token needs no more than a statement
        values = np.zeros((len(statements), max(most, 1), width), dtype=np.float32)
        kind = np.zeros(values.shape[:2], dtype=np.int64)
        present = np.zeros(values.shape[:2], dtype=bool)
        distinct = sorted({one.text for said in statements for one in said})
        vector_of = dict(zip(distinct, self.statements.encode(distinct), strict=True)) if distinct else {}
        for row, said in enumerate(statements):
            for place, one in enumerate(said):
                values[row, place, : self.statements.dim] = vector_of[one.text]
                number = value_of(one)
                if isinstance(number, float) and one.kind in scale:
                    values[row, place, -2:] = (*scale[one.kind].token(number), 1.0)
                kind[row, place] = STATEMENT_KINDS.index(one.kind)
                present[row, place] = True
            if whole and has_report[row]:
                values[row, -1, : documents.shape[1]] = documents[row]
                kind[row, -1] = STATEMENT_KINDS.index(WHOLE_REPORT)
                present[row, -1] = True
        return _tokens(values, present, kind)

    def _background(self, data: StudyData, types: list[str]) -> dict[str, Tokens]:
        """By modality: statements of each cancer type, (type, statement, width)."""
        if self.statements is None:
            return {}
        found: dict[str, Tokens] = {}
        for modality in MODALITIES:
            said = [
                [one for risk in RISKS for one in data.background[name].statements(modality, risk)]
                for name in types
            ]
            most = max(map(len, said), default=0)
            if most == 0:
                continue
            width = self.text_width
            values = np.zeros((len(types), most, width), dtype=np.float32)
            kind = np.zeros(values.shape[:2], dtype=np.int64)
            present = np.zeros(values.shape[:2], dtype=bool)
            for row, statements in enumerate(said):
                values[row, : len(statements), : self.statements.dim] = self.statements.encode(
                    [one.text for one in statements]
                )
                kind[row, : len(statements)] = [BACKGROUND_KINDS.index(one.kind) for one in statements]
                present[row, : len(statements)] = True
            found[modality] = _tokens(values, present, kind)
        return found

    @property
    def text_width(self) -> int:
        """Width of a statement's token features: its vector, its value, and whether it has one."""
        return (self.statements.dim if self.statements else 0) + 2

    def state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """All that was fitted, as JSON and arrays."""
        about: dict[str, Any] = {
            "config": self.config.model_dump(),
            "covariates": self.covariates.state(),
            "fields": self.fields.state(),
            "sites": list(self.sites),
        }
        arrays: dict[str, NDArray[Any]] = {}
        for name, part in (
            ("statements", self.statements),
            ("document", self.document),
            ("refined", self.refined),
            ("genes", self.genes),
            ("spectrum", self.spectrum),
        ):
            if part is not None:
                about[name], own = part.state()
                arrays |= {f"{name}.{key}": value for key, value in own.items()}
        if self.slides is not None:
            arrays |= {f"slides.{key}": value for key, value in vars(self.slides).items()}
        return about, arrays

    @classmethod
    def from_state(cls, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> FoldTransforms:
        """The transforms whose `state` this is."""

        def of(name: str) -> dict[str, NDArray[Any]]:
            return {
                key[len(name) + 1 :]: value for key, value in arrays.items() if key.startswith(f"{name}.")
            }

        slides = of("slides")
        return cls(
            config=FeaturesConfig(**about["config"]),
            covariates=CovariateTransform.from_state(about["covariates"]),
            fields=CovariateTransform.from_state(about["fields"]),
            statements=restore_encoder(about["statements"], of("statements"))
            if "statements" in about
            else None,
            document=restore_encoder(about["document"], of("document")) if "document" in about else None,
            refined=restore_encoder(about["refined"], of("refined")) if "refined" in about else None,
            genes=GroupFeatures.from_state(about["genes"], of("genes")) if "genes" in about else None,
            spectrum=Spectrum.from_state(about["spectrum"], of("spectrum")) if "spectrum" in about else None,
            slides=SlideScaler(**slides) if slides else None,
            sites=tuple(about["sites"]),
        )


def chosen_statements(report: RefinedReport | None, config: FeaturesConfig) -> list[Statement]:
    """The statements of a report that become tokens, in their order."""
    if report is None:
        return []
    return [one for one in report.statements if config.sentences or one.kind != SENTENCE]


def most_knowledge(
    data: StudyData, config: FeaturesConfig, modality: Literal["slides", "genes"], inputs: Collection[str]
) -> int:
    """Tokens of knowledge that ask a modality, at most: of the report and of the background, as far as they are inputs."""
    own = background = 0
    if "report" in inputs and any(data.reports):
        own = max(len(chosen_statements(report, config)) for report in data.reports) + config.whole_report
    if "background" in inputs:
        background = max(
            (sum(len(one.statements(modality, risk)) for risk in RISKS) for one in data.background.values()),
            default=0,
        )
    return own + background


def background_texts(data: StudyData) -> list[str]:
    """Every background statement of the study's cancer types."""
    return [
        statement.text
        for one in data.background.values()
        for modality in MODALITIES
        for risk in RISKS
        for statement in one.statements(modality, risk)
    ]


def refined_text(report: RefinedReport | None) -> str:
    """All statements of a report as one text."""
    return "\n".join(one.text for one in report.statements) if report else ""


@dataclass(frozen=True)
class ReportPart:
    """What is made of the reports of some cases."""

    statements: list[list[Statement]]
    tokens: Tokens
    views: dict[str, View]


def _silent(present: NDArray[np.bool_], kind: ViewKind) -> View:
    """A view from which nothing can be learned: the risk it gives is 0."""
    return View(np.zeros((len(present), 1)), present, kind)


def _fit_fields(reports: Sequence[RefinedReport]) -> CovariateTransform:
    stated = [
        Case(id=CaseId(""), cancer_type="", site=None, outcomes={}, covariates=field_values(report))
        for report in reports
    ]
    return CovariateTransform.fit(FIELD_COVARIATES, stated)


def _tokens(
    values: NDArray[np.float32], present: NDArray[np.bool_], kind: NDArray[np.int64] | None = None
) -> Tokens:
    return Tokens(
        torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)),
        torch.from_numpy(np.ascontiguousarray(present)),
        None if kind is None else torch.from_numpy(kind),
    )


@dataclass(frozen=True, kw_only=True)
class CaseFeatures:
    """Features of some cases, ready for batches (`tokens`) and for linear models (`views`)."""

    rows: tuple[int, ...]
    """Rows of the cohort."""
    tokens: Mapping[str, Tokens]
    views: Mapping[str, View]
    statements: list[list[Statement]]
    """Of each case, as their tokens are ordered."""
    background: Mapping[str, Tokens]
    """By modality, (cancer type, statement, width)."""
    type_of: Tensor
    """Cancer type of each case, (case,)."""
    slides: SlideBags | None
    scaler: SlideScaler | None

    @cached_property
    def position_of(self) -> dict[int, int]:
        """Where each row of the cohort is here."""
        return {row: position for position, row in enumerate(self.rows)}

    def inputs(self, names: Sequence[str]) -> Inputs:
        """Widths of what a model that takes `names` (report, genes, slides, covariates) is given."""
        genes = (
            self.tokens["genes"].values.shape if "genes" in names and "genes" in self.tokens else (0, 0, 0)
        )
        covariates = (
            self.tokens["covariates"].values.shape
            if "covariates" in names and "covariates" in self.tokens
            else (0, 0, 0)
        )
        knows = next((tokens.values.shape[2] for tokens in (*self._texts(names),)), 0)
        return Inputs(
            text=knows,
            statement_kinds=len(STATEMENT_KINDS) if "report" in names and "report" in self.tokens else 0,
            gene_groups=genes[1],
            gene_features=genes[2],
            slide_features=self.slides.width if "slides" in names and self.slides is not None else 0,
            covariates=covariates[1],
            covariate_features=covariates[2],
            background=tuple(self.background) if "background" in names else (),
        )

    def _texts(self, names: Sequence[str]) -> list[Tokens]:
        return ([self.tokens["report"]] if "report" in names and "report" in self.tokens else []) + list(
            self.background.values()
        )
