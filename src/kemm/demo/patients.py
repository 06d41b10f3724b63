"""The made-up patients: everything drawn for them, and what follows for their outcome."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kemm.demo.expression import draw_programmes
from kemm.demo.hazard import (
    HYPOXIA,
    LYMPHOVASCULAR,
    NECROSIS,
    SOLID_GROWTH,
    T_CELLS,
    Modality,
    Outcomes,
    draw_outcomes,
    log_hazard_parts,
)
from kemm.demo.patches import draw_solid_shares
from kemm.demo.tumours import Tumour, draw_tumours

SITES = ("0A", "0B", "0C", "0D", "0E", "0F", "0G", "0H", "0J", "0K")
SITE_SHARES = (0.26, 0.19, 0.14, 0.11, 0.09, 0.07, 0.05, 0.04, 0.03, 0.02)
MISSING_SHARES: Mapping[Modality, float] = {"report": 0.10, "genes": 0.15, "slides": 0.10}


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers for one purpose: drawing more for one thing changes nothing else."""
    return np.random.default_rng([seed, *purpose.encode()])


@dataclass(frozen=True, kw_only=True)
class Patients:
    """The whole cohort, one entry a case in the order of the ids."""

    ids: tuple[str, ...]
    site: NDArray[np.int64]
    """Index into `SITES`."""
    age: NDArray[np.int64]
    male: NDArray[np.bool_]
    tumours: tuple[Tumour, ...]
    programmes: Mapping[str, NDArray[np.float64]]
    """Latent activity of each measured gene group."""
    solid_share: NDArray[np.float64]
    parts: Mapping[Modality, NDArray[np.float64]]
    """Each modality's part of the log hazard."""
    outcomes: Outcomes
    missing: Mapping[Modality, NDArray[np.bool_]]
    """Who lacks a modality; chance alone decides, and nobody lacks all three."""

    @cached_property
    def log_hazard(self) -> NDArray[np.float64]:
        """The true log hazard, relative to the cohort's mean."""
        return np.asarray(np.sum(list(self.parts.values()), axis=0))

    @cached_property
    def values(self) -> dict[str, NDArray[np.float64]]:
        """The planted values by token, (case,) each."""
        return planted_values(self.age, self.tumours, self.programmes, self.solid_share)


def planted_values(
    age: NDArray[np.int64],
    tumours: tuple[Tumour, ...],
    programmes: Mapping[str, NDArray[np.float64]],
    solid_share: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    """What the hazard depends on, by token, in the units of `hazard.SIGNALS`."""
    return {
        "age": age.astype(float),
        "stage": np.array([float(tumour.stage) for tumour in tumours]),
        "grade": np.array([float(tumour.grade) for tumour in tumours]),
        LYMPHOVASCULAR: np.array([float(tumour.lymphovascular_invasion) for tumour in tumours]),
        NECROSIS: np.array([float(tumour.necrosis) for tumour in tumours]),
        HYPOXIA: programmes[HYPOXIA],
        T_CELLS: programmes[T_CELLS],
        SOLID_GROWTH: 10 * solid_share,
    }


def draw_patients(cases: int, seed: int, planted: Collection[Modality]) -> Patients:
    """Draw a cohort whose hazard depends on the planted modalities only."""
    random = stream(seed, "patients")
    age = np.clip(random.normal(61, 11, cases).round(), 26, 92).astype(np.int64)
    # By shares, not by chance, so that every site has a patient; which patient is where is chance.
    site = np.searchsorted(np.cumsum(SITE_SHARES), (np.arange(cases) + 0.5) / cases)
    male = random.random(cases) < 0.62
    tumours = tuple(draw_tumours(cases, stream(seed, "tumours")))
    programmes = draw_programmes(cases, stream(seed, "programmes"))
    solid_share = draw_solid_shares(cases, stream(seed, "solid growth"))
    parts = log_hazard_parts(planted_values(age, tumours, programmes, solid_share), planted)
    return Patients(
        ids=tuple(f"DEMO-{SITES[place]}-{row:04d}" for row, place in enumerate(site, start=1)),
        site=site,
        age=age,
        male=male,
        tumours=tumours,
        programmes=programmes,
        solid_share=solid_share,
        parts=parts,
        outcomes=draw_outcomes(np.sum(list(parts.values()), axis=0), stream(seed, "outcomes")),
        missing=_draw_missing(cases, stream(seed, "missing")),
    )


def _draw_missing(cases: int, random: np.random.Generator) -> dict[Modality, NDArray[np.bool_]]:
    missing: dict[Modality, NDArray[np.bool_]] = {}
    for modality, share in MISSING_SHARES.items():
        allowed = np.flatnonzero(sum(missing.values(), np.zeros(cases, dtype=int)) < len(MISSING_SHARES) - 1)
        missing[modality] = np.zeros(cases, dtype=bool)
        missing[modality][random.choice(allowed, size=round(share * cases), replace=False)] = True
    return missing
