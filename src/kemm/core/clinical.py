"""The clinical table becomes the cohort: checked once, and all its faults told together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kemm.core.cohort import Case, Cohort, CohortConfig, Outcome
from kemm.core.columns import UNANSWERED, Columns
from kemm.core.covariates import CovariateColumn, doubt_leak, read_covariate
from kemm.core.errors import Faults, KemmError, nearest
from kemm.core.files import MISSING_WORDS, read_table
from kemm.core.outcomes import Endpoint, doubt_coding, read_endpoint
from kemm.core.types import CaseId


@dataclass(frozen=True)
class CohortReading:
    """What the clinical table says."""

    cohort: Cohort
    dropped: Mapping[str, int]
    """How many rows were left out, by reason: "no OS outcome", "zero follow-up"."""
    table: pd.DataFrame
    """The whole table as text, for columns that others need, such as the slide ids."""


def read_cohort(config: CohortConfig, resolve: Callable[[str], Path], faults: Faults) -> CohortReading | None:
    """Read and check the clinical table; None where an error was found.

    Every fault goes to `faults`, with file, row, column, case and remedy. Cases without a known outcome of
    the chosen endpoint are left out and counted; the others come in the order of their ids.
    """
    before = len(faults.errors)
    try:
        table = read_table(resolve(config.table))
    except KemmError as error:
        faults.add_error(error)
        return None
    if table.empty:
        faults.add("the table has a header but no rows", "Give one row a case.", file=config.table)
        return None
    columns = Columns(table, config.table, faults)
    columns.read_ids(config.case, "cohort.case")
    chosen = config.endpoint or next(iter(config.endpoints))
    if chosen not in config.endpoints:
        faults.add(
            f"cohort.endpoint is {chosen!r}, which is not one of cohort.endpoints",
            f"In study.yaml, {nearest(chosen, config.endpoints).removesuffix('?')}.",
        )
    cancer_types = _cancer_types(columns, config)
    sites = _sites(columns, config)
    endpoints = {
        name: read
        for name, endpoint in config.endpoints.items()
        if (
            read := read_endpoint(
                columns, name, endpoint, zero_months=config.zero_months, chosen=name == chosen
            )
        )
        is not None
    }
    covariates = [
        found
        for name, covariate in config.covariates.items()
        if (found := read_covariate(columns, name, covariate)) is not None
    ]
    _doubt(columns, config, endpoints, covariates)
    if len(faults.errors) > before or chosen not in endpoints or cancer_types is None:
        return None
    return _assemble(columns, chosen, cancer_types, sites, endpoints, covariates)


def _cancer_types(columns: Columns, config: CohortConfig) -> list[str] | None:
    if config.cancer_type is not None and config.cancer_type_column is not None:
        columns.faults.add(
            "cohort.cancer_type and cohort.cancer_type_column are both set",
            "Keep the first if all cases have one type, the second if the table says it per case.",
        )
        return None
    if config.cancer_type is not None:
        if config.cancer_type.strip() in ("", UNANSWERED):
            columns.faults.add(
                "cohort.cancer_type in study.yaml is still a question",
                'Answer it: a TCGA code such as "KIRC", or the full name of the cancer; '
                "or name the column that says it per case in cohort.cancer_type_column.",
            )
            return None
        return [config.cancer_type.strip()] * len(columns.table)
    if config.cancer_type_column is None:
        columns.faults.add(
            "the cancer type is not declared",
            'Set cohort.cancer_type in study.yaml (a TCGA code such as "KIRC", or the full name), '
            "or cohort.cancer_type_column.",
        )
        return None
    column = columns.get(config.cancer_type_column, "cohort.cancer_type_column")
    if column is None:
        return None
    columns.refuse(
        column,
        column.isin(MISSING_WORDS).to_numpy(),
        lambda value: "the cancer type is missing",
        "Fill it in; the background knowledge depends on it.",
    )
    return column.tolist()


def _sites(columns: Columns, config: CohortConfig) -> list[str | None]:
    unknown: list[str | None] = [None] * len(columns.table)
    if config.site is None:
        return unknown
    column = columns.get(config.site, "cohort.site")
    if column is None:
        return unknown
    # Like ids, "NA" is a site; only an empty cell is none.
    empty = int((column == "").sum())
    if empty:
        columns.warn(
            f"the site is missing in {empty} of {len(column)} cases",
            "Fill it in if it is known: folds by site keep a hospital's cases together.",
            config.site,
        )
    return [value or None for value in column]


def _doubt(
    columns: Columns,
    config: CohortConfig,
    endpoints: Mapping[str, Endpoint],
    covariates: list[CovariateColumn],
) -> None:
    severities = [
        (read.covariate.name, read.ranks) for read in covariates if read.covariate.kind == "ordinal"
    ]
    outcomes: dict[str, NDArray[np.float64]] = {}
    for name, endpoint in endpoints.items():
        declared = config.endpoints[name]
        if endpoint.known.any() and endpoint.event[endpoint.known].any():
            doubt_coding(columns, name, declared, endpoint, severities)
        outcomes.setdefault(declared.time, endpoint.months)
        outcomes.setdefault(declared.event, np.where(endpoint.known, endpoint.event, np.nan))
    for read in covariates:
        name = read.covariate.name
        doubt_leak(columns, read, config.covariates[name].column or name, outcomes)


def _assemble(
    columns: Columns,
    chosen: str,
    cancer_types: list[str],
    sites: list[str | None],
    endpoints: Mapping[str, Endpoint],
    covariates: list[CovariateColumn],
) -> CohortReading:
    main = endpoints[chosen]
    kept = np.flatnonzero(main.known).tolist()
    known = {name: endpoint.known.tolist() for name, endpoint in endpoints.items()}
    months = {name: endpoint.months.tolist() for name, endpoint in endpoints.items()}
    event = {name: endpoint.event.tolist() for name, endpoint in endpoints.items()}
    cases = [
        Case(
            id=CaseId(columns.ids[row]),
            cancer_type=cancer_types[row],
            site=sites[row],
            outcomes={
                name: Outcome(months=months[name][row], event=event[name][row])
                for name in endpoints
                if known[name][row]
            },
            covariates={read.covariate.name: read.values[row] for read in covariates},
        )
        for row in kept
    ]
    reasons = {
        f"no {chosen} outcome": int(np.isnan(main.months).sum()),
        "zero follow-up": int(main.zero.sum()),
    }
    cohort = Cohort(
        tuple(sorted(cases, key=lambda case: case.id)),
        chosen,
        tuple(read.covariate for read in covariates),
    )
    return CohortReading(cohort, {reason: count for reason, count in reasons.items() if count}, columns.table)
