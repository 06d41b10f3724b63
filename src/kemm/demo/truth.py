"""The truth as it is written beside the study, for evaluation and tests to compare with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kemm.demo.expression import PANEL
from kemm.demo.hazard import MODALITIES, SIGNALS, Modality, effects_per_sd, true_concordance
from kemm.demo.patches import PATTERNS
from kemm.demo.patients import Patients

# What a model may find and should not: as visible as what was planted, and without any effect.
NOISE: Sequence[tuple[str, Modality, str]] = (
    ("Sex", "covariates", "sex"),
    ("Resection margins", "report", "margins"),
    ("Focality", "report", "multifocal"),
    ("Side", "report", "laterality"),
    *((name[:1].upper() + name[1:], "genes", name) for name in PANEL),
    *((name.capitalize(), "slides", name) for name in PATTERNS),
)


def truth_table(patients: Patients) -> pd.DataFrame:
    """A row a case: the true log hazard, its part of each modality, and the planted values."""
    parts = {str(modality): part for modality, part in patients.parts.items()}
    columns = {"true_log_hazard": patients.log_hazard, **parts, **patients.values}
    table = pd.DataFrame({name: np.round(column, 6) for name, column in columns.items()})
    table.insert(0, "case_id", list(patients.ids))
    return table


def truth_record(
    patients: Patients,
    planted: Sequence[Modality],
    settings: dict[str, Any],
    groups: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """What was planted, how strongly, where it is to be found, and what is noise; for truth.json."""
    outcomes = patients.outcomes
    effects = effects_per_sd(patients.values, planted)
    planted_signals = [signal for signal in SIGNALS if signal.modality in planted]
    tokens = {(modality, token) for signal in planted_signals for modality, token in signal.tokens}
    # A group that shares a gene with a planted one shows a little of its signal too.
    telling = {gene for modality, token in tokens if modality == "genes" for gene in groups[token]}
    tokens |= {("genes", name) for name, genes in groups.items() if telling & set(genes)}

    def concordance(log_hazard: NDArray[np.float64]) -> float:
        return round(true_concordance(log_hazard, outcomes.months, outcomes.event), 4)

    return {
        "settings": settings,
        "about": "Log hazard ratios; above 0 is worse. true_effect is for one standard deviation over the cases, "
        "effect_per_unit for one unit; missing counts the cases that lack a modality, by chance. "
        "Nobody may read this file to make a prediction.",
        "true_c": concordance(patients.log_hazard),
        "true_c_of_parts": {
            modality: concordance(patients.parts[modality]) for modality in MODALITIES if modality in planted
        },
        "missing": {modality: int(lacking.sum()) for modality, lacking in patients.missing.items()},
        "planted": [
            {
                "name": signal.name,
                "modality": signal.modality,
                "token": signal.token,
                "true_effect": round(effects[signal.token], 4),
                "effect_per_unit": signal.log_hazard_ratio,
                "unit": signal.unit,
                "also": dict(signal.also),
            }
            for signal in planted_signals
        ],
        "noise": [
            {"name": name, "modality": modality, "token": token}
            for name, modality, token in NOISE
            if (modality, token) not in tokens
        ],
    }
