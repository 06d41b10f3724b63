"""Made-up kidney tumours: what a pathologist could see of each, with stage groups that follow from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Side = Literal["left", "right"]

POLES = ("upper pole", "lower pole", "mid portion")
GRADE_SHARES = (0.06, 0.42, 0.36, 0.16)
"""Of G1 to G4, close to those of clear cell carcinoma in surgical series."""


@dataclass(frozen=True, kw_only=True)
class Tumour:
    """The facts that a report of the nephrectomy states."""

    side: Side
    pole: str
    size_cm: tuple[float, float, float]
    """Greatest dimension first."""
    grade: int
    """1 (best) to 4."""
    necrosis: bool
    lymphovascular_invasion: bool
    sarcomatoid: bool
    fat_invasion: bool
    """Into perinephric or sinus fat."""
    vein_invasion: bool
    """Into the renal vein."""
    margin_involved: bool
    multifocal: bool
    nodes_examined: int
    nodes_positive: int
    metastasis: bool
    """Known from the clinic; the report of the kidney does not tell."""

    @property
    def partial(self) -> bool:
        """Whether a part of the kidney was taken: done for small tumours that stay inside it."""
        return self.size_cm[0] <= 4 and not (self.fat_invasion or self.vein_invasion)

    @property
    def t(self) -> str:
        """The T category of AJCC 7, such as "T1b"."""
        if self.fat_invasion or self.vein_invasion:
            return "T3a"
        for limit, category in ((4.0, "T1a"), (7.0, "T1b"), (10.0, "T2a")):
            if self.size_cm[0] <= limit:
                return category
        return "T2b"

    @property
    def n(self) -> str:
        """The N category: "NX" where no node was sampled."""
        if self.nodes_examined == 0:
            return "NX"
        return "N1" if self.nodes_positive else "N0"

    @property
    def stage(self) -> int:
        """The stage group of AJCC 7, 1 to 4."""
        if self.metastasis:
            return 4
        if self.t == "T3a" or self.n == "N1":
            return 3
        return 2 if self.t.startswith("T2") else 1


def draw_tumours(cases: int, random: np.random.Generator) -> list[Tumour]:
    """Tumours whose size, spread and grade go together, while necrosis, lymphovascular invasion, margins and
    focality are independent of these and of each other."""
    advanced = random.standard_normal(cases)

    def related(weight: float) -> NDArray[np.float64]:
        return np.asarray(weight * advanced + np.sqrt(1 - weight**2) * random.standard_normal(cases))

    def chance(share: float | NDArray[np.float64]) -> NDArray[np.bool_]:
        return random.random(cases) < share

    aggressive = related(0.5)
    cuts = np.quantile(aggressive, np.cumsum(GRADE_SHARES)[:-1])
    grade = 1 + np.searchsorted(cuts, aggressive)
    greatest = np.clip(5.2 * np.exp(0.5 * related(0.75)), 1.2, 18.0)
    ratios = 1 - random.uniform(0.03, 0.3, size=(cases, 2)).cumsum(axis=1) / 2
    fat = chance(_logistic(-2.0 + 1.3 * advanced))
    vein = chance(_logistic(-2.2 + 1.1 * advanced))
    metastasis = chance(_logistic(-2.6 + 1.2 * advanced))
    # Nodes come with the whole kidney, and not with all of those.
    sampled = chance(0.45) & ((greatest > 4) | fat | vein)
    examined = np.where(sampled, random.integers(1, 13, cases), 0)
    node_rate = _logistic(-2.4 + 1.2 * advanced)
    positive = np.where(chance(node_rate), np.minimum(random.integers(1, 4, cases), examined), 0)
    left, necrosis, vessels = chance(0.5), chance(0.38), chance(0.30)
    sarcomatoid, margin, multifocal = (grade == 4) & chance(0.4), chance(0.06), chance(0.10)
    pole = random.integers(0, len(POLES), cases)
    return [
        Tumour(
            side="left" if left[row] else "right",
            pole=POLES[pole[row]],
            size_cm=_dimensions(greatest[row], ratios[row]),
            grade=int(grade[row]),
            necrosis=bool(necrosis[row]),
            lymphovascular_invasion=bool(vessels[row]),
            sarcomatoid=bool(sarcomatoid[row]),
            fat_invasion=bool(fat[row]),
            vein_invasion=bool(vein[row]),
            margin_involved=bool(margin[row]),
            multifocal=bool(multifocal[row]),
            nodes_examined=int(examined[row]),
            nodes_positive=int(positive[row]),
            metastasis=bool(metastasis[row]),
        )
        for row in range(cases)
    ]


def _logistic(value: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-value)))


def _dimensions(greatest: float, ratios: NDArray[np.float64]) -> tuple[float, float, float]:
    first = round(float(greatest), 1)
    second, third = (round(float(greatest * ratio), 1) for ratio in ratios)
    return first, second, third
