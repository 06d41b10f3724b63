"""TransMIL's parts against exact attention, and convolutions of torch."""

from __future__ import annotations

import pytest
import torch
from slide_batches import cases, model, standardised
from torch import Tensor, nn

from kemm.model import by_length
from kemm.model.baselines import nystrom
from kemm.model.baselines.nystrom import (
    KERNEL,
    NearbyValues,
    NystromAttention,
    attend_by_landmarks,
    pseudoinverse,
    segments,
)
from kemm.model.baselines.transmil import PyramidEncoding, TransMIL, squared
from kemm.model.batch import Bags, Tokens
from kemm.model.survival_model import SurvivalModel
from kemm.training.stacking import Noise, stack


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def first_ones(lengths: list[int], longest: int) -> Tensor:
    return torch.arange(longest) < torch.tensor(lengths)[:, None]


@pytest.mark.parametrize("landmarks", [9, 12])
def test_where_each_token_is_a_landmark_attention_is_exact(landmarks: int) -> None:
    query, key, value = (normal(3, 2, 9, 4, seed=seed) for seed in range(3))
    lengths = [9, 4, 1]
    seen = attend_by_landmarks(query, key, value, first_ones(lengths, 9), landmarks, steps=40)
    for case, length in enumerate(lengths):
        exact = nn.functional.scaled_dot_product_attention(
            query[case, :, :length], key[case, :, :length], value[case, :, :length]
        )
        torch.testing.assert_close(seen[case, :, :length], exact, atol=1e-6, rtol=1e-6)


def test_few_landmarks_come_near_where_tokens_come_in_groups() -> None:
    """Tokens of a segment that are alike are their landmark: the approximation loses nothing."""
    kinds = [normal(1, 1, 4, 8, seed=seed).repeat_interleave(10, dim=2) for seed in range(3)]
    query, key, value = (0.5 * kinds[0], kinds[1], kinds[2])
    present = torch.ones(1, 40, dtype=torch.bool)
    seen = attend_by_landmarks(query, key, value, present, 4, steps=30)
    torch.testing.assert_close(seen, nn.functional.scaled_dot_product_attention(query, key, value))


def test_landmarks_are_means_of_even_segments_of_a_cases_own_tokens() -> None:
    share, there = segments(first_ones([7, 2, 0], 9), 3)
    assert there.tolist() == [[True] * 3, [True, True, False], [False] * 3]
    expected = torch.zeros(3, 9)
    expected[0, :3] = 1 / 3
    expected[1, 3:5] = 1 / 2
    expected[2, 5:7] = 1 / 2
    torch.testing.assert_close(share[0], expected)
    assert share[1].tolist() == [[1.0, *[0.0] * 8], [0.0, 1.0, *[0.0] * 7], [0.0] * 9]
    assert not share[2].any()


def test_the_pseudoinverse_is_that_of_linear_algebra() -> None:
    square = torch.softmax(normal(5, 6, 6), dim=-1)
    torch.testing.assert_close(pseudoinverse(square, 60), torch.linalg.pinv(square), atol=1e-6, rtol=1e-6)
    framed = nn.functional.pad(square, (0, 2, 0, 2))
    torch.testing.assert_close(pseudoinverse(framed, 60), torch.linalg.pinv(framed), atol=1e-6, rtol=1e-6)
    # With the paper's steps and softmaxes that are not near singular it is good to a thousandth.
    close = torch.softmax(3 * torch.eye(6, dtype=torch.float64) + 0.3 * normal(4, 6, 6), dim=-1)
    torch.testing.assert_close(pseudoinverse(close, 6), torch.linalg.pinv(close), atol=1e-3, rtol=1e-3)


def test_values_nearby_are_summed_as_by_a_convolution_of_torch() -> None:
    layer, value = NearbyValues(3), normal(2, 3, 50, 4, dtype=torch.float32)
    convolution = nn.Conv2d(3, 3, (KERNEL, 1), padding=(KERNEL // 2, 0), groups=3, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(layer.weight.view(3, 1, KERNEL, 1))
    torch.testing.assert_close(layer(value), convolution(value))


@pytest.mark.parametrize(
    ("count", "order"),
    [
        (1, [0]),
        (2, [0, 1, 0, 1]),
        (3, [0, 1, 2, 0]),
        (4, [0, 1, 2, 3]),
        (5, [0, 1, 2, 3, 4, 0, 1, 2, 3]),
    ],
)
def test_patches_fill_a_square_the_first_once_more(count: int, order: list[int]) -> None:
    values = normal(2, 6, 3)
    square, sides = squared(Tokens(values, first_ones([count, 0], 6)))
    assert sides.tolist() == [round(len(order) ** 0.5), 0]
    assert torch.equal(square.values[0], values[0, order])
    assert square.present.tolist() == [[True] * len(order), [False] * len(order)]


def test_places_are_encoded_by_three_convolutions_on_each_cases_own_square() -> None:
    layer = PyramidEncoding(6)
    with torch.no_grad():
        layer.bias.copy_(normal(6, dtype=torch.float32))
    sides = [5, 2, 3]
    values = normal(3, 25, 6, dtype=torch.float32)
    made = layer(values, first_ones([side**2 for side in sides], 25), torch.tensor(sides))
    for case, side in enumerate(sides):
        grid = values[case, : side**2].T.reshape(1, 6, side, side)
        expected = grid + layer.bias[:, None, None]
        for kernel in (layer.seven, layer.five, layer.three):
            expected = expected + nn.functional.conv2d(
                grid, kernel[:, None], padding=kernel.shape[1] // 2, groups=6
            )
        torch.testing.assert_close(made[case, : side**2], expected.flatten(2)[0].T, atol=1e-5, rtol=1e-5)
        assert not made[case, side**2 :].any()


def exact(attention: NystromAttention, values: Tensor) -> Tensor:
    """The layer with all of the softmax, of one case."""
    heads = attention.heads
    query, key, value = (
        part.unflatten(1, (heads, -1)).transpose(0, 1)
        for part in attention.project(attention.norm(values)).chunk(3, dim=-1)
    )
    seen = torch.softmax(query @ key.mT / query.shape[-1] ** 0.5, dim=-1) @ value
    seen = seen + attention.nearby(value[None])[0]
    return values + attention.out(seen.transpose(0, 1).flatten(1))


def test_a_small_case_is_as_if_every_token_attended_to_every_other() -> None:
    """Four patches and the class token are fewer than the landmarks: spelled out with exact attention."""
    network, batch = model("transmil").eval().double(), cases([4])
    assert isinstance(network, TransMIL)
    batch.bags["slides"] = Bags((standardised(batch, 0).double(),), precision=torch.float64)
    said = network.branch_scores(batch).item()
    patches = network.patches(batch.bags["slides"]).values[0]
    tokens = exact(network.first, torch.cat([network.asks.values, patches]))
    placed = network.places(tokens[None, 1:], torch.ones(1, 4, dtype=torch.bool), torch.tensor([2]))[0]
    last = exact(network.second, torch.cat([tokens[:1], placed]))
    expected = network.score(network.norm(last[0])).item()
    # The paper's few steps towards the pseudoinverse leave a little way to go.
    assert said == pytest.approx(expected, rel=0.02)
    network.first.steps = network.second.steps = 60
    assert network.branch_scores(batch).item() == pytest.approx(expected, rel=1e-6)


def scores_at(network: SurvivalModel, patches: Tensor, bags: Bags) -> float:
    batch = cases([1])
    batch.bags["slides"] = Bags((patches,), bags.mean, bags.scale)
    return network.branch_scores(batch).item()


def test_order_is_place() -> None:
    network, bags = model("transmil").eval(), cases([30]).bags["slides"]
    here = scores_at(network, bags.patches[0], bags)
    turned = scores_at(
        network, bags.patches[0][torch.randperm(30, generator=torch.Generator().manual_seed(1))], bags
    )
    assert abs(here - turned) > 1e-4


def test_cases_may_be_computed_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    networks, batch = [model("transmil", seed=seed) for seed in (0, 1)], cases([5, 30, 0, 2, 9, 16])
    found = []
    for most in (2**14, 64, 1):
        monkeypatch.setattr(nystrom, "MOST_TOKENS", most)
        together = stack(networks, Noise([0, 1])).train()
        said = together.branch_scores(batch)
        said.square().sum().backward()
        found.append([said, *(one.grad for one in together.parameters())])
    for other in found[1:]:
        torch.testing.assert_close(other, found[0], atol=1e-5, rtol=1e-4)


def test_whole_bags_are_predicted_in_groups_of_a_length(monkeypatch: pytest.MonkeyPatch) -> None:
    networks, batch = [model("transmil", seed=seed) for seed in (0, 1)], cases([5, 30, 0, 2, 9, 16, 1, 40])
    together = stack(networks, Noise([0, 1])).eval()
    found = []
    for most in (8, 3, 1):
        monkeypatch.setattr(by_length, "CASES_OF_A_LENGTH", most)
        found.append(together.branch_scores(batch))
    torch.testing.assert_close(found[1:], [found[0]] * 2)
