"""Endpoints of the clinical table: times and events, read as declared, with doubts about the declaration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kemm.core.cohort import EndpointConfig
from kemm.core.columns import Columns, counted, numbers
from kemm.core.files import MISSING_WORDS
from kemm.core.types import DAYS_PER_MONTH

MONTHS_PER_UNIT = {"days": 1 / DAYS_PER_MONTH, "months": 1.0, "years": 12.0}
HALF_A_DAY = 0.5 / DAYS_PER_MONTH
FEW_EVENTS = 100

# Follow-up of studies runs from a year to some decades; medians outside are another unit. In the declared unit:
# (the most its median and its maximum may be, the least its maximum may be, what it looks like instead).
_PLAUSIBLE = {
    "months": (400.0, 720.0, 3.0, "days", "years"),
    "days": (400.0 * DAYS_PER_MONTH, 720.0 * DAYS_PER_MONTH, 366.0, "hours", "months"),
    "years": (34.0, 60.0, 0.25, "months or days", "decades"),
}

_HAPPENED = frozenset(
    {"dead", "deceased", "died", "death", "1:deceased", "event", "progressed", "recurred", "relapse"}
)
_NOT_HAPPENED = frozenset(
    {"alive", "living", "0:living", "censored", "no event", "disease free", "event free"}
)
_CENSORSHIP_NAME = re.compile(r"cens", re.IGNORECASE)
_EVENT_NAME = re.compile(r"event|dead|death|died|deceased|relapse|recur|progress", re.IGNORECASE)

TREND = 3.0
"""Standard errors by which the other coding must fit the covariates better before a warning is given."""
MANY_EVENTS = 0.8
"""Share of events above which the coding is doubted, unless the covariates support it."""


@dataclass(frozen=True)
class Endpoint:
    """Outcomes of one endpoint, (row of the table,)."""

    months: NDArray[np.float64]
    """NaN where unknown."""
    event: NDArray[np.bool_]
    """Meaningful where known."""
    zero: NDArray[np.bool_]
    """Known, with no follow-up at all: dropped, under the rule "drop"."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether the row has an outcome that counts."""
        return ~np.isnan(self.months) & ~self.zero


def code(text: str) -> str:
    """An event code as it is compared: "1", "1.0" and "01" are one, and so are "Dead" and "DEAD"."""
    plain = text.strip().casefold()
    try:
        number = float(plain)
    except ValueError:
        return plain
    return str(int(number)) if number.is_integer() else plain


def read_endpoint(
    columns: Columns, name: str, config: EndpointConfig, *, zero_months: str, chosen: bool
) -> Endpoint | None:
    """The outcomes of one endpoint, faults collected; None where its columns are not there.

    A row without a time or without an event has no outcome of this endpoint.
    """
    setting = f"cohort.endpoints.{name}"
    time = columns.get(config.time, f"{setting}.time")
    status = columns.get(config.event, f"{setting}.event")
    if time is None or status is None:
        return None
    length = _read_times(columns, time, config)
    event, has_code = _read_events(columns, status, config, setting)
    has_time = ~np.isnan(length)
    lost = event & has_code & ~has_time & time.isin(MISSING_WORDS).to_numpy()
    if lost.any():
        cases = ", ".join(case for case, is_lost in zip(columns.ids, lost, strict=True) if is_lost)
        columns.warn(
            f"{counted(int(lost.sum()), 'case')} with an event but no time, and so no {name} outcome: {_shortened(cases)}",
            "Fill in the time if it is known.",
            config.time,
        )
    known = has_time & has_code
    months = np.where(known, length * MONTHS_PER_UNIT[config.unit], np.nan)
    zero = known & (months == 0)
    if zero_months == "keep":
        months = np.where(zero, HALF_A_DAY, months)
        zero = np.zeros_like(zero)
    endpoint = Endpoint(months, event, zero)
    _count_events(columns, endpoint, name, config, chosen=chosen)
    if endpoint.known.any():
        _doubt_unit(columns, length[endpoint.known], name, config)
    return endpoint


def _read_times(columns: Columns, time: pd.Series[str], config: EndpointConfig) -> NDArray[np.float64]:
    length, wrong = numbers(time)
    columns.refuse(
        time,
        wrong,
        lambda value: f"{value!r} is not a time",
        f"Give a number of {config.unit} (with a decimal point), or leave the cell empty if it is not known.",
    )
    negative = length < 0
    columns.refuse(
        time,
        negative,
        lambda value: f"{value} {config.unit} of follow-up: a time cannot be negative",
        "Check the dates it was computed from; leave the cell empty if it is not known.",
    )
    return np.where(negative, np.nan, length)


def _read_events(
    columns: Columns, status: pd.Series[str], config: EndpointConfig, setting: str
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Event of each row, and whether its code is one of the two declared."""
    happened, censored = code(config.event_value), code(config.censored_value)
    if happened == censored:
        columns.faults.add(
            f"event_value and censored_value are both {config.event_value!r}",
            f"Declare in study.yaml, under {setting}, which value means that the event happened and which that it had not.",
            file=columns.file,
            column=config.event,
        )
        return np.zeros(len(status), dtype=bool), np.zeros(len(status), dtype=bool)
    codes = status.map({value: code(value) for value in status.unique()})
    event = (codes == happened).to_numpy()
    declared = event | (codes == censored).to_numpy()
    undeclared = ~declared & ~status.isin(MISSING_WORDS).to_numpy()
    if undeclared.any():
        counts = status[~status.isin(MISSING_WORDS)].value_counts()
        shown = ", ".join(
            f"{value!r} in {counted(int(count), 'row')}" for value, count in list(counts.items())[:8]
        )
        rows = np.flatnonzero(undeclared).tolist()
        columns.faults.add(
            f"{counted(len(rows), 'cell')} neither {config.event_value!r} (event) nor {config.censored_value!r} (censored), "
            f"the first in row {rows[0] + 1} (case {columns.ids[rows[0]] or '?'}). The column holds {shown}"
            + (", ..." if len(counts) > 8 else ""),
            f"Declare the two values in study.yaml: {setting}.event_value and {setting}.censored_value; "
            "empty cells mean that the outcome is not known.",
            file=columns.file,
            column=config.event,
        )
    return event, declared


def _count_events(
    columns: Columns, endpoint: Endpoint, name: str, config: EndpointConfig, *, chosen: bool
) -> None:
    cases = int(endpoint.known.sum())
    events = int((endpoint.event & endpoint.known).sum())
    say = columns.faults.add if chosen else columns.faults.warn
    if cases == 0:
        problem = f"no case has an outcome of {name}"
        remedy = (
            f"Check cohort.endpoints.{name} in study.yaml: both the time and the event must be filled in."
        )
    elif events == 0:
        problem = f"all {cases} cases are censored for {name}: there is nothing to learn from"
        remedy = f"Check cohort.endpoints.{name}.event_value in study.yaml (now {config.event_value!r})."
    elif events == 1:
        problem = f"only 1 of {cases} cases has an event of {name}; at least 2 are needed"
        remedy = f"Choose another endpoint, or check cohort.endpoints.{name}.event_value in study.yaml."
    else:
        if chosen and events < FEW_EVENTS:
            columns.warn(
                f"{name} has {events} events, fewer than {FEW_EVENTS}",
                "Intervals will be wide and differences between models unsure; consider an endpoint with more events.",
                config.event,
            )
        return
    say(problem, remedy, file=columns.file, column=config.event)


def _doubt_unit(columns: Columns, length: NDArray[np.float64], name: str, config: EndpointConfig) -> None:
    median, longest = float(np.median(length)), float(length.max())
    most_median, most, least, larger, smaller = _PLAUSIBLE[config.unit]
    if median > most_median or longest > most:
        looks = larger
    elif longest < least:
        looks = smaller
    else:
        return
    columns.warn(
        f"{name}: a median of {median:,.4g} and a maximum of {longest:,.4g} {config.unit} looks like {looks}",
        f"If so, set cohort.endpoints.{name}.unit in study.yaml (months, days or years).",
        config.time,
    )


def doubt_coding(
    columns: Columns,
    name: str,
    config: EndpointConfig,
    endpoint: Endpoint,
    severities: Sequence[tuple[str, NDArray[np.float64]]],
) -> None:
    """Warn where event and censored look exchanged: from names and words, from covariates, from the share.

    `severities` are ordinal covariates (name, rank of each row, NaN where missing), declared from best
    to worst. Worse ranks should go with earlier events. Censoring hardly depends on them, so where they
    fit the other coding far better, the declaration is doubted.
    """
    happened, censored = code(config.event_value), code(config.censored_value)
    reason = ""
    if _CENSORSHIP_NAME.search(config.event) and (happened, censored) == ("1", "0"):
        reason = f"the column {config.event!r} seems to say who is censored, but 1 is declared to be an event"
    elif (
        _EVENT_NAME.search(config.event)
        and not _CENSORSHIP_NAME.search(config.event)
        and (happened, censored) == ("0", "1")
    ):
        reason = (
            f"the column {config.event!r} seems to say who had an event, but 0 is declared to be an event"
        )
    elif happened in _NOT_HAPPENED or censored in _HAPPENED:
        reason = (
            f"{config.event_value!r} is declared to be an event and {config.censored_value!r} to be censored"
        )
    known = endpoint.known
    supported = False
    for covariate, rank in severities if not reason else ():
        rows = known & ~np.isnan(rank)
        declared = trend(endpoint.months[rows], endpoint.event[rows], rank[rows])
        exchanged = trend(endpoint.months[rows], ~endpoint.event[rows], rank[rows])
        supported |= declared - exchanged >= TREND
        if exchanged >= TREND and exchanged - declared >= TREND:
            reason = (
                f"a worse {covariate} goes with earlier censoring (trend z = {exchanged:.1f}), "
                f"not with earlier events (z = {declared:.1f})"
            )
            break
    share = float(endpoint.event[known].mean()) if known.any() else 0.0
    if not reason and not supported and share >= MANY_EVENTS:
        reason = f"{share:.0%} of the cases have the event, which is unusual"
    if reason:
        columns.warn(
            f"{name}: events and censored cases may be exchanged: {reason}",
            f"If so, exchange event_value ({config.event_value!r}) and censored_value ({config.censored_value!r}) "
            f"under cohort.endpoints.{name} in study.yaml.",
            config.event,
        )


def trend(months: NDArray[np.float64], event: NDArray[np.bool_], rank: NDArray[np.float64]) -> float:
    """Log-rank test for trend: the standardised score of Cox's model at no effect, all arrays (case,).

    Positive: a higher rank goes with earlier events. About standard normal without an association; 0 where
    nothing can be compared. Ties as in Breslow.

    References:
        Tarone (1975), Biometrika 62, doi:10.1093/biomet/62.3.679.
    """
    if len(months) == 0:
        return 0.0
    order = np.argsort(-months, kind="stable")
    months, event, rank = months[order], event[order], rank[order] - rank.mean()
    # Longest first, those at risk at a time are all up to the last row with that time.
    last = np.searchsorted(-months, -months, side="right") - 1
    at_risk = last + 1
    mean = np.cumsum(rank)[last] / at_risk
    variance = np.cumsum(rank**2)[last] / at_risk - mean**2
    information = float(variance[event].sum())
    if information <= 1e-12:
        return 0.0
    return float((rank - mean)[event].sum() / np.sqrt(information))


def _shortened(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else text[:limit].rsplit(", ", 1)[0] + ", ..."
