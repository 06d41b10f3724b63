"""A made-up study with a known truth: to try kemm on, and to test that it finds what was planted."""

from kemm.demo.hazard import MODALITIES, Modality
from kemm.demo.study import make_demo_study

__all__ = ["MODALITIES", "Modality", "make_demo_study"]
