"""The cohort: who the patients are and what happened to them, checked once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, field_validator

from kemm.core.provenance import fingerprint
from kemm.core.settings import Section
from kemm.core.types import CaseId


class EndpointConfig(Section):
    """One endpoint: which columns hold its time and its event, and how they are coded."""

    time: str
    """Column with the time from diagnosis to the event or to the last contact."""
    event: str
    """Column that says whether the event happened at that time."""
    unit: Literal["months", "days", "years"] = "months"
    """Unit of the time column."""
    event_value: str = "1"
    """The value that means "the event happened". For a censorship column where 1 = censored, give "0"."""
    censored_value: str = "0"
    """The value that means "censored". Any other value is a fault."""

    @field_validator("event_value", "censored_value", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        # Unquoted in YAML, 1 is a number and `no` a truth value; in the table both are text.
        return str(value) if isinstance(value, (bool, int, float)) else value


class CovariateConfig(Section):
    """One clinical covariate."""

    model_config = ConfigDict(coerce_numbers_to_str=True)

    kind: Literal["numeric", "ordinal", "categorical"]
    """How its values are read."""
    column: str | None = None
    """Its column; by default the covariate's own name."""
    order: Literal["ajcc", "figo"] | list[str] | None = None
    """For an ordinal covariate: its values from best to worst, or "ajcc" or "figo" for a stage."""


class CohortConfig(Section):
    """The clinical table, one row a case."""

    table: str
    """CSV, TSV, Parquet or Excel file."""
    case: str = "case_id"
    """Column with the id of the case."""
    cancer_type: str | None = None
    """The cancer type of all cases: a TCGA code ("KIRC") or its full name."""
    cancer_type_column: str | None = None
    """Or the column that says it per case."""
    site: str | None = None
    """Column with the hospital or tissue source site; needed for site-disjoint folds."""
    endpoints: dict[str, EndpointConfig] = Field(min_length=1)
    """Endpoints by name: OS, DSS, PFI or your own."""
    endpoint: str | None = None
    """The endpoint to predict; by default the first."""
    zero_months: Literal["drop", "keep"] = "drop"
    """Cases with a follow-up of exactly zero: they say nothing and are dropped, or are kept as half a day."""
    covariates: dict[str, CovariateConfig] = Field(default_factory=dict)
    """Clinical covariates by name."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What is known of one endpoint of one case."""

    months: float
    event: bool
    """True: it happened at `months`. False: it had not happened by then."""


@dataclass(frozen=True, kw_only=True)
class Covariate:
    """A covariate and how to read its values."""

    name: str
    kind: Literal["numeric", "ordinal", "categorical"]
    levels: tuple[str, ...] = ()
    """Ordinal: from best to worst (a stage: as found). Categorical: as found, sorted. Numeric: none."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One patient.

    Numeric and ordinal covariates are floats. Ordinal: the level's rank in its order, from 0; for a stage,
    its place on the ladder of `kemm.core.staging`.
    """

    id: CaseId
    cancer_type: str
    site: str | None
    outcomes: Mapping[str, Outcome]
    """Endpoints that are known for this case; an endpoint may be missing."""
    covariates: Mapping[str, float | str | None]
    """None where missing."""


@dataclass(frozen=True)
class Cohort:
    """The cases with a known outcome of the chosen endpoint, in the order of their ids."""

    cases: tuple[Case, ...]
    endpoint: str
    covariates: tuple[Covariate, ...]

    def __len__(self) -> int:
        return len(self.cases)

    @cached_property
    def ids(self) -> list[CaseId]:
        """The ids, sorted."""
        return [case.id for case in self.cases]

    @cached_property
    def months(self) -> NDArray[np.float64]:
        """Follow-up of the chosen endpoint, (case,)."""
        return np.array([case.outcomes[self.endpoint].months for case in self.cases])

    @cached_property
    def event(self) -> NDArray[np.bool_]:
        """Whether the chosen endpoint happened, (case,)."""
        return np.array([case.outcomes[self.endpoint].event for case in self.cases])

    @cached_property
    def sites(self) -> list[str | None]:
        """Site of each case."""
        return [case.site for case in self.cases]

    @cached_property
    def fingerprint(self) -> str:
        """Changes whenever a case, an outcome, a site or a covariate does."""
        return fingerprint(
            self.endpoint,
            [[covariate.name, covariate.kind, list(covariate.levels)] for covariate in self.covariates],
            [
                [case.id, case.cancer_type, case.site, sorted(case.covariates.items(), key=str)]
                + [[name, outcome.months, outcome.event] for name, outcome in sorted(case.outcomes.items())]
                for case in self.cases
            ],
        )
