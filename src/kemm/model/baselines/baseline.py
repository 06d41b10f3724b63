"""What a network of the field is to the rest of kemm: a name, what it may see, and how it is built."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import Field

from kemm.core.settings import Section
from kemm.model.batch import Inputs
from kemm.model.heads import SurvivalHead
from kemm.model.survival_model import SurvivalModel


class BaselinesConfig(Section):
    """The field's networks. One size for all: what is compared is how they look at a case."""

    width: int = Field(64, ge=8)
    """Width of their layers; must be a multiple of `heads`."""
    heads: int = Field(4, ge=1)
    """Attention heads, where a network has several."""
    dropout: float = Field(0.25, ge=0, lt=1)
    """Dropout, wherever the paper has one."""
    prototypes: int = Field(16, ge=2)
    """Typical patches that prototype networks sum a slide up by; fitted on the training part of each fold."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A network of the field."""

    name: str
    """As it is asked for: lower case."""
    title: str
    description: str
    """One sentence for the table's reader, with the first author and the year."""
    inputs: tuple[str, ...]
    """What it sees, of slides and genes: a study must have all of them."""
    build: Callable[[BaselinesConfig, Inputs, SurvivalHead], SurvivalModel]
    needs_prototypes: bool = False
    """Whether `Inputs.prototypes` is given: typical patches of the training part."""
