"""What a model makes of what was planted, beside another library's regression."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import linregress

from kemm.results.records import PlantedSignal
from kemm.results.truth import planted_signal

SIGNAL = {"name": "Hypoxia response", "modality": "genes", "token": "hypoxia response", "true_effect": 0.75}
CASES = [f"case {number}" for number in range(80)]
PLANTED = dict(zip(CASES, np.random.default_rng(0).normal(3.0, 2.0, 80).tolist(), strict=True))


def judged(
    slope: float, noise: float, cases: list[str] = CASES, loud: float = 0.001, **signal: object
) -> PlantedSignal:
    """The signal, with effects that follow what was planted by `slope` a unit, and noise.

    `loud`: how much another thing moves the risk, of which nothing was planted.
    """
    random = np.random.default_rng(1)
    said = {**SIGNAL, **signal}
    name = "all patches" if said["modality"] == "slides" else said["token"]
    effects = [
        {
            "case": case,
            "modality": said["modality"],
            "name": name,
            "effect": slope * PLANTED[case] + random.normal(0, noise),
        }
        for case in cases
    ]
    other = [
        {"case": case, "modality": "genes", "name": "another group", "effect": loud * place}
        for place, case in enumerate(cases)
    ]
    return planted_signal(said, PLANTED, effects + other, ["another group"])


def test_the_estimate_is_the_slope_for_one_deviation_with_its_standard_error() -> None:
    found = judged(0.1, 0.3)
    spread = np.std(list(PLANTED.values()))
    random = np.random.default_rng(1)
    x = np.array([PLANTED[case] for case in CASES]) / spread
    y = [0.1 * PLANTED[case] + random.normal(0, 0.3) for case in CASES]
    oracle = linregress(x, y)
    assert found.estimated_effect == pytest.approx(oracle.slope)
    assert found.error == pytest.approx(oracle.stderr)
    assert found.found


@pytest.mark.parametrize(
    ("slope", "noise", "found"),
    [(0.1, 0.1, True), (-0.1, 0.1, False), (0.0, 0.3, False)],
    ids=["as planted", "the wrong way round", "noise"],
)
def test_found_means_the_right_sign_beyond_doubt(slope: float, noise: float, found: bool) -> None:
    assert judged(slope, noise).found is found


def test_a_protective_effect_is_found_by_a_falling_risk() -> None:
    assert judged(-0.1, 0.1, true_effect=-0.6).found
    assert not judged(0.1, 0.1, true_effect=-0.6).found


def test_what_was_planted_in_slides_is_compared_with_all_patches() -> None:
    assert judged(0.1, 0.1, modality="slides", token="solid growth").found


def test_with_few_cases_nothing_is_estimated() -> None:
    found = judged(0.1, 0.0, CASES[:9])
    assert (found.estimated_effect, found.error, found.found) == (None, None, False)


def test_what_moves_the_risk_less_than_noise_is_not_found() -> None:
    assert judged(0.1, 0.1, loud=0.001).found
    assert not judged(0.1, 0.1, loud=0.1).found
