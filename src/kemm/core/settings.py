"""What every section of study.yaml is: small, frozen and strict."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section of study.yaml. A misspelt key is an error; a set value never changes.

    Each field's docstring is its line in the reference of study.yaml.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
