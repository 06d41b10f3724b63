"""The known truth: what was planted, how strongly, and the outcomes that follow from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Modality = Literal["covariates", "report", "genes", "slides"]
MODALITIES: tuple[Modality, ...] = get_args(Modality)

Values = Mapping[str, NDArray[np.float64]]
"""What was drawn for each planted token, one number a case."""


@dataclass(frozen=True, kw_only=True)
class Signal:
    """One cause of a case's hazard, and where a model can read it."""

    name: str
    modality: Modality
    token: str
    """The covariate, field of the report, gene group or pattern of patches that carries it."""
    log_hazard_ratio: float
    """For one unit of the value; above 0 is worse."""
    unit: str
    also: Mapping[str, str]
    """Tokens of other modalities that show it too, by modality."""

    @property
    def tokens(self) -> list[tuple[str, str]]:
        """Every (modality, token) that shows it."""
        return [(self.modality, self.token), *self.also.items()]


def _signal(
    name: str, modality: Modality, token: str, log_hazard_ratio: float, unit: str, **also: str
) -> Signal:
    return Signal(
        name=name, modality=modality, token=token, log_hazard_ratio=log_hazard_ratio, unit=unit, also=also
    )


LYMPHOVASCULAR, NECROSIS = "lymphovascular_invasion", "necrosis"
HYPOXIA, T_CELLS = "hypoxia response", "cytotoxic T cells"
SOLID_GROWTH = "solid eosinophilic growth"

# Each modality adds about as much as another (SD 0.8 to 0.9 of the log hazard), so that leaving one out costs.
SIGNALS: tuple[Signal, ...] = (
    _signal("Age", "covariates", "age", 0.04, "year"),
    _signal("Stage", "covariates", "stage", 0.55, "stage group", report="pT"),
    _signal("Grade", "covariates", "grade", 0.4, "grade", report="grade"),
    _signal("Lymphovascular invasion", "report", LYMPHOVASCULAR, 1.25, "present against absent"),
    _signal("Tumour necrosis", "report", NECROSIS, 1.15, "present against absent"),
    _signal("Hypoxia response", "genes", HYPOXIA, 0.7, "SD of the latent programme"),
    _signal("Cytotoxic T cells", "genes", T_CELLS, -0.6, "SD of the latent programme"),
    _signal(
        "Solid eosinophilic growth", "slides", SOLID_GROWTH, 0.8, "10 percentage points of a slide's patches"
    ),
)

EVENT_SHARE = 0.5
WEIBULL_SHAPE = 1.2
"""Above 1: the hazard of death rises with time since the operation."""
DISEASE_SHARE = 0.8
"""Of deaths, drawn by chance: so the hazard ratios of death from the disease are those of any death."""
LOST_TO_FOLLOW_UP = 96.0
"""Mean months until a patient is lost, were nothing else to end the follow-up."""
UNKNOWN_CAUSE_SHARE = 0.03


def log_hazard_parts(values: Values, planted: Collection[str]) -> dict[Modality, NDArray[np.float64]]:
    """Each modality's part of the true log hazard, centred over the cases; zero where not planted."""
    cases = len(next(iter(values.values())))
    parts = {modality: np.zeros(cases) for modality in MODALITIES}
    for signal in SIGNALS:
        if signal.modality in planted:
            value = values[signal.token]
            parts[signal.modality] += signal.log_hazard_ratio * (value - value.mean())
    return parts


@dataclass(frozen=True, kw_only=True)
class Outcomes:
    """What was observed, (case,) each. True in `event`: the death was seen at `months`."""

    months: NDArray[np.float64]
    event: NDArray[np.bool_]
    disease_event: NDArray[np.bool_]
    """The death was seen and the disease was its cause."""
    cause_known: NDArray[np.bool_]


def draw_outcomes(log_hazard: NDArray[np.float64], random: np.random.Generator) -> Outcomes:
    """Weibull times with proportional hazards, censored independently and at the end of the study.

    Half the cases are deaths: the baseline hazard is set so, for any number of cases.
    """
    cases = len(log_hazard)
    # T = scale * (E / exp(log hazard)) ** (1 / shape) with E exponential has hazard ratio exp(log hazard).
    unscaled = (random.exponential(size=cases) * np.exp(-log_hazard)) ** (1 / WEIBULL_SHAPE)
    lost = random.exponential(LOST_TO_FOLLOW_UP, cases)
    study_ends = random.uniform(12.0, 120.0, cases)  # recruited over nine years, closed on one day
    censored = np.minimum(lost, study_ends)
    scale = float(np.quantile(censored / unscaled, 1 - EVENT_SHARE))
    died = scale * unscaled
    event = died <= censored
    months = np.maximum(np.round(np.minimum(died, censored), 2), 0.03)  # a day at the least
    return Outcomes(
        months=months,
        event=event,
        disease_event=event & (random.random(cases) < DISEASE_SHARE),
        cause_known=~event | (random.random(cases) >= UNKNOWN_CAUSE_SHARE),
    )


def true_concordance(
    log_hazard: NDArray[np.float64], months: NDArray[np.float64], event: NDArray[np.bool_]
) -> float:
    """Harrell's C of the true log hazard: of the pairs where it is known who died first, the share ranked so.

    Equal log hazards count half; a pair that died at the same time is left out.
    """
    right = pairs = 0.0
    for case in np.flatnonzero(event):
        later = (months > months[case]) | ((months == months[case]) & ~event)
        pairs += later.sum()
        right += (log_hazard[case] > log_hazard[later]).sum() + 0.5 * (
            log_hazard[case] == log_hazard[later]
        ).sum()
    return float(right / pairs)


def effects_per_sd(values: Values, planted: Sequence[str]) -> dict[str, float]:
    """The planted log hazard ratio of one standard deviation, by token."""
    return {
        signal.token: signal.log_hazard_ratio * float(values[signal.token].std())
        for signal in SIGNALS
        if signal.modality in planted
    }
