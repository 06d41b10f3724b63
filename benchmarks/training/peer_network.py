"""A network shaped like those of the field, of this project's own making: every patch gets a key and a value."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.training.work import Work

DROPOUT = 0.25
TRANSFORMER_LAYERS = 2


class PeerNetwork(nn.Module):
    """Hazards of one patient.

    patches ─► adapter ─► key, value ┐
    knowledge ───────────────► query ┴─► evidence ┐
    gene groups, an encoder each ─────────────────┴─► transformer ─► gated pooling ─► hazards
    """

    def __init__(self, work: Work, gene_group_sizes: tuple[int, ...], intervals: int) -> None:
        super().__init__()
        width = work.width
        self.gene_group_sizes = list(gene_group_sizes)
        self.adapter = nn.Sequential(nn.Linear(work.features, width), nn.ReLU())
        self.knowledge = nn.Linear(work.text, width)
        self.genes = nn.ModuleList(
            nn.Sequential(nn.Linear(size, width), nn.ELU()) for size in gene_group_sizes
        )
        self.attention = nn.MultiheadAttention(width, work.heads, batch_first=True)
        layer = nn.TransformerEncoderLayer(width, work.heads, 2 * width, DROPOUT, batch_first=True)
        self.transformer = nn.TransformerEncoder(layer, TRANSFORMER_LAYERS, enable_nested_tensor=False)
        self.content = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        self.weight = nn.Linear(width, 1)
        self.hazards = nn.Linear(width, intervals)

    def forward(
        self,
        patches: Float[Tensor, "patch feature"],
        genes: Float[Tensor, " gene"],
        knowledge: Float[Tensor, "token text"],
    ) -> Float[Tensor, "1 interval"]:
        """Logits of the hazards."""
        keys = self.adapter(patches)[None]
        asked = self.knowledge(knowledge)[None]
        # As the field calls it: with the map of attention, which it keeps to explain a prediction.
        evidence, _ = self.attention(asked, keys, keys)
        groups = genes.split(self.gene_group_sizes)
        encoded = torch.stack([encode(group) for encode, group in zip(self.genes, groups, strict=True)])
        tokens = self.transformer(torch.cat([evidence, encoded[None]], dim=1))[0]
        score = self.weight(torch.tanh(self.content(tokens)) * torch.sigmoid(self.gate(tokens)))
        pooled = (torch.softmax(score, dim=0) * tokens).sum(dim=0, keepdim=True)
        logits: Tensor = self.hazards(pooled)
        return logits
