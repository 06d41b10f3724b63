from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kemm.core.errors import InputError
from kemm.core.files import read_arrays, write_arrays
from kemm.core.types import CaseId
from kemm.modalities.genomics import (
    Column,
    GeneGroup,
    Genomics,
    GenomicsConfig,
    GroupFeatures,
    Projection,
    fit_group_features,
    select_groups,
)

rng = np.random.default_rng(20240501)


def group(name: str, *columns: int) -> GeneGroup:
    return GeneGroup(name=name, columns=columns, genes_measured=len(columns), genes_listed=len(columns))


def columns(count: int, data_type: str = "rnaseq") -> list[Column]:
    return [Column(f"G{place}", data_type) for place in range(count)]


GROUPS = [group("one", 0, 1, 2), group("two", 2, 3, 4, 5), group("single", 6)]


def random_values(cases: int = 60) -> np.ndarray:
    values = rng.normal(size=(cases, 8)).astype(np.float32)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[5, [0, 1, 2]] = np.nan
    values[9] = np.nan
    return values


def test_the_projection_of_a_hand_worked_table() -> None:
    # Cases on the line (1, 2): one dimension. Centred lengths -1, 0, 1 times sqrt(5): over their deviation -1.22, 0, 1.22.
    projection = Projection.fit(np.array([[0.0, 0], [1, 2], [2, 4]]), components=3)
    assert projection.weights.shape == (2, 1)
    np.testing.assert_allclose(
        projection(np.array([[0.0, 0], [1, 2], [2, 4]]))[:, 0], [-(1.5**0.5), 0, 1.5**0.5]
    )


def test_the_weight_furthest_from_zero_is_positive() -> None:
    values = rng.normal(size=(40, 5))
    for sign in (1, -1):
        weights = Projection.fit(sign * values, components=5).weights
        assert (weights[np.abs(weights).argmax(axis=0), np.arange(5)] > 0).all()


def test_components_have_unit_variance_on_training_cases_and_are_uncorrelated() -> None:
    values = rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))
    components = Projection.fit(values, components=4)(values)
    np.testing.assert_allclose(np.cov(components.T, bias=True), np.eye(4), atol=1e-8)


def test_a_planted_factor_is_the_first_component_of_its_group() -> None:
    factor = rng.normal(size=300)
    values = rng.normal(size=(300, 12))
    values[:, :6] += 2 * factor[:, None]
    features = GroupFeatures.fit(
        values, columns(12), [group("planted", *range(6)), group("noise", *range(6, 12))], components=2
    )
    packed, _ = features.transform(values)
    assert np.corrcoef(packed[:, 0, 0], factor)[0, 1] > 0.95
    assert abs(np.corrcoef(packed[:, 1, 0], factor)[0, 1]) < 0.2


def test_groups_are_absent_where_nothing_of_them_was_measured() -> None:
    values = random_values()
    packed, present = GroupFeatures.fit(values, columns(8), GROUPS, components=2).transform(values)

    assert packed.shape == (60, 3, 2)
    assert packed.dtype == np.float32
    np.testing.assert_array_equal(present[:, 0], ~np.isnan(values[:, :3]).all(axis=1))
    assert not present[5, 0]
    assert present[5, 1]
    assert not present[9].any()
    assert (packed[~present] == 0).all()
    assert (packed[:, 2, 1] == 0).all()  # a group of one column has one component


def test_without_reduction_a_group_is_its_scaled_columns_then_zeros() -> None:
    values = random_values()
    features = GroupFeatures.fit(values, columns(8), GROUPS, reduction="none", transforms={"rnaseq": "z"})
    packed, _ = features.transform(values)

    assert packed.shape == (60, 3, 4)
    mean, deviation = np.nanmean(values[:, 3], dtype=float), np.nanstd(values[:, 3], dtype=float)
    expected = np.where(np.isnan(values[:, 3]), 0, (values[:, 3] - mean) / deviation)
    shown = ~np.isnan(values[:, 2:6]).all(axis=1)
    np.testing.assert_allclose(packed[shown, 1, 1], expected[shown], atol=1e-5)
    assert (packed[:, 0, 3] == 0).all()


def test_a_group_that_lost_its_columns_in_training_stays_by_name_and_is_never_present() -> None:
    values = random_values()
    training = values.copy()
    training[:, 6] = 1.0
    features = GroupFeatures.fit(training, columns(8), GROUPS, components=2)
    packed, present = features.transform(values)

    assert features.names == ("one", "two", "single")
    assert not present[:, 2].any()
    assert (packed[:, 2] == 0).all()


@given(st.sampled_from(["pca", "none"]), st.lists(st.integers(0, 59), min_size=1, max_size=20))
@settings(deadline=None, max_examples=30)
def test_features_of_a_case_do_not_depend_on_the_other_cases(reduction: str, chosen: list[int]) -> None:
    values = random_values()
    features = GroupFeatures.fit(values[:40], columns(8), GROUPS, reduction=reduction)  # type: ignore[arg-type]
    everyone, present = features.transform(values)
    some, some_present = features.transform(values[chosen])
    np.testing.assert_array_equal(some, everyone[chosen])
    np.testing.assert_array_equal(some_present, present[chosen])


def test_cases_of_the_test_part_do_not_shape_the_fit() -> None:
    cases = tuple(CaseId(f"P{place}") for place in range(60))
    genomics = Genomics(cases, tuple(columns(8)), random_values(), {})
    selection = select_groups(genomics, {"all": [f"G{place}" for place in range(8)]})
    changed = Genomics(
        cases, genomics.columns, np.vstack([genomics.values[:40], 99 + genomics.values[40:]]), {}
    )
    states = [
        fit_group_features(
            source.values_of(cases[:40]), source, selection, GenomicsConfig(tables=[{"path": "t.csv"}])
        ).state()[1]
        for source in (genomics, changed)
    ]
    for name, array in states[0].items():
        assert array.tobytes() == states[1][name].tobytes(), name


@pytest.mark.parametrize("reduction", ["pca", "none"])
def test_saved_without_pickle_and_loaded_they_give_the_same_bytes(tmp_path: Path, reduction: str) -> None:
    values = random_values()
    features = GroupFeatures.fit(values, columns(8), GROUPS, reduction=reduction)  # type: ignore[arg-type]
    state, arrays = features.state()
    write_arrays(tmp_path / "features.safetensors", arrays)
    loaded = GroupFeatures.from_state(
        json.loads(json.dumps(state)), read_arrays(tmp_path / "features.safetensors")
    )

    assert loaded.names == features.names
    assert loaded.columns == features.columns
    for mine, theirs in zip(features.transform(values), loaded.transform(values), strict=True):
        assert mine.tobytes() == theirs.tobytes()


def test_settings_reach_the_fit() -> None:
    genomics = Genomics(tuple(CaseId(str(i)) for i in range(60)), tuple(columns(8)), random_values(), {})
    config = GenomicsConfig.model_validate(
        {"tables": [{"path": "t.csv"}], "transforms": {"rnaseq": "asinh"}, "components": 3}
    )
    selection = select_groups(genomics, {"all": [f"G{place}" for place in range(8)]})
    features = fit_group_features(genomics.values, genomics, selection, config)

    assert features.scaling.chosen == {"rnaseq": "asinh"}
    assert features.width == 3


def test_a_training_part_without_genomics_is_refused_with_a_remedy() -> None:
    with pytest.raises(
        InputError, match=r"no training case has any genomics .* Take `genomics` out of study.yaml"
    ):
        GroupFeatures.fit(np.full((4, 8), np.nan), columns(8), GROUPS)
    with pytest.raises(ValueError, match="fitted on 8 columns, but there are 3"):
        GroupFeatures.fit(random_values(), columns(8), GROUPS).transform(np.zeros((1, 3)))
