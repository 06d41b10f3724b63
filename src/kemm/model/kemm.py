"""KEMM: knowledge asks each modality for evidence; what it finds meets, is pooled, and forecasts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from kemm.core.settings import Section
from kemm.model.attention import KECM, GatedPooling, SelfAttention
from kemm.model.batch import CaseBatch, Forecast, Tokens
from kemm.model.heads import CoxHead, DiscreteHazards, SurvivalHead
from kemm.model.layers import Adapter, GroupAdapter, LearnedQueries


class ModelConfig(Section):
    """The network. Every choice the paper leaves open is here."""

    width: int = Field(32, ge=4)
    """Width of a token inside the model."""
    heads: int = Field(4, ge=1)
    """Attention heads; must divide the width."""
    dropout: float = Field(0.25, ge=0, lt=1)
    """Dropout in adapters, attention and feed-forward blocks."""
    queries: Literal["knowledge", "learned"] = "knowledge"
    """Who asks: the knowledge, or as many learned vectors as `learned_queries` (what attention does without knowledge)."""
    learned_queries: int = Field(16, ge=1)
    """How many, where `queries` is "learned"."""
    report: bool = True
    """Use the statements of the case's report."""
    background: bool = True
    """Use the background knowledge of the cancer type."""
    two_way: bool = False
    """Let the modality's tokens also attend to the knowledge, after they answered it."""
    fusion_layers: int = Field(1, ge=0)
    """Self-attention layers over all tokens before pooling."""
    linear_adapter: bool = False
    """Bring patch features to the model's width without a non-linearity."""
    offset: Literal["none", "clinical", "linear"] = "linear"
    """The log risk the network adds to: none, a Cox model of the covariates, or the stack of ridge Cox models of
    all its inputs. Fitted on the training part, cross-fitted there."""
    head: Literal["hazards", "proportional-hazards", "cox"] = "proportional-hazards"
    """Free hazards per interval, one shift of a common baseline, or a Cox model."""
    intervals: int = Field(8, ge=1)
    """Time intervals of the discrete heads, fitted on the training cases' events."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Widths of what enters: a modality that is absent from the study has width 0."""

    text: int = 0
    statement_kinds: int = 0
    gene_groups: int = 0
    gene_features: int = 0
    slide_features: int = 0
    covariates: int = 0
    covariate_features: int = 0
    background: tuple[str, ...] = field(default=())
    """Modalities with background statements."""


class KEMM(nn.Module):
    """Forecast from everything known about a case.

    report ───────┬────────────────────────────────┐
    background ───┤ knowledge                      │
    slides ─► adapter ─► KECM ─► evidence ─────────┼─► self-attention ─► gated pooling ─► survival head
    genes ─► adapter ─► KECM ─► evidence ──────────┤
    covariates ─► adapter ─────────────────────────┘
    """

    head: SurvivalHead

    def __init__(
        self,
        adapters: nn.ModuleDict,
        attention: nn.ModuleDict,
        answer: nn.ModuleDict,
        learned: nn.ModuleDict,
        fusion: nn.ModuleList,
        pooling: GatedPooling,
        head: SurvivalHead,
    ) -> None:
        super().__init__()
        self.adapters = adapters
        self.attention = attention
        self.answer = answer
        self.learned = learned
        self.fusion = fusion
        self.pooling = pooling
        self.head = head

    def forward(self, batch: CaseBatch) -> Forecast:
        """The head's output, and the attention of each modality."""
        adapted = {
            name: self.adapters[name](tokens)
            for name, tokens in batch.tokens.items()
            if name in self.adapters
        }
        meeting, attention = [], {}
        for modality, kecm in self.attention.items():
            if modality not in adapted:
                continue
            knowledge = self.knowledge(modality, adapted, batch)
            evidence, attention[modality] = kecm(knowledge, adapted[modality])
            meeting.append(evidence)
            if modality in self.answer:
                answered, _ = self.answer[modality](adapted[modality], evidence)
                meeting.append(answered)
        meeting += [adapted[name] for name in ("report", "covariates") if name in adapted]
        tokens = Tokens.cat(meeting)
        for layer in self.fusion:
            tokens = layer(tokens)
        return Forecast(self.head(self.pooling(tokens), batch.offset), attention)

    def knowledge(self, modality: str, adapted: dict[str, Tokens], batch: CaseBatch) -> Tokens:
        """What asks `modality`: the report's statements, then the background of high and of low risk."""
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
        adapters["report"] = Adapter(inputs.text, width, dropout, kinds=inputs.statement_kinds)
    if config.background and inputs.background:
        adapters["background"] = Adapter(inputs.text, width, dropout, kinds=BACKGROUND_KINDS)
    if inputs.gene_groups:
        adapters["genes"] = GroupAdapter(inputs.gene_groups, inputs.gene_features, width, dropout)
    if inputs.slide_features:
        adapters["slides"] = Adapter(inputs.slide_features, width, dropout, linear=config.linear_adapter)
    if inputs.covariates:
        adapters["covariates"] = GroupAdapter(inputs.covariates, inputs.covariate_features, width, dropout)
    modalities = [name for name in ("slides", "genes") if name in adapters]
    asks = {
        name
        for name in modalities
        if config.queries == "learned"
        or not (knows_report or ("background" in adapters and name in inputs.background))
    }
    return KEMM(
        adapters=nn.ModuleDict(adapters),
        attention=nn.ModuleDict({name: KECM(width, config.heads, dropout) for name in modalities}),
        answer=nn.ModuleDict(
            {name: KECM(width, config.heads, dropout) for name in modalities if config.two_way}
        ),
        learned=nn.ModuleDict({name: LearnedQueries(config.learned_queries, width) for name in asks}),
        fusion=nn.ModuleList(
            [SelfAttention(width, config.heads, dropout) for _ in range(config.fusion_layers)]
        ),
        pooling=GatedPooling(width),
        head=build_head(config, width, edges),
    )


BACKGROUND_KINDS = 4
"""Slides and genes, high and low risk."""


def build_head(config: ModelConfig, width: int, edges: Float[Tensor, " edge"]) -> SurvivalHead:
    """The survival head a study asks for."""
    if config.head == "cox":
        return CoxHead(width)
    return DiscreteHazards(width, edges, proportional=config.head == "proportional-hazards")


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers in a model."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def at_least_one_token(batch: CaseBatch) -> Tensor:
    """Which cases have anything to forecast from."""
    return torch.stack([tokens.case_present for tokens in batch.tokens.values()]).any(dim=0)
