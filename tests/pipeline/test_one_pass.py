"""The demonstration, its networks trained one after another, fold by fold, and all at once: one table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from kemm import Study, run
from kemm.demo import make_demo_study


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_demonstration_has_the_same_table_however_its_networks_are_arranged(tmp_path: Path) -> None:
    tables, risks = [], []
    for arrangement in ("network", "fold", "run"):
        folder = make_demo_study(tmp_path / arrangement)
        few = ["training.epochs=4", "training.seeds=[0, 1]", f"training.one_pass={arrangement}"]
        result = run(Study.load(folder, few), workers=1)
        tables.append(
            {
                model.name: {name: metric.value for name, metric in model.metrics.items()}
                for model in result.evaluation.models
            }
        )
        predictions = pd.read_parquet(result.folder / "predictions.parquet")
        risks.append(predictions.set_index(["model", "seed", "case_id"])["risk"].sort_index())
    first = tables[0]
    assert "kemm+clinical" in first
    for other in tables[1:]:
        for model, metrics in first.items():
            # To as many digits as a report shows.
            assert other[model] == pytest.approx(metrics, abs=5e-4, nan_ok=True), model
    for risk in risks[1:]:
        pd.testing.assert_series_equal(risk, risks[0], atol=1e-3, rtol=1e-3)
