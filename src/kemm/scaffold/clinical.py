"""What the columns of a clinical table probably are, from their names and values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kemm.core.columns import UNANSWERED, numbers
from kemm.core.files import MISSING_WORDS
from kemm.core.outcomes import code
from kemm.core.staging import NotAStage, stage_rank

_ID_NAMES = re.compile(
    r"case|case_?id|patient|patient_?(?:id|barcode)|bcr_patient_barcode|submitter_id|case_submitter_id|"
    r"subject|subject_?id|mrn|id|pid"
)
_ENDPOINTS = (
    ("OS", re.compile(r"os|overall_survival")),
    ("DSS", re.compile(r"dss|css|(?:disease|cancer)_specific_survival")),
    ("PFI", re.compile(r"pfi|progression_free_interval")),
    ("PFS", re.compile(r"pfs|progression_free(?:_survival)?")),
    ("DFI", re.compile(r"dfi|disease_free_interval")),
    ("DFS", re.compile(r"dfs|disease_free(?:_survival)?")),
    ("RFS", re.compile(r"rfs|(?:relapse|recurrence)_free(?:_survival)?")),
)
_TIME = re.compile(r"(?:survival_|follow_?up_)?(?:time|months?|days?|years?|duration)(?:_to_event)?")
_TIME_ALONE = re.compile(
    r"(?:survival|follow_?up|observation)_?(?:time|months?|days?|years?)?|time|months|duration|time_to_event"
)
_UNIT_ALONE = re.compile(r"(?:_in)?_(?:months?|days?|years?)$")
_EVENT = re.compile(r"event|status|censor(?:ed|ship|ing)?|dead|death|observed|indicator")
_EVENT_ALONE = re.compile(
    r"event|(?:vital_|survival_)?status|censor(?:ed|ship|ing)?|dead|death|deceased|died|event_observed"
)
_CENSORSHIP = re.compile(r"cens")
_UNITS = (
    ("months", re.compile(r"months?|mo")),
    ("days", re.compile(r"days?")),
    ("years", re.compile(r"years?|yrs?")),
)
_CENSORED_WORD = re.compile(r"alive|living|cens|free|^no\b|^no$|^false$|none|lost")
_EVENT_WORD = re.compile(r"dead|deceased|died|death|event|progress|recur|relapse|^yes$|^true$")
_SITES = re.compile(
    r"site|site_?(?:code|id)|tss|tissue_source_site(?:_code)?|hospital(?:_id)?|cent(?:er|re)(?:_id)?|institution|clinic"
)
_CANCER_TYPES = re.compile(
    r"cancer_?type|cohort|project|project_id|type|disease(?:_type)?|tumou?r_type|acronym|diagnosis|histolog(?:y|ical_type)"
)
_SLIDE_IDS = re.compile(r"slides?|slide_?ids?|wsi|wsi_?ids?|slide_?names?")
_GRADES = (
    ("G0", "G1", "G2", "G3", "G4"),
    ("Grade 1", "Grade 2", "Grade 3", "Grade 4"),
    ("I", "II", "III", "IV"),
    ("1", "2", "3", "4", "5"),
    ("Low", "Intermediate", "High"),
    ("Low Grade", "High Grade"),
    ("Well", "Moderate", "Poor", "Undifferentiated"),
    ("Well differentiated", "Moderately differentiated", "Poorly differentiated", "Undifferentiated"),
)


@dataclass(frozen=True)
class EndpointGuess:
    """Columns and coding of an endpoint, as they seem to be."""

    name: str
    time: str
    event: str
    unit: str
    unit_from: str
    """What the unit was guessed from: "its name" or "its size"."""
    event_value: str
    censored_value: str
    values: str
    """The values found, with their counts."""


@dataclass(frozen=True)
class CovariateGuess:
    """A covariate as it seems to be."""

    name: str
    column: str
    kind: str
    order: str | tuple[str, ...] | None = None


@dataclass(frozen=True)
class ClinicalGuess:
    """What is in a clinical table, as it seems to be."""

    file: str
    rows: int
    case: str
    ids: frozenset[str]
    endpoints: tuple[EndpointGuess, ...]
    covariates: tuple[CovariateGuess, ...]
    site: str | None
    slide_ids: str | None
    cancer_type_columns: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def score(self) -> int:
        """How much of a clinical table it is; 0 where it is none."""
        if not self.endpoints:
            return 0
        return 3 * len(self.endpoints) + len(self.covariates) + (self.site is not None)


def plain(name: str) -> str:
    """A column name for comparison: "OS.time" and "os_Time" are "os_time"."""
    return re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")


def guess_clinical(file: str, table: pd.DataFrame) -> ClinicalGuess:
    """What the columns of `table` seem to be."""
    columns = {
        str(name): table.iloc[:, index].str.strip()
        for index, name in enumerate(table.columns)
        if name and list(table.columns).count(name) == 1
    }
    case = guess_id(columns)
    endpoints = _endpoints(columns)
    covariates, notes = _covariates(columns)
    if not endpoints and any("days_to_death" in plain(name) for name in columns):
        notes.append(
            f"{file} keeps the days to death and to the last follow-up in two columns: put whichever is known "
            "(death first) into one column, such as os_days, for cohort.endpoints"
        )
    return ClinicalGuess(
        file=file,
        rows=len(table),
        case=case or UNANSWERED,
        ids=frozenset(columns[case]) if case else frozenset(),
        endpoints=endpoints,
        covariates=tuple(covariates),
        site=_first(columns, _SITES),
        slide_ids=_first(columns, _SLIDE_IDS),
        cancer_type_columns=tuple(name for name in columns if _CANCER_TYPES.fullmatch(plain(name))),
        notes=tuple(notes),
    )


def guess_id(columns: dict[str, pd.Series[str]]) -> str | None:
    """The column with the ids: by its name, else the first whose values all differ and are not numbers."""
    unique = [name for name, column in columns.items() if column.is_unique and (column != "").all()]
    named = [name for name in columns if _ID_NAMES.fullmatch(plain(name))]
    for name in (*(name for name in named if name in unique), *named):
        return name
    texts = [name for name in unique if numbers(columns[name])[1].any()]
    return texts[0] if texts else None


def _first(columns: Iterable[str], pattern: re.Pattern[str]) -> str | None:
    return next((name for name in columns if pattern.fullmatch(plain(name))), None)


def _endpoints(columns: dict[str, pd.Series[str]]) -> tuple[EndpointGuess, ...]:
    times: dict[str, str] = {}
    events: dict[str, str] = {}
    # Named ones first: "os_months" is OS for certain, "event" only where no other column is.
    for name, column in columns.items():
        for endpoint, pattern in _ENDPOINTS:
            match = re.match(rf"(?:{pattern.pattern})(?:_|$)", plain(name))
            if match is None:
                continue
            rest = plain(name)[match.end() :]
            if _TIME.fullmatch(rest) and _is_time(column):
                times.setdefault(endpoint, name)
            elif (rest == "" or _EVENT.fullmatch(rest)) and _is_event(column):
                events.setdefault(endpoint, name)
            break
    for name, column in columns.items():
        bare = _UNIT_ALONE.sub("", plain(name))
        if _TIME_ALONE.fullmatch(bare) and _is_time(column):
            times.setdefault("OS", name)
        elif _EVENT_ALONE.fullmatch(plain(name)) and _is_event(column):
            events.setdefault("OS", name)
    return tuple(
        _endpoint(name, columns[times[name]], columns[events[name]])
        for name, _ in _ENDPOINTS
        if name in times and name in events
    )


def _is_time(column: pd.Series[str]) -> bool:
    values, wrong = numbers(column)
    known = values[~np.isnan(values)]
    return len(known) > 0 and wrong.mean() < 0.1 and len(np.unique(known)) > 2


def _is_event(column: pd.Series[str]) -> bool:
    return 1 <= len({code(value) for value in _present(column)}) <= 3


def _present(column: pd.Series[str]) -> pd.Series[str]:
    return column[~column.isin(MISSING_WORDS)]


def _endpoint(name: str, time: pd.Series[str], event: pd.Series[str]) -> EndpointGuess:
    unit, unit_from = _unit(time)
    happened, censored = _coding(event)
    counts = event.map(lambda value: _shown(value) or "empty").value_counts()
    return EndpointGuess(
        name=name,
        time=str(time.name),
        event=str(event.name),
        unit=unit,
        unit_from=unit_from,
        event_value=happened,
        censored_value=censored,
        values=", ".join(f"{value} ({count})" for value, count in counts.items()),
    )


def _unit(time: pd.Series[str]) -> tuple[str, str]:
    words = plain(str(time.name)).split("_")
    for unit, pattern in _UNITS:
        if any(pattern.fullmatch(word) for word in words):
            return unit, "its name"
    values, _ = numbers(time)
    known = values[~np.isnan(values)]
    if np.median(known) > 150:
        return "days", "its size"
    return ("years" if known.max() <= 12 else "months"), "its size"


def _coding(event: pd.Series[str]) -> tuple[str, str]:
    """The values that probably mean event and censored."""
    values = sorted({_shown(value) for value in _present(event)})
    censorship = _CENSORSHIP.search(plain(str(event.name))) is not None
    if set(values) <= {"0", "1"} or {"0", "1"} <= set(values):
        return ("0", "1") if censorship else ("1", "0")
    if {"1", "2"} <= set(values):  # as R's survival package codes it
        return ("1", "2") if censorship else ("2", "1")
    censored = [value for value in values if _CENSORED_WORD.search(value.casefold())]
    happened = [value for value in values if value not in censored and _EVENT_WORD.search(value.casefold())]
    if censorship and {value.casefold() for value in values} == {"no", "yes"}:
        censored, happened = happened, censored
    rest = [value for value in values if value not in censored and value not in happened]
    return next(iter(happened + rest), UNANSWERED), next(iter(censored + rest[::-1]), UNANSWERED)


def _shown(value: str) -> str:
    """A value as study.yaml shows it: "1.0" as "1"; words as they are."""
    return code(value) if code(value).lstrip("-").isdigit() else value


def _covariates(columns: dict[str, pd.Series[str]]) -> tuple[list[CovariateGuess], list[str]]:
    guesses: list[CovariateGuess] = []
    notes: list[str] = []
    known = {name: column for name, column in columns.items() if len(_present(column)) > 0}
    age = next((name for name in known if _is_age(name, known[name])), None)
    if age is not None:
        guesses.append(CovariateGuess("age", age, "numeric"))
    sex = _first(known, re.compile(r"sex|gender"))
    if sex is not None:
        guesses.append(CovariateGuess("sex", sex, "categorical"))
    stage = _stage(known)
    if stage is not None:
        guesses.append(stage)
    grade = next((name for name in known if re.search(r"(?:^|_)grade(?:_|$)", plain(name))), None)
    if grade is not None:
        order = _grade_order(known[grade])
        if order is not None:
            guesses.append(CovariateGuess("grade", grade, "ordinal", order))
        else:
            values = ", ".join(sorted(set(_present(known[grade])))[:8])
            notes.append(
                f"the values of {grade} are in no order known to kemm ({values}): "
                "add it to cohort.covariates with its values from best to worst"
            )
    return guesses, notes


def _is_age(name: str, column: pd.Series[str]) -> bool:
    return re.search(r"(?:^|_)age(?:_|$)", plain(name)) is not None and not numbers(column)[1].any()


def _stage(columns: dict[str, pd.Series[str]]) -> CovariateGuess | None:
    named = [name for name in columns if re.search(r"stage|figo", plain(name))]
    # "stage" itself first, then what the pathologist saw before what the clinician expected.
    named.sort(key=lambda name: (plain(name) != "stage", "path" not in plain(name)))
    for name in named:
        values = set(_present(columns[name]))
        if all(_is_stage_group(value) for value in values):
            is_figo = "figo" in plain(name) or any(re.search(r"IIIC[12]|FIGO", value) for value in values)
            return CovariateGuess("stage", name, "ordinal", "figo" if is_figo else "ajcc")
    return None


def _is_stage_group(value: str) -> bool:
    try:
        rank = stage_rank(value)
    except NotAStage:
        return False
    return rank is None or rank.ladder == "group"


def _grade_order(column: pd.Series[str]) -> tuple[str, ...] | None:
    found = {value for value in _present(column) if not re.fullmatch(r"G?X|\[.*\]", value, re.IGNORECASE)}
    found = {_shown(value) for value in found}
    for ladder in _GRADES:
        places = {level.casefold(): place for place, level in enumerate(ladder)}
        if found and all(value.casefold() in places for value in found):
            return tuple(sorted(found, key=lambda value: places[value.casefold()]))
    return None
