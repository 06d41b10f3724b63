"""Background knowledge (PBK): what marks high and low risk in a cancer type, as single statements.

Shipped for the 33 cancer types of TCGA, written by a large language model and not reviewed by
clinicians. It guides attention; it is no medical advice. A study may bring a file of its own.
"""

from kemm.modalities.background.loader import (
    CancerType,
    UnknownCancerType,
    background_prompt,
    cancer_types,
    load_background,
)
from kemm.modalities.background.record import (
    BACKGROUND_KINDS,
    Author,
    Background,
    Modality,
    RiskStatements,
    background_kind,
)
from kemm.modalities.background.settings import BackgroundConfig

__all__ = [
    "BACKGROUND_KINDS",
    "Author",
    "Background",
    "BackgroundConfig",
    "CancerType",
    "Modality",
    "RiskStatements",
    "UnknownCancerType",
    "background_kind",
    "background_prompt",
    "cancer_types",
    "load_background",
]
