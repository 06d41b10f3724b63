"""The work that every candidate does: sizes of the cohort and of the network."""

from __future__ import annotations

import hashlib
from typing import Self

from pydantic import Field, model_validator

from kemm.core.settings import Section


class Work(Section):
    """K-fold training on a made-up cohort. Two equal works have equal bags, to the bit."""

    cases: int = Field(20, ge=2)
    """Patients."""
    patches: int = Field(6000, ge=1)
    """Median number of patches of a patient."""
    spread: float = Field(0.78, ge=0)
    """Standard deviation of the logarithm of the number of patches; 0 gives every patient the median."""
    fewest: int = Field(1, ge=1)
    """Fewest patches of a patient."""
    most: int = Field(200_000, ge=1)
    """Most patches of a patient."""
    features: int = Field(1024, ge=1)
    """Width of a patch feature."""
    width: int = Field(256, ge=4)
    """Width that an adapter brings patch features to."""
    heads: int = Field(4, ge=1)
    """Heads of attention over patches."""
    knowledge: int = Field(16, ge=1)
    """Knowledge tokens of a patient; they query the patches."""
    background: int = Field(8, ge=0)
    """How many of the knowledge tokens are the same for all patients."""
    text: int = Field(768, ge=1)
    """Width of a knowledge token."""
    gene_groups: int = Field(50, ge=1)
    """Gene groups, of 3 to 10 features each."""
    folds: int = Field(5, ge=2)
    """Folds; each patient is in the training part of all but one."""
    signal: float = Field(0.3, ge=0)
    """How far a patient's hidden risk moves its features; 0 leaves nothing to learn."""
    seed: int = 0
    """Of everything that is drawn."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not a multiple of heads {self.heads}")
        if self.fewest > self.most:
            raise ValueError(f"fewest patches {self.fewest} are more than most {self.most}")
        if self.background > self.knowledge:
            raise ValueError(f"background {self.background} is more than all knowledge, {self.knowledge}")
        if self.folds > self.cases:
            raise ValueError(f"{self.folds} folds need as many patients; there are {self.cases}")
        return self

    @property
    def key(self) -> str:
        """A short name that changes with any of the settings."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:16]
