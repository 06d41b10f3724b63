"""KEMM: knowledge asks each modality for evidence; what it finds meets, is pooled, and forecasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from kemm.core.settings import Section
from kemm.model.attention import KECM, GatedEvidence, GatedPooling, OneToken, SelfAttention
from kemm.model.batch import CaseBatch, Inputs, Tokens
from kemm.model.by_length import scores_by_length
from kemm.model.heads import CoxHead, DiscreteHazards, SurvivalHead
from kemm.model.layers import Adapter, GroupAdapter, LearnedQueries
from kemm.model.survival_model import SurvivalModel


class ModelConfig(Section):
    """The network. Every choice the paper leaves open is here."""

    width: int = Field(32, ge=4)
    """Width of a token inside the model."""
    heads: int = Field(4, ge=1)
    """Attention heads; must divide the width."""
    dropout: float = Field(0.3, ge=0, lt=1)
    """Dropout in attention and feed-forward blocks."""
    input_dropout: float = Field(0.25, ge=0, lt=1)
    """Dropout of features before the adapters: a few hundred patients, and text of a hundred dimensions."""
    queries: Literal["knowledge", "learned"] = "knowledge"
    """Who asks: the knowledge, or as many learned vectors as `learned_queries` (what attention does without knowledge)."""
    learned_queries: int = Field(16, ge=1)
    """How many, where `queries` is "learned"."""
    evidence: Literal["knowledge", "gated"] = "knowledge"
    """How slides and genes give evidence: knowledge asks (KECM), or all tokens of each are pooled to one by gated
    attention that nobody asks. `queries` and `two_way` then play no part, and nor does background knowledge."""
    report: bool = True
    """Use the statements of the case's report."""
    background: bool = True
    """Use the background knowledge of the cancer type."""
    two_way: bool = False
    """Let the modality's tokens also attend to the knowledge, after they answered it."""
    together: bool = True
    """Let all sources meet in self-attention and forecast together: a branch of its own."""
    fusion_layers: int = Field(1, ge=0)
    """Self-attention layers of that branch; with 0 the tokens only meet in pooling."""
    alone: bool = True
    """Let each source (evidence from slides, evidence from genes, the report, the covariates) also forecast by itself:
    a branch of its own beside the one where all meet. What the branches are worth is weighed on held-out cases."""
    linear_adapter: bool = False
    """Bring patch features to the model's width without a non-linearity."""
    offset: Literal["none", "clinical", "linear"] = "linear"
    """The log risk the network adds to: none, a Cox model of the covariates, or the stack of ridge Cox models of
    all its inputs. Fitted on the training part, cross-fitted there."""
    learn_beyond: Literal["none", "clinical", "offset"] = "clinical"
    """The log risk that branches are trained on top of. Beyond the whole offset little is left to learn from, and a
    network learns noise; so it is trained beyond the covariates, and weighed against the offset afterwards."""
    head: Literal["hazards", "proportional-hazards", "cox"] = "proportional-hazards"
    """Free hazards per interval, one shift of a common baseline, or a Cox model."""
    intervals: int = Field(8, ge=1)
    """Time intervals of the discrete heads, fitted on the training cases' events."""


class KEMM(SurvivalModel):
    """Forecast from everything known about a case.

    report ───────┬───────────────────────────────────┐
    background ───┤ knowledge                         │ sources
    slides ─► adapter ─► KECM ─► evidence ────────────┤    each ──────────► pooling ─► score ─┐
    genes ─► adapter ─► KECM ─► evidence ─────────────┤    together ─► self-attention ─► pooling ─► score ─┤
    covariates ─► adapter ────────────────────────────┘                      weighed sum + offset ─► survival head

    A branch is a source by itself, or all together. Where `evidence` is "gated", each KECM is a gated pooling.
    """

    def __init__(
        self,
        adapters: nn.ModuleDict,
        attention: nn.ModuleDict,
        answer: nn.ModuleDict,
        learned: nn.ModuleDict,
        branches: Sequence[str],
        fusion: nn.ModuleList,
        width: int,
        head: SurvivalHead,
    ) -> None:
        super().__init__(branches, head)
        self.adapters = adapters
        self.attention = attention
        self.answer = answer
        self.learned = learned
        self.fusion = fusion
        # Evidence that nobody asked for is one token, of which there is nothing to weigh.
        self.pooling = nn.ModuleDict(
            {
                name: OneToken() if name in attention and self._is_gated(name) else GatedPooling(width)
                for name in branches
            }
        )
        self.scores = nn.ModuleDict(
            {name: _zero(nn.Linear(width, head.scores, bias=False)) for name in branches}
        )

    def branch_scores(self, batch: CaseBatch) -> Float[Tensor, "case branch score"]:
        """What each source says alone, and all together."""
        adapter = self.adapters["slides"] if "slides" in batch.bags else None
        if self.training or not isinstance(adapter, Adapter) or not self._is_padded("slides"):
            return self._scores(batch)
        return scores_by_length(self._scores, batch, adapter.members)

    def _scores(self, batch: CaseBatch) -> Float[Tensor, "case branch score"]:
        sources = self.sources(batch)
        branches = {name: self.own(name, tokens, batch) for name, tokens in sources.items()}
        if TOGETHER in self.branches:
            tokens = Tokens.cat(list(sources.values()))
            for layer in self.fusion:
                tokens = layer(tokens)
            branches[TOGETHER] = tokens
        return torch.stack(
            [self.scores[name](self.pooling[name](branches[name])) for name in self.branches], dim=1
        )

    def sources(self, batch: CaseBatch) -> dict[str, Tokens]:
        """Tokens of each source: the evidence each modality gives, the report, the covariates."""
        adapted = self._adapted(batch)
        found: dict[str, Tokens] = {}
        for modality, kecm in self.attention.items():
            if isinstance(kecm, GatedEvidence):
                found[modality] = kecm(adapted[modality])
                continue
            assert isinstance(kecm, KECM)
            knowledge, adapter = self.knowledge(modality, adapted, batch), self.adapters[modality]
            if modality in adapted:
                evidence = kecm(knowledge, adapted[modality])
            else:
                assert isinstance(adapter, Adapter)
                evidence = kecm.of_bags(knowledge, adapter, batch.bags[modality])
            if modality in self.answer:
                evidence = Tokens.cat([evidence, self.answer[modality](adapted[modality], evidence)])
            found[modality] = evidence
        return found | {name: adapted[name] for name in ("report", "covariates") if name in adapted}

    def looks(self, batch: CaseBatch) -> dict[str, Sequence[Float[Tensor, "query token"]]]:
        """By modality and case: the attention knowledge pays to its tokens, mean over heads.

        Queries are the report's statements, then the background of high, then of low risk; where they have no names
        (`has_named_queries`), as many as there are, or one for gated pooling. Of patches in bags there is no padding.
        """
        adapted = self._adapted(batch)
        found: dict[str, Sequence[Tensor]] = {}
        for modality, kecm in self.attention.items():
            if isinstance(kecm, GatedEvidence):
                looked = list(kecm.looks(adapted[modality]))
            else:
                assert isinstance(kecm, KECM)
                knowledge, adapter = self.knowledge(modality, adapted, batch), self.adapters[modality]
                if modality not in adapted:
                    assert isinstance(adapter, Adapter)
                    found[modality] = kecm.looks_at_bags(knowledge, adapter, batch.bags[modality])
                    continue
                looked = list(kecm.looks(knowledge, adapted[modality]))
            if modality in batch.bags:
                lengths = batch.bags[modality].case_lengths
                looked = [one[:, :length] for one, length in zip(looked, lengths, strict=True)]
            found[modality] = looked
        return found

    def uses(self, modality: str) -> bool:
        """Whether any branch that sees it has weight: else what it looks at plays no part in its forecast."""
        named = zip(self.branches, self.weights.tolist(), strict=True)
        return any(weight > 0 for name, weight in named if name in (modality, TOGETHER))

    def has_named_queries(self, modality: str) -> bool:
        """Whether anybody knows what is asked of a modality: not where queries are learned, or nobody asks."""
        return modality not in self.learned and not self._is_gated(modality)

    def _is_gated(self, modality: str) -> bool:
        return isinstance(self.attention[modality], GatedEvidence)

    def _is_padded(self, modality: str) -> bool:
        """Whether its patches are tokens of their own: those that look back, or that nobody asks."""
        return modality in self.answer or (modality in self.attention and self._is_gated(modality))

    def _adapted(self, batch: CaseBatch) -> dict[str, Tokens]:
        found = {
            name: self.adapters[name](one) for name, one in batch.tokens.items() if name in self.adapters
        }
        for name, bags in batch.bags.items():
            if self._is_padded(name):
                adapter = self.adapters[name]
                assert isinstance(adapter, Adapter)
                found[name] = adapter.of_bags(bags)
        return found

    def own(self, modality: str, evidence: Tokens, batch: CaseBatch) -> Tokens:
        """What a modality says by itself: evidence on the background, which asks every case the same.

        Evidence on a case's own statements carries the statements along, and would speak for the report.
        """
        statements = (
            len(batch.tokens["report"]) if "report" in self.adapters and "report" in batch.tokens else 0
        )
        asked = modality in self.attention and modality in batch.background and "background" in self.adapters
        if not asked or not statements or not self.has_named_queries(modality):
            return evidence
        return Tokens(evidence.values[:, statements:], evidence.present[:, statements:])

    def knowledge(self, modality: str, adapted: dict[str, Tokens], batch: CaseBatch) -> Tokens:
        """What asks `modality`: the report's statements, then the background of high and of low risk; or nobody."""
        if self._is_gated(modality):
            tokens = adapted[modality]
            return Tokens(tokens.values[:, :0], tokens.present[:, :0])
        if modality in self.learned:
            queries: Tokens = self.learned[modality](len(batch))
            return queries
        parts = [adapted["report"]] if "report" in adapted else []
        if modality in batch.background and "background" in self.adapters:
            parts.append(self.adapters["background"](batch.background[modality]))
        return Tokens.cat(parts)


def build_kemm(config: ModelConfig, inputs: Inputs, edges: Float[Tensor, " edge"]) -> KEMM:
    """The network for a study's inputs. `edges`: time intervals fitted on the training cases."""
    width, dropout = config.width, config.dropout
    adapters: dict[str, nn.Module] = {}
    knows_report = config.report and inputs.statement_kinds > 0
    if knows_report:
        adapters["report"] = Adapter(inputs.text, width, config.input_dropout, kinds=inputs.statement_kinds)
    if inputs.gene_groups:
        adapters["genes"] = GroupAdapter(
            inputs.gene_groups, inputs.gene_features, width, config.input_dropout
        )
    if inputs.slide_features:
        adapters["slides"] = Adapter(
            inputs.slide_features, width, config.input_dropout, linear=config.linear_adapter
        )
    if inputs.covariates:
        adapters["covariates"] = GroupAdapter(inputs.covariates, inputs.covariate_features, width, 0.0)
    modalities = [name for name in ("slides", "genes") if name in adapters]
    gated = config.evidence == "gated"
    known = config.queries == "knowledge" and not gated
    if config.background and known and set(inputs.background) & set(modalities):
        adapters["background"] = Adapter(inputs.text, width, config.input_dropout, kinds=BACKGROUND_KINDS)
    asks = {
        name
        for name in ([] if gated else modalities)
        if not known or not (knows_report or ("background" in adapters and name in inputs.background))
    }
    sources = [*modalities, *(name for name in ("report", "covariates") if name in adapters)]
    branches = (sources if config.alone else []) + (
        [TOGETHER] if config.together and len(sources) > 1 else []
    )
    return KEMM(
        adapters=nn.ModuleDict(adapters),
        attention=nn.ModuleDict(
            {
                name: GatedEvidence(width, dropout) if gated else KECM(width, config.heads, dropout)
                for name in modalities
            }
        ),
        answer=nn.ModuleDict(
            {name: KECM(width, config.heads, dropout) for name in modalities if config.two_way and not gated}
        ),
        learned=nn.ModuleDict({name: LearnedQueries(config.learned_queries, width) for name in asks}),
        branches=branches or sources,
        fusion=nn.ModuleList(
            [
                SelfAttention(width, config.heads, dropout)
                for _ in range(config.fusion_layers if TOGETHER in branches else 0)
            ]
        ),
        width=width,
        head=build_head(config, edges),
    )


TOGETHER = "together"
"""The branch where all sources meet."""
BACKGROUND_KINDS = 4
"""Slides and genes, high and low risk."""


def _zero(layer: nn.Linear) -> nn.Linear:
    """The network begins by adding nothing to the offset: what it says beyond that, it has learned."""
    nn.init.zeros_(layer.weight)
    return layer


def build_head(config: ModelConfig, edges: Float[Tensor, " edge"]) -> SurvivalHead:
    """The survival head a study asks for."""
    if config.head == "cox":
        return CoxHead()
    return DiscreteHazards(edges, proportional=config.head == "proportional-hazards")


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers in a model."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
