"""The whole demonstration: does KEMM find what was planted, in each modality?"""

from __future__ import annotations

from pathlib import Path

import pytest

from kemm import Study, run
from kemm.demo import make_demo_study


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_kemm_finds_each_thing_that_was_planted(tmp_path: Path) -> None:
    result = run(Study.load(make_demo_study(tmp_path / "demo")))
    truth = result.evaluation.truth
    assert truth is not None
    assert {signal.modality for signal in truth.planted} == {"covariates", "report", "genes", "slides"}
    assert [signal.name for signal in truth.planted if not signal.found] == []
    c = {model.name: model.metrics["harrell_c"].value for model in result.evaluation.models}
    assert c["kemm+clinical"] > c["clinical"] + 0.03
    assert truth.correlation["kemm+clinical"] > truth.correlation["clinical"] + 0.1
