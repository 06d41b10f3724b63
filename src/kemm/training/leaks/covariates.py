"""Covariates that are the outcome in disguise, or were only known with it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from kemm.core.cohort import Cohort, Covariate
from kemm.survival.metrics import UndefinedMetric, harrell_c
from kemm.training.leaks.finding import Finding, Where

FEWEST_CASES = 10
"""Of fewer, nothing is concluded."""
CASES_A_VALUE = 5
"""With fewer cases for each of its values, a column agrees with anything."""
EXACT = 0.9999
IMPLAUSIBLE_CORRELATION = 0.95
"""With the months of follow-up, by ranks. Nothing that is known at diagnosis comes near."""
IMPLAUSIBLE_C = 0.9
"""Of one column by itself. Stage reaches about 0.75."""
IMPLAUSIBLE_CHANCE = 1e-3
"""That a category has events only, in a cohort with such a share of events."""

_OF_FOLLOW_UP = re.compile(
    r"follow.?up|(?:days|months|years|time).?to|last.?contact|death|dead\b|deceased|alive|vital"
    r"|surviv|censor|recurren|relaps|progress|new.?(?:tumou?r|neoplasm)|(?:cancer|tumou?r|disease).?status"
    r"|(?:^|[_.\s-])(?:os|dss|pfi|dfi|pfs|dfs|efs)(?:$|[_.\s-])|treatment.?(?:outcome|response)|best.?response",
    re.IGNORECASE,
)

Array = NDArray[np.float64]


def telling_covariates(cohort: Cohort) -> list[Finding]:
    """A finding for each covariate that tells the outcome, and for each that is named like follow-up."""
    found = []
    for covariate in cohort.covariates:
        reason = _reason(covariate, [case.covariates.get(covariate.name) for case in cohort.cases], cohort)
        if reason is not None:
            is_exact, told = reason
            found.append(
                Finding(
                    kind="covariate tells the outcome",
                    severity="error" if is_exact else "warning",
                    told=f"The covariate {covariate.name!r} {told}.",
                    remedy=f"Remove {covariate.name} from cohort.covariates, unless it was known at the start of follow-up.",
                    where=Where(columns=(covariate.name,)),
                )
            )
        if _OF_FOLLOW_UP.search(covariate.name):
            found.append(
                Finding(
                    kind="covariate of follow-up",
                    severity="warning",
                    told=f"The covariate {covariate.name!r} is named like something known only after follow-up began.",
                    remedy=f"Remove {covariate.name} from cohort.covariates, unless it was known before.",
                    where=Where(columns=(covariate.name,)),
                )
            )
    return found


def _reason(
    covariate: Covariate, values: Sequence[float | str | None], cohort: Cohort
) -> tuple[bool, str] | None:
    """Whether it is the outcome itself, and what gives it away; None where nothing does."""
    known = np.array([value is not None for value in values], dtype=np.bool_)
    if known.sum() < FEWEST_CASES:
        return None
    if (
        not known.all()
        and len(cohort) - known.sum() >= FEWEST_CASES
        and _is_function(known.tolist(), cohort.event)
    ):
        return True, "is filled in for all cases with the event and for no other, or the reverse"
    event, months = cohort.event[known], cohort.months[known]
    said = [value for value in values if value is not None]
    if _is_function(said, event):
        return True, f"tells of all {len(said)} cases that have it whether the event happened"
    if covariate.kind == "categorical":
        return _only_events(list(map(str, said)), event, float(cohort.event.mean()))
    numbers = np.array(said, dtype=np.float64)
    return (
        _follows_months(numbers, months)
        or _follows_months(numbers, months, event)
        or _orders(numbers, months, event)
    )


def _is_function(values: Sequence[float | str | bool], event: NDArray[np.bool_]) -> bool:
    """Whether each value goes with one outcome only, and not because there is a value for every case."""
    pairs = set(zip(values, event.tolist(), strict=True))
    distinct = len(set(values))
    return (
        len(pairs) == distinct
        and 1 < distinct <= len(values) / CASES_A_VALUE
        and len(set(event.tolist())) == 2
    )


def _only_events(values: Sequence[str], event: NDArray[np.bool_], share: float) -> tuple[bool, str] | None:
    levels = sorted(set(values))
    for level in levels:
        rows = np.array([value == level for value in values])
        # Of many levels, one has events only by chance sooner.
        chance = share ** int(rows.sum()) * len(levels)
        if rows.sum() >= FEWEST_CASES and event[rows].all() and chance < IMPLAUSIBLE_CHANCE:
            return (
                False,
                f"has a value, {level!r}, that {int(rows.sum())} cases have, every one with the event",
            )
    return None


def _follows_months(
    numbers: Array, months: Array, event: NDArray[np.bool_] | None = None
) -> tuple[bool, str] | None:
    """By ranks, of all cases that have it, or of those with the event (days to death are known of the dead)."""
    rows = np.ones(len(months), dtype=np.bool_) if event is None else event
    if rows.sum() < FEWEST_CASES or np.ptp(numbers[rows]) == 0 or np.ptp(months[rows]) == 0:
        return None
    ranks = np.corrcoef(rankdata(numbers[rows]), rankdata(months[rows]))[0, 1]
    if abs(ranks) < IMPLAUSIBLE_CORRELATION:
        return None
    straight = abs(np.corrcoef(numbers[rows], months[rows])[0, 1])
    of_whom = "all cases" if event is None else "cases with the event"
    return bool(max(straight, abs(ranks)) > EXACT), (
        f"goes with the months of follow-up of {of_whom} (rank correlation {ranks:.3f})"
    )


def _orders(numbers: Array, months: Array, event: NDArray[np.bool_]) -> tuple[bool, str] | None:
    if event.sum() < FEWEST_CASES:
        return None
    try:
        c = harrell_c(months, event, numbers).c
    except UndefinedMetric:
        return None
    best = max(c, 1 - c)
    return (best > EXACT, f"puts cases in order by itself (C {best:.3f})") if best >= IMPLAUSIBLE_C else None
