"""Parts of the patients that are fixed before any model is seen: sex, age, stage, site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kemm.core.cohort import Cohort

AGE_CUT: Final = 65.0
"""Years, whoever the patients are: a median would be another one in each cohort."""
LARGEST_SITES: Final = 5

MAIN_STAGES: Final = ("stage 0", "stage I", "stage II", "stage III", "stage IV")


@dataclass(frozen=True)
class Grouping:
    """A variable with its levels, and who is in which; a case in none has it missing."""

    variable: str
    levels: tuple[str, ...]
    """In the order shown; the first is what the others are compared with."""
    level_of: Mapping[str, str]
    """By case."""


def by_level(
    variable: str, values: Mapping[str, str | None], *, levels: Sequence[str] | None = None
) -> Grouping:
    """Values as they are; by default the levels are sorted by name."""
    known = {case: value for case, value in values.items() if value is not None}
    return Grouping(variable, tuple(levels or sorted(set(known.values()))), known)


def by_cut(variable: str, values: Mapping[str, float | None], cut: float) -> Grouping:
    """Below a fixed number, and from it on."""
    below, above = f"below {cut:g}", f"{cut:g} and above"
    known = {case: below if value < cut else above for case, value in values.items() if value is not None}
    return Grouping(variable, (below, above), known)


def by_main_stage(variable: str, ranks: Mapping[str, float | None]) -> Grouping:
    """Ranks of `kemm.core.staging` by their whole number: stage IIB is stage II."""
    known = {case: MAIN_STAGES[min(int(rank), 4)] for case, rank in ranks.items() if rank is not None}
    return Grouping(variable, tuple(level for level in MAIN_STAGES if level in set(known.values())), known)


def by_site(sites: Mapping[str, str | None], *, largest: int = LARGEST_SITES) -> Grouping:
    """The sites with most patients, largest first, and all others together."""
    sizes = Counter(site for site in sites.values() if site is not None)
    # By name where sizes are equal: the order of the cases must not choose.
    kept = sorted(sizes, key=lambda site: (-sizes[site], site))[:largest]
    rest = "all other sites"
    known = {case: site if site in kept else rest for case, site in sites.items() if site is not None}
    return Grouping("site", (*kept, rest) if len(sizes) > len(kept) else tuple(kept), known)


def usual_groupings(cohort: Cohort, *, age_cut: float = AGE_CUT) -> list[Grouping]:
    """Sex, age, stage and site, as far as the cohort has covariates of these names."""

    def numbers(name: str) -> dict[str, float | None]:
        values = {str(case.id): case.covariates.get(name) for case in cohort.cases}
        return {case: float(value) if value is not None else None for case, value in values.items()}

    found = []
    kinds = {covariate.name: covariate.kind for covariate in cohort.covariates}
    for name in ("sex", "gender"):
        if kinds.get(name) == "categorical":
            values = {str(case.id): case.covariates.get(name) for case in cohort.cases}
            known = {case: None if value is None else str(value) for case, value in values.items()}
            found.append(by_level(name, known))
    if kinds.get("age") == "numeric":
        found.append(by_cut("age", numbers("age"), age_cut))
    if kinds.get("stage") == "ordinal":
        found.append(by_main_stage("stage", numbers("stage")))
    if any(site is not None for site in cohort.sites):
        found.append(by_site({str(case.id): case.site for case in cohort.cases}))
    return found
