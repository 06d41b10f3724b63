"""KECM and the layers around it, against loops in numpy and by their properties."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from kemm.model import attention
from kemm.model.attention import (
    KECM,
    GatedEvidence,
    GatedPooling,
    OneToken,
    SelfAttention,
    attend_by_head,
    masked_softmax,
)
from kemm.model.batch import Tokens

WIDTH, HEADS = 8, 2


def some_tokens(seed: int, cases: int, count: int, present: list[list[bool]] | None = None) -> Tokens:
    values = torch.randn(cases, count, WIDTH, generator=torch.Generator().manual_seed(seed))
    mask = torch.ones(cases, count, dtype=torch.bool) if present is None else torch.tensor(present)
    return Tokens(values, mask)


def kecm(seed: int = 0) -> KECM:
    torch.manual_seed(seed)
    return KECM(WIDTH, HEADS, dropout=0.5).eval()


def asked_of(module: KECM, knowledge: Tokens, modality: Tokens) -> tuple[Tokens, Tensor]:
    """Evidence and attention."""
    return module(knowledge, modality), module.looks(knowledge, modality)


# --- an oracle: one case, one head, one query at a time --------------------------------------


def _linear(layer: nn.Module, vector: np.ndarray) -> np.ndarray:
    out: np.ndarray = layer.weight.detach().double().numpy() @ vector
    return out if getattr(layer, "bias", None) is None else out + layer.bias.detach().double().numpy()


def _layer_norm(layer: nn.Module, vector: np.ndarray) -> np.ndarray:
    standard = (vector - vector.mean()) / math.sqrt(vector.var() + layer.eps)
    out: np.ndarray = standard * layer.weight.detach().numpy() + layer.bias.detach().numpy()
    return out


def _gelu(vector: np.ndarray) -> np.ndarray:
    return np.array([0.5 * value * (1 + math.erf(value / math.sqrt(2))) for value in vector])


def _feed_forward(block: nn.Module, vector: np.ndarray) -> np.ndarray:
    norm, widen, narrow = (layer for layer in block.modules() if isinstance(layer, nn.LayerNorm | nn.Linear))
    out: np.ndarray = vector + _linear(narrow, _gelu(_linear(widen, _layer_norm(norm, vector))))
    return out


def looped_kecm(
    module: KECM, knowledge: np.ndarray, patches: np.ndarray
) -> tuple[list[np.ndarray], np.ndarray]:
    """Evidence and attention (query, patch) of one case, all of whose tokens are present."""
    part = WIDTH // HEADS
    attention = np.zeros((HEADS, len(knowledge), len(patches)))
    evidence = []
    for asked, statement in enumerate(knowledge):
        query = _linear(module.query, _layer_norm(module.norm, statement))
        seen = []
        for head in range(HEADS):
            own = slice(head * part, (head + 1) * part)
            scores = [query[own] @ _linear(module.key, patch)[own] / math.sqrt(part) for patch in patches]
            raised = np.exp(np.array(scores) - max(scores))
            attention[head, asked] = raised / raised.sum()
            seen.append(
                sum(
                    w * _linear(module.value, p)[own]
                    for w, p in zip(attention[head, asked], patches, strict=True)
                )
            )
        evidence.append(
            _feed_forward(module.feed_forward, statement + _linear(module.out, np.concatenate(seen)))
        )
    return evidence, attention.mean(axis=0)


def test_kecm_is_the_loop_over_heads_that_its_equation_says() -> None:
    module, knowledge, patches = kecm(), some_tokens(1, 1, 3), some_tokens(2, 1, 5)
    evidence, attention = asked_of(module, knowledge, patches)
    expected, looked = looped_kecm(
        module, knowledge.values[0].double().numpy(), patches.values[0].double().numpy()
    )
    np.testing.assert_allclose(evidence.values[0].detach().numpy(), np.array(expected), atol=2e-6)
    np.testing.assert_allclose(attention[0].detach().numpy(), looked, atol=1e-6)


def test_attention_sums_to_one_over_present_tokens_and_is_zero_on_absent_ones() -> None:
    patches = some_tokens(2, 2, 4, [[True, True, False, True], [False, True, False, False]])
    attention = kecm().looks(some_tokens(1, 2, 3), patches)
    torch.testing.assert_close(attention.sum(dim=2), torch.ones(2, 3))
    assert (attention[0, :, 2] == 0).all()
    torch.testing.assert_close(attention[1, :, 1], torch.ones(3))


def test_a_case_without_the_modality_has_no_evidence_and_no_attention() -> None:
    patches = some_tokens(2, 2, 4, [[True] * 4, [False] * 4])
    evidence, attention = asked_of(kecm(), some_tokens(1, 2, 3), patches)
    assert evidence.present.tolist() == [[True] * 3, [False] * 3]
    assert (attention[1] == 0).all()
    assert torch.isfinite(evidence.values).all()


def test_a_statement_that_is_absent_has_no_evidence() -> None:
    knowledge = some_tokens(1, 1, 3, [[True, False, True]])
    evidence = kecm()(knowledge, some_tokens(2, 1, 4))
    assert evidence.present.tolist() == [[True, False, True]]


def test_permuting_patches_permutes_attention_and_leaves_evidence() -> None:
    module, knowledge, patches = kecm(), some_tokens(1, 1, 3), some_tokens(2, 1, 6)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    evidence, attention = asked_of(module, knowledge, patches)
    shuffled, moved = asked_of(module, knowledge, Tokens(patches.values[:, order], patches.present[:, order]))
    torch.testing.assert_close(moved, attention[:, :, order])
    torch.testing.assert_close(shuffled.values, evidence.values)


def test_padding_changes_nothing_whatever_it_holds() -> None:
    module, knowledge, patches = kecm(), some_tokens(1, 1, 3), some_tokens(2, 1, 4)
    padded = Tokens(
        torch.cat([patches.values, torch.full((1, 7, WIDTH), 1e4)], dim=1),
        torch.cat([patches.present, torch.zeros(1, 7, dtype=torch.bool)], dim=1),
    )
    evidence, attention = asked_of(module, knowledge, patches)
    same, wider = asked_of(module, knowledge, padded)
    torch.testing.assert_close(same.values, evidence.values)
    torch.testing.assert_close(wider[:, :, :4], attention)
    assert (wider[:, :, 4:] == 0).all()


def test_attention_finds_the_patch_that_a_statement_asks_for() -> None:
    module = kecm()
    with torch.no_grad():  # the query of a statement is the statement, the key of a patch the patch
        for layer in (module.query, module.key):
            layer.weight.copy_(torch.eye(WIDTH))
        module.query.bias.zero_()
    knowledge, patches = some_tokens(1, 1, 2), some_tokens(2, 1, 30)
    asked = module.norm(knowledge.values)
    values = patches.values.clone()
    values[0, 11], values[0, 23] = 20 * asked[0, 0], 20 * asked[0, 1]
    attention = module.looks(knowledge, Tokens(values.detach(), patches.present))
    assert attention[0].argmax(dim=1).tolist() == [11, 23]
    assert attention[0, 0, 11] > 0.99
    assert attention[0, 1, 23] > 0.99


def test_training_moves_attention_to_the_patch_that_decides() -> None:
    """One patch of 20 carries the answer, marked by its first number; the others are noise."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    module, read = KECM(WIDTH, HEADS, dropout=0.0), nn.Linear(WIDTH, 1)
    knowledge = Tokens(torch.ones(32, 1, WIDTH), torch.ones(32, 1, dtype=torch.bool))
    optimiser = torch.optim.Adam([*module.parameters(), *read.parameters()], lr=0.01)
    for _ in range(120):
        values = torch.randn(32, 20, WIDTH, generator=generator)
        planted = torch.randint(20, (32,), generator=generator)
        values[:, :, 0] = 0.0
        values[torch.arange(32), planted, 0] = 4.0
        evidence, attention = asked_of(
            module, knowledge, Tokens(values, torch.ones(32, 20, dtype=torch.bool))
        )
        loss = (read(evidence.values[:, 0])[:, 0] - values[torch.arange(32), planted, 1]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    on_planted = attention[torch.arange(32), 0, planted].mean().item()
    assert on_planted > 0.5, f"attention on the deciding patch is {on_planted:.2f}, the even share 0.05"


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="width 10 is not a multiple of heads 4"):
        KECM(10, 4, 0.0)


def test_self_attention_does_not_look_at_absent_tokens() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(WIDTH, HEADS, dropout=0.5).eval()
    tokens = some_tokens(1, 1, 4, [[True, True, False, True]])
    changed = tokens.values.clone()
    changed[0, 2] = 77.0
    one, other = layer(tokens), layer(Tokens(changed, tokens.present))
    here = [0, 1, 3]
    torch.testing.assert_close(one.values[:, here], other.values[:, here])
    assert torch.equal(one.present, tokens.present)


def test_self_attention_lets_present_tokens_see_one_another() -> None:
    torch.manual_seed(0)
    layer = SelfAttention(WIDTH, HEADS, dropout=0.5).eval()
    tokens = some_tokens(1, 1, 3)
    changed = tokens.values.clone()
    changed[0, 2] += torch.linspace(-3, 3, WIDTH)
    moved = (layer(tokens).values - layer(Tokens(changed, tokens.present)).values).abs()
    assert moved[0, 0].max() > 1e-3


@pytest.mark.parametrize("tokens", [3, 16, 19, 40])
@pytest.mark.parametrize("copy", [0, 4, math.inf])
def test_attention_is_a_softmax_however_many_tokens_are_taken_at_once(
    tokens: int, copy: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "COPY", copy)
    generator = torch.Generator().manual_seed(tokens)
    query, key, value = (
        torch.randn(3, HEADS, count, 4, generator=generator).requires_grad_()
        for count in (20, tokens, tokens)
    )
    present = torch.rand(3, tokens, generator=generator) < 0.6
    present[0], present[1] = True, False
    seen = attend_by_head(query, key, value, present)
    by_hand = masked_softmax(query @ key.mT / 2, present[:, None, None]) @ value
    torch.testing.assert_close(seen, by_hand)
    for own, hand in zip(
        *(torch.autograd.grad(made.square().sum(), (query, key, value)) for made in (seen, by_hand)),
        strict=True,
    ):
        torch.testing.assert_close(own, hand, atol=1e-5, rtol=1e-4)


def each_alone(pooling: GatedPooling, tokens: Tokens) -> np.ndarray:
    """What is pooled of each token of the first case as if it were the only one, (token, width)."""
    alone = [pooling(Tokens(tokens.values[:1, k : k + 1], tokens.present[:1, k : k + 1])) for k in range(3)]
    pooled: np.ndarray = torch.cat(alone).detach().double().numpy()
    return pooled


def test_pooling_passes_absent_tokens_over() -> None:
    torch.manual_seed(0)
    pooling, tokens = GatedPooling(WIDTH), some_tokens(1, 1, 3, [[False, True, False]])
    everywhere = Tokens(tokens.values, torch.ones_like(tokens.present))
    pooled = pooling(tokens)[0].detach().double().numpy()
    np.testing.assert_allclose(pooled, each_alone(pooling, everywhere)[1], atol=1e-6)


def test_pooling_weighs_tokens_by_their_gated_score() -> None:
    torch.manual_seed(0)
    pooling, tokens = GatedPooling(WIDTH), some_tokens(1, 1, 3)
    values = each_alone(pooling, tokens)
    scores = [
        _linear(
            pooling.score,
            np.tanh(_linear(pooling.content, value)) / (1 + np.exp(-_linear(pooling.gate, value))),
        )[0]
        for value in values
    ]
    weights = np.exp(scores) / np.exp(scores).sum()
    assert weights.max() - weights.min() > 0.02
    np.testing.assert_allclose(pooling(tokens)[0].detach().numpy(), weights @ values, atol=1e-6)


def test_pooling_of_a_case_without_tokens_is_zero() -> None:
    pooled = GatedPooling(WIDTH)(some_tokens(1, 2, 3, [[True] * 3, [False] * 3]))
    assert (pooled[1] == 0).all()
    assert (pooled[0] != 0).any()


def test_masked_softmax_of_a_hand_worked_row() -> None:
    # exp(ln 1) : exp(ln 3) = 1 : 3; the absent score, however large, counts for nothing.
    scores = torch.tensor([[0.0, 1e30, math.log(3.0)], [1.0, 2.0, 3.0]])
    weights = masked_softmax(scores, torch.tensor([[True, False, True], [False, False, False]]))
    torch.testing.assert_close(weights, torch.tensor([[0.25, 0.0, 0.75], [0.0, 0.0, 0.0]]))


def test_gradients_stay_finite_where_a_case_has_nothing() -> None:
    module, pooling = kecm(), GatedPooling(WIDTH)
    patches = some_tokens(2, 2, 4, [[True] * 4, [False] * 4])
    evidence = module(some_tokens(1, 2, 3), patches)
    pooling(evidence).square().sum().backward()
    for name, parameter in [*module.named_parameters(), *pooling.named_parameters()]:
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_gated_evidence_is_the_feed_forward_of_the_weighted_mean_of_a_loop() -> None:
    torch.manual_seed(3)
    module = GatedEvidence(WIDTH, dropout=0.5).eval()
    tokens = some_tokens(4, 2, 3, [[True, True, False], [False] * 3])
    evidence, looks = module(tokens), module.looks(tokens)
    values = tokens.values[0, :2].double().numpy()
    pooling = module.pooling
    scores = []
    for vector in values:
        gate = 1 / (1 + np.exp(-_linear(pooling.gate, vector)))
        scores.append((_linear(pooling.score, np.tanh(_linear(pooling.content, vector)) * gate)).item())
    weights = np.exp(scores) / np.exp(scores).sum()
    expected = _feed_forward(module.feed_forward, weights @ values)
    np.testing.assert_allclose(evidence.values[0, 0].detach().numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(looks[0, 0].detach().numpy(), [*weights, 0], atol=1e-6)
    assert evidence.present.tolist() == [[True], [False]]
    assert not looks[1].any()


def test_pooling_one_token_is_the_token_or_nothing() -> None:
    tokens = some_tokens(5, 2, 1, [[True], [False]])
    pooled = OneToken()(tokens)
    assert torch.equal(pooled[0], tokens.values[0, 0])
    assert torch.equal(pooled, GatedPooling(WIDTH)(tokens))
