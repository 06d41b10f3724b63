"""Principal components of everything measured, against the textbook and by what must hold."""

import json

import numpy as np
import pytest
from sklearn.decomposition import PCA

from kemm.modalities.genomics import Column, Spectrum

EXPRESSION = [Column(f"G{k}", "expr") for k in range(6)]


def fit(values: np.ndarray, columns: list[Column] = EXPRESSION, components: int = 3) -> Spectrum:
    return Spectrum.fit(
        values.astype(np.float32),
        columns,
        components=components,
        transforms={"expr": "z"},
        minimum_prevalence=0.02,
    )


@pytest.fixture
def values() -> np.ndarray:
    rng = np.random.default_rng(0)
    latent = rng.normal(size=(50, 2))
    return (latent @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(50, 6))).astype(np.float32)


def test_components_are_those_of_standardised_columns(values: np.ndarray) -> None:
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    expected = PCA(3, svd_solver="full").fit_transform(standard.astype(np.float64))
    found = fit(values).transform(values)
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-4)


def test_the_sign_of_a_component_is_that_of_its_largest_weight(values: np.ndarray) -> None:
    weights = fit(values).weights
    largest = weights[np.abs(weights).argmax(axis=0), np.arange(weights.shape[1])]
    assert (largest > 0).all()
    np.testing.assert_allclose(np.linalg.norm(weights, axis=0), 1, rtol=1e-6)


def test_codes_are_left_out_where_something_continuous_was_measured(values: np.ndarray) -> None:
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 2, size=(50, 4))
    columns = [*EXPRESSION, *(Column(f"G{k}", "mut") for k in range(4))]
    both = np.column_stack([values, codes]).astype(np.float32)
    other = both.copy()
    other[:, 6:] = 1 - other[:, 6:]
    spectrum = fit(both, columns)
    np.testing.assert_array_equal(spectrum.transform(both), spectrum.transform(other))
    np.testing.assert_allclose(spectrum.transform(both), fit(values).transform(values), atol=1e-5)


def test_codes_alone_are_used() -> None:
    codes = np.random.default_rng(2).integers(0, 2, size=(40, 5))
    spectrum = fit(codes, [Column(f"G{k}", "mut") for k in range(5)])
    assert spectrum.transform(codes.astype(np.float32)).std() > 0


def test_there_are_no_more_components_than_dimensions(values: np.ndarray) -> None:
    doubled = np.column_stack(
        [values[:, 0], values[:, 0] * 2, values[:, 1], values[:, 1], values[:, 0], values[:, 1]]
    )
    assert fit(doubled, components=5).weights.shape[1] == 2
    assert fit(values[:3], components=5).weights.shape[1] == 2, "three cases differ in two directions"


def test_cases_without_any_value_teach_nothing_and_are_put_at_the_mean(values: np.ndarray) -> None:
    with_blank = np.vstack([values, np.full((3, 6), np.nan, dtype=np.float32)])
    spectrum = fit(with_blank)
    np.testing.assert_array_equal(spectrum.weights, fit(values).weights)
    np.testing.assert_allclose(spectrum.transform(with_blank)[50:], 0, atol=1e-5)


def test_a_hidden_column_is_taken_to_be_at_the_training_mean(values: np.ndarray) -> None:
    spectrum = fit(values)
    at_mean = values.copy()
    at_mean[:, [1, 4]] = values.mean(axis=0)[[1, 4]]
    np.testing.assert_allclose(
        spectrum.transform(values, hidden=[1, 4]), spectrum.transform(at_mean), atol=1e-4
    )
    np.testing.assert_allclose(spectrum.transform(values, hidden=range(6)), 0, atol=1e-9)


def test_hidden_columns_are_meant_by_their_place_in_the_table_though_others_were_dropped() -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(size=(40, 6)).astype(np.float32)
    table[:, 2] = 7.0  # constant: dropped
    spectrum = fit(table)
    changed = table.copy()
    changed[:, 4] += 3.0
    np.testing.assert_array_equal(
        spectrum.transform(table, hidden=[4]), spectrum.transform(changed, hidden=[4])
    )
    assert np.abs(spectrum.transform(table, hidden=[3]) - spectrum.transform(changed, hidden=[3])).max() > 0.1


def test_each_case_is_made_by_itself(values: np.ndarray) -> None:
    spectrum = fit(values[:30])
    together = spectrum.transform(values)
    for row in (0, 17, 42):
        np.testing.assert_allclose(spectrum.transform(values[[row]])[0], together[row], rtol=1e-12)


def test_a_restored_spectrum_gives_the_same_bytes(values: np.ndarray) -> None:
    spectrum = fit(values[:30])
    settings, arrays = spectrum.state()
    restored = Spectrum.from_state(json.loads(json.dumps(settings)), arrays)
    np.testing.assert_array_equal(restored.transform(values), spectrum.transform(values))
    np.testing.assert_array_equal(
        restored.transform(values, hidden=[0]), spectrum.transform(values, hidden=[0])
    )


def test_nothing_that_varies_has_no_component() -> None:
    flat = np.ones((10, 6), dtype=np.float32)
    spectrum = fit(flat)
    assert spectrum.transform(flat).shape == (10, 0)
