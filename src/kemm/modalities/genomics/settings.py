"""The genomics section of study.yaml."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kemm.core.settings import Section

Transform = Literal["rank", "asinh", "z", "none"]
"""How the values of a data type are brought to one scale; see `GenomicsTransform`."""


class GenomicsTableConfig(Section):
    """One wide table of numbers: cases by genes, or genes by cases."""

    path: str
    """CSV, TSV, Parquet or Excel file."""
    rows: Literal["cases", "genes"] = "cases"
    """What a row is. With "genes", every other column is headed by the id of a case."""
    case: str = "case_id"
    """With cases in rows: the column with the id of the case."""
    gene: str | None = None
    """With genes in rows: the column with the name of the gene; by default the first."""
    separator: str = Field("__", min_length=1)
    """Stands between a gene and its data type: "TP53__mut" is the mutation of TP53."""
    data_type: str | None = Field(None, min_length=1)
    """The data type of the whole table, where names are those of genes alone. Then nothing is split off them."""
    group: str | None = Field(None, min_length=1)
    """The name of one group that all columns of this table form; by default each gene belongs to the groups that list it."""


class GenomicsConfig(Section):
    """Genomics: tables, gene groups, and how they become features. All fitting is on training cases."""

    tables: list[GenomicsTableConfig] = Field(min_length=1)
    """One table or more. A case may be in some of them only, or in none."""
    groups: str | None = None
    """Gene groups: GMT, or a table with one column a group; by default the grouping that comes with kemm."""
    other_genes: bool = False
    """Whether measured genes that no group lists form a group of their own, "other measured genes"."""
    transforms: dict[str, Transform] = Field(default_factory=dict)
    """rank, asinh, z or none for a data type; by default chosen by what its training values look like."""
    minimum_prevalence: float = Field(0.02, ge=0, lt=0.5)
    """Columns of few distinct values (mutations, copy-number calls) in which a smaller share of the training cases
    differs from the commonest value are left out."""
    reduction: Literal["pca", "none"] = "pca"
    """What enters a group's encoder: its first principal components, or all of its columns."""
    components: int = Field(8, ge=1, le=64)
    """Principal components a group, for `reduction: pca`."""
