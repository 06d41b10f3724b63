"""PANTHER's mixtures against scikit-learn's, and by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from slide_batches import EVERY, FEATURES, cases, model, small_head, standardised
from torch import Tensor, nn

from kemm.model.baselines.baseline import BaselinesConfig
from kemm.model.baselines.mixtures import PrototypeMixtures, fit_mixture, responsibilities
from kemm.model.baselines.panther import PANTHER
from kemm.model.batch import Bags, Inputs


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_responsibilities_are_bayes_of_normal_densities() -> None:
    patches, means, variances = normal(20, 4), normal(3, 4, seed=1), 0.3 + normal(3, 4, seed=2).square()
    weights = torch.tensor([[0.5], [0.2], [0.3]], dtype=torch.float64)
    densities = np.stack(
        [
            weight.item() * multivariate_normal(mean.numpy(), np.diag(variance.numpy())).pdf(patches.numpy())
            for weight, mean, variance in zip(weights, means, variances, strict=True)
        ],
        axis=1,
    )
    share = responsibilities(patches, weights, means, variances)
    np.testing.assert_allclose(share, densities / densities.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_without_a_prior_em_is_that_of_scikit_learn(steps: int) -> None:
    patches = torch.cat([normal(30, 4) + 2, normal(50, 4, seed=1) * 0.7 - 1, normal(20, 4, seed=2)])
    prototypes = normal(3, 4, seed=3)
    theirs = GaussianMixture(
        3,
        covariance_type="diag",
        weights_init=np.full(3, 1 / 3),
        means_init=prototypes.numpy(),
        precisions_init=np.ones((3, 4)),
        max_iter=steps,
        tol=0.0,
        reg_covar=0.0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        theirs.fit(patches.numpy())
    weights, means, variances = fit_mixture(patches, prototypes, steps=steps, prior=0.0)
    np.testing.assert_allclose(weights[:, 0], theirs.weights_)
    np.testing.assert_allclose(means, theirs.means_)
    np.testing.assert_allclose(variances, theirs.covariances_)


def test_a_prior_is_patches_about_the_prototype() -> None:
    # Far apart: each patch is of one component, and the third has none.
    prototypes = torch.tensor([[0.0], [100.0], [-100.0]])
    patches = torch.tensor([[1.0], [3.0], [101.0]])
    weights, means, variances = fit_mixture(patches, prototypes, prior=2.0)
    # The first: 1 and 3 of the case; beside them two at 0 with a variance of 1.
    assert weights[:, 0].tolist() == pytest.approx([4 / 9, 3 / 9, 2 / 9])
    assert means[:, 0].tolist() == pytest.approx([4 / 4, 301 / 3, -100.0])
    first = ((1 - 1) ** 2 + (3 - 1) ** 2 + 2 * ((0 - 1) ** 2 + 1)) / 4
    assert variances[0, 0].item() == pytest.approx(first)
    assert variances[2, 0].item() == pytest.approx(1.0)


def test_a_component_without_patches_stays_finite() -> None:
    wide = 50 * torch.randn(4, 600, generator=torch.Generator().manual_seed(0))
    parts = fit_mixture(wide[:1] + 0.1, wide, steps=3, prior=1.0)
    assert all(part.isfinite().all() for part in parts)
    assert all(part.isfinite().all() for part in fit_mixture(wide[:1] + 0.1, wide, prior=0.0))


def test_prototypes_and_patches_are_brought_to_one_scale_and_a_case_is_all_its_components() -> None:
    batch = cases([12, 0, 5])
    bags = batch.bags["slides"]
    assert bags.mean is not None
    assert bags.scale is not None
    prototypes = torch.randn(3, FEATURES, generator=torch.Generator().manual_seed(7))
    summary = PrototypeMixtures(prototypes)(bags)
    assert summary.shape == (3, 3, 1 + 2 * FEATURES)
    for case in (0, 2):
        parts = fit_mixture(standardised(batch, case), (prototypes - bags.mean[0]) / bags.scale[0])
        torch.testing.assert_close(summary[case], torch.cat(parts, dim=1), atol=1e-5, rtol=1e-5)
    assert not summary[1].any()


def test_each_prototype_has_a_layer_of_its_own_and_the_score_sees_all() -> None:
    network, batch = model("panther").eval(), cases([12])
    assert isinstance(network, PANTHER)
    summary = network.mixtures(batch.bags["slides"])[0]
    layers = [
        nn.functional.gelu(own @ weight + bias)
        for own, weight, bias in zip(summary, network.layers.weight, network.layers.bias, strict=True)
    ]
    expected = network.score.weight[0] @ torch.cat(layers)
    torch.testing.assert_close(network.branch_scores(batch).squeeze(), expected)


def test_the_order_of_patches_does_not_matter() -> None:
    network, batch = model("panther").eval(), cases([9])
    before = network.branch_scores(batch)
    bags = batch.bags["slides"]
    batch.bags["slides"] = Bags((bags.patches[0].flip(0),), bags.mean, bags.scale)
    torch.testing.assert_close(network.branch_scores(batch), before, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["panther", "mmp"])
def test_prototypes_are_needed(name: str) -> None:
    with pytest.raises(ValueError, match=r"needs Inputs\.prototypes: typical patches of the training part"):
        EVERY[name].build(BaselinesConfig(), Inputs(slide_features=4, gene_groups=2), small_head())
    assert [one for one, found in EVERY.items() if found.needs_prototypes] == ["panther", "mmp"]


def test_prototypes_stay_as_they_are_while_the_network_learns() -> None:
    network = model("panther").train()
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=1.0)
    network.branch_scores(cases([5, 6])).square().sum().backward()
    optimiser.step()
    moved = {name for name, value in network.named_parameters() if not torch.equal(before[name], value)}
    assert "mixtures.prototypes" not in moved
    assert "layers.weight" in moved
