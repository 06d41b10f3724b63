"""Genomics: tables of genes, gene groups, and features of each group."""

from kemm.modalities.genomics.features import GroupFeatures, Projection, fit_group_features
from kemm.modalities.genomics.groups import (
    OTHER_GENES,
    GeneGroup,
    GroupSelection,
    default_groups,
    read_groups,
    select_groups,
)
from kemm.modalities.genomics.reading import Column, Genomics, read_genomics
from kemm.modalities.genomics.settings import GenomicsConfig, GenomicsTableConfig, Transform
from kemm.modalities.genomics.spectrum import Spectrum
from kemm.modalities.genomics.transform import GenomicsTransform

__all__ = [
    "OTHER_GENES",
    "Column",
    "GeneGroup",
    "Genomics",
    "GenomicsConfig",
    "GenomicsTableConfig",
    "GenomicsTransform",
    "GroupFeatures",
    "GroupSelection",
    "Projection",
    "Spectrum",
    "Transform",
    "default_groups",
    "fit_group_features",
    "read_genomics",
    "read_groups",
    "select_groups",
]
