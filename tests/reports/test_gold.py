"""The refiner against reference annotations of real reports, where the data is at hand."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from kemm.modalities.reports import RulesRefiner

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("KEMM_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_refine", ROOT / "benchmarks" / "refine.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_scores_of_a_hand_worked_case(benchmark: ModuleType) -> None:
    # Given: grade right, size wrong, side not in the reference; the reference's margins are missed.
    report = RulesRefiner().refine("Kidney, left: renal carcinoma, Fuhrman grade 3. Tumor size: 4 cm.")
    score = benchmark.score(
        {"a": report}, {"a": {"grade": "3", "tumor_size_cm": "5.0", "margins": "negative"}}
    )
    assert (score.micro.right, score.micro.predicted, score.micro.wanted) == (1, 4, 3)
    assert score.micro.f1 == pytest.approx(2 / 7)
    assert score.macro_f1 == pytest.approx(1 / 3)
    assert score.quotes == score.valid_quotes


def test_what_the_reference_was_not_asked_or_could_not_record_is_not_scored(benchmark: ModuleType) -> None:
    report = RulesRefiner().refine(
        "Kidney, left: Fuhrman grade 3. Rhabdoid features: absent. Margins: cannot be assessed."
    )
    assert {s.kind for s in report.statements} == {"grade", "laterality", "margins", "rhabdoid"}
    nothing_of_margins = benchmark.score({"a": report}, {"a": {"grade": "3", "laterality": "left"}})
    assert nothing_of_margins.micro == benchmark.Tally(2, 2, 2)
    margins = benchmark.score(
        {"a": report}, {"a": {"grade": "3", "laterality": "left", "margins": "negative"}}
    )
    assert margins.micro == benchmark.Tally(2, 3, 3)


def test_other_groups_lists_are_read_by_the_fields_own_parsers(benchmark: ModuleType) -> None:
    answers = (
        "Differentiation of the lesion: Well-differentiated; Histological grade: Grade 3; "
        "Margins of the excised tissue: R0, indicates negative margins; Lymphovascular invasion: No; "
        "Description of any necrosis: No necrosis described; "
        "Receptor status: Estrogen receptor positive, HER2 negative"
    )
    assert benchmark.read_elsewhere(answers, "question-answer list", "BRCA") == {
        "grade": "3",
        "margins": "negative",
        "lymphovascular_invasion": "absent",
        "ER": "positive",
        "HER2": "negative",
    }
    fields = "Site: Lung; Histology: Adenocarcinoma; Stage: IIIA (T2N2Mx); Grade: II; Laterality: Right"
    assert benchmark.read_elsewhere(fields, "mixtral-8x7b fields", "LUAD") == {
        "histologic_type": "adenocarcinoma",
        "grade": "2",
        "pT": "T2",
        "pN": "N2",
        "pM": "MX",
        "stage_group": "IIIA",
        "laterality": "right",
    }


@pytest.mark.parametrize(
    ("predicted", "wanted", "loose", "strict"),
    [
        ("adenocarcinoma", "adenocarcinoma, acinar predominant", True, False),
        ("invasive ductal carcinoma", "Infiltrating ductal carcinoma", True, False),
        ("adenocarcinoma", "mucinous adenocarcinoma", False, False),
        ("adenocarcinoma", "Adenocarcinoma", True, True),
    ],
)
def test_types_are_compared_without_what_qualifies_them(
    benchmark: ModuleType, predicted: str, wanted: str, loose: bool, strict: bool
) -> None:
    assert benchmark.same("histologic_type", predicted, wanted) is loose
    assert benchmark.same("histologic_type", predicted, wanted, strict=True) is strict


@pytest.mark.skipif(
    not (DATA / "gold").is_dir(), reason=f"no reference annotations in {DATA} (set KEMM_DATA)"
)
def test_real_reports_are_read_well_enough_and_every_quote_is_real(benchmark: ModuleType) -> None:
    gold, cohort_of = benchmark.load_gold(DATA)
    texts = {
        case: text
        for cohort in set(cohort_of.values())
        for case, text in benchmark.load_reports(DATA, cohort).items()
    }
    refined = {case: RulesRefiner().refine(texts[case]) for case in gold}
    score = benchmark.score(refined, gold)
    assert score.micro.f1 >= 0.93
    assert benchmark.score(refined, gold, strict=True).micro.f1 >= 0.925
    assert score.valid_quotes == score.quotes > 1000
    # Where nothing was hidden, the quote is verbatim in the report as it came.
    for case, report in refined.items():
        for statement in report.statements:
            if statement.quote is not None and "█" not in statement.quote and statement.start is not None:
                assert texts[case][statement.start : statement.end].split() == statement.quote.split()
