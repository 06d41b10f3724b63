"""Made-up genomics: expression driven by latent programmes, copy number and mutations by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kemm.demo.hazard import HYPOXIA, T_CELLS

# Planted groups come first: a gene that several groups list follows the programme of the first of them.
PANEL: tuple[str, ...] = (
    HYPOXIA,
    T_CELLS,
    "cell cycle entry",
    "p53 response",
    "PI3K-AKT-mTOR",
    "growth factor receptors",
    "angiogenesis",
    "epithelial-mesenchymal transition",
    "chromatin remodelling",
    "renal tubule programme",
    "mitochondrial respiration",
    "lipid metabolism",
)
"""The gene groups that are measured."""

TAKES_PART = 0.8
"""Share of a group's genes that follow its programme; the others are listed, but silent."""
PURITY_LOADING = 0.2
"""All genes move a little with the share of tumour cells in the sample."""
MUTATION_RATES: Mapping[str, float] = {
    "PBRM1": 0.38,
    "BAP1": 0.10,
    "ARID1A": 0.05,
    "PTEN": 0.04,
    "TP53": 0.04,
}
OTHER_MUTATION_RATE = 0.03
GENES_A_SEGMENT = 12
"""Neighbours in copy number: gained or lost together."""


def draw_programmes(cases: int, random: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """How active each measured group's programme is, (case,), standard normal and independent."""
    return {name: random.standard_normal(cases) for name in PANEL}


def draw_genomics(
    case_ids: Sequence[str],
    programmes: Mapping[str, NDArray[np.float64]],
    groups: Mapping[str, Sequence[str]],
    random: np.random.Generator,
) -> pd.DataFrame:
    """A row a case: GENE__rnaseq as z-scores, GENE__cnv as -2 to 2, GENE__mut as 0 or 1."""
    home = {gene: name for name in reversed(PANEL) for gene in groups[name]}
    genes = sorted(home)
    cases = len(case_ids)
    columns: dict[str, NDArray[np.generic]] = {}
    purity = random.standard_normal(cases)
    for gene in genes:
        columns[f"{gene}__rnaseq"] = _expression(programmes[home[gene]], purity, random)
    altered = genes[::4]
    segments = random.choice(
        np.array([-2, -1, 0, 1, 2]),
        p=[0.02, 0.16, 0.66, 0.14, 0.02],
        size=(cases, len(altered) // GENES_A_SEGMENT + 1),
    )
    for place, gene in enumerate(altered):
        columns[f"{gene}__cnv"] = segments[:, place // GENES_A_SEGMENT].astype(np.int8)
    for gene in sorted({*genes[::10], *MUTATION_RATES} & set(genes)):
        rate = MUTATION_RATES.get(gene, OTHER_MUTATION_RATE)
        columns[f"{gene}__mut"] = (random.random(cases) < rate).astype(np.int8)
    return pd.DataFrame({"case_id": list(case_ids), **columns})


def _expression(
    programme: NDArray[np.float64], purity: NDArray[np.float64], random: np.random.Generator
) -> NDArray[np.float32]:
    cases = len(programme)
    loading = random.uniform(0.45, 0.8) if random.random() < TAKES_PART else 0.0
    own = np.sqrt(1 - loading**2 - PURITY_LOADING**2) * random.standard_normal(cases)
    level = loading * programme + PURITY_LOADING * purity + own
    # Published z-scores are of counts, not of their logarithm, against a reference sample of their own:
    # skewed, with values far from the others.
    counts = np.exp(random.uniform(0.5, 1.4) * level)
    reference = counts[random.random(cases) < 0.5] if cases > 10 else counts
    return np.asarray((counts - reference.mean()) / reference.std(), dtype=np.float32).round(4)
