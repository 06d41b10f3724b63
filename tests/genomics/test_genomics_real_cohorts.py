"""The public cohorts, where they are at hand: no cohort needs a setting of its own."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from kemm.core.errors import Faults
from kemm.core.types import CaseId
from kemm.modalities.genomics import (
    GenomicsConfig,
    default_groups,
    fit_group_features,
    read_genomics,
    read_groups,
    select_groups,
)

DATA = Path(os.environ.get("KEMM_DATA", Path(__file__).parents[3] / "shared" / "data")) / "tcga"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"the shared data is not at {DATA} (set KEMM_DATA)")


@pytest.mark.parametrize("cohort", ["BRCA", "LUAD", "KIRC"])
def test_a_cohort_reads_without_a_fault_and_fills_most_groups(cohort: str) -> None:
    with (DATA / cohort / "clinical.csv").open(encoding="utf-8") as handle:
        cases = sorted(CaseId(row["case_id"]) for row in csv.DictReader(handle))
    config = GenomicsConfig.model_validate(
        {
            "tables": [
                {"path": "genomics.parquet"},
                {"path": "chromosome_arms.parquet", "group": "chromosome arms"},
            ]
        }
    )
    faults = Faults()
    genomics = read_genomics(config, lambda path: DATA / cohort / path, cases, faults)

    assert faults.found == []
    assert genomics is not None
    assert genomics.data_types == ("arm", "cnv", "mut", "rnaseq")
    selection = select_groups(genomics, default_groups())
    assert selection.absent == ()
    features = fit_group_features(genomics.values_of(cases[::2]), genomics, selection, config)
    assert features.scaling.chosen == {"arm": "none", "cnv": "none", "mut": "none", "rnaseq": "rank"}
    packed, present = features.transform(genomics.values_of(cases[1::2]))
    assert present.any(axis=1).mean() > 0.8
    assert np.abs(packed).max() < 50
    for signatures, least in (
        ("mcat_signatures_6groups", 6),
        ("hallmarks_50", 50),
        ("combine_hallmarks_reactome_331", 200),
    ):
        groups = read_groups(DATA / "signatures" / f"{signatures}.csv")
        assert len(select_groups(genomics, groups).groups) >= least
