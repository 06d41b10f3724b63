"""The made-up cohort: whole, reproducible, and with the truth that it claims."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from lifelines import CoxPHFitter
from lifelines.utils import concordance_index
from numpy.typing import NDArray
from scipy.stats import spearmanr

from kemm.core.clinical import read_cohort
from kemm.core.cohort import Cohort, CohortConfig
from kemm.core.errors import Faults, InputError, UsageError
from kemm.core.files import read_features, resolve
from kemm.demo import MODALITIES, make_demo_study
from kemm.demo.expression import PANEL, draw_genomics
from kemm.demo.hazard import SIGNALS, SOLID_GROWTH, true_concordance
from kemm.demo.patches import LARGEST_SHARE, PATTERNS, draw_slides
from kemm.demo.patients import Patients, draw_patients, stream
from kemm.demo.scanning import HABITS, scan
from kemm.modalities.genomics import GenomicsConfig, default_groups, read_genomics, read_groups
from kemm.modalities.reports import RulesRefiner
from kemm.modalities.reports.source import ReportsConfig, read_reports
from kemm.modalities.slides import SlidesConfig, find_slides

CASES = 200


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo_study(tmp_path_factory.mktemp("demo") / "study", cases=CASES, seed=0)


@pytest.fixture(scope="module")
def truth(study: Path) -> dict:
    return json.loads((study / "truth.json").read_text())


@pytest.fixture(scope="module")
def truth_table(study: Path) -> pd.DataFrame:
    return pd.read_csv(study / "truth.csv", dtype={"case_id": str}).set_index("case_id")


@pytest.fixture(scope="module")
def cohort(study: Path) -> Cohort:
    faults = Faults()
    reading = read_cohort(
        CohortConfig.model_validate(settings(study)["cohort"]), lambda path: resolve(path, study), faults
    )
    assert faults.errors == []
    assert reading is not None
    return reading.cohort


@pytest.fixture(scope="module")
def many() -> Patients:
    return draw_patients(1500, 3, MODALITIES)


def settings(study: Path) -> dict:
    return yaml.safe_load((study / "study.yaml").read_text())


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# --- whole and reproducible ------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_cohort(tmp_path: Path) -> None:
    first, again, other = (
        digests(make_demo_study(tmp_path / name, cases=60, seed=seed))
        for name, seed in (("first", 5), ("again", 5), ("other", 6))
    )
    assert first == again
    assert first["clinical.csv"] != other["clinical.csv"]
    assert first["genomics.parquet"] != other["genomics.parquet"]


def test_a_study_of_200_cases_is_small_and_quickly_made(tmp_path: Path) -> None:
    start = time.process_time()
    folder = make_demo_study(tmp_path / "study", cases=200, seed=1)
    assert time.process_time() - start < 3
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 30e6
    assert [path.name for path in tmp_path.iterdir()] == ["study"]


def test_a_demo_that_is_there_already_is_left_as_it_is(tmp_path: Path) -> None:
    folder = make_demo_study(tmp_path / "study", cases=40)
    (folder / "study.yaml").write_text("name: mine\n")
    assert make_demo_study(folder, cases=40) == folder
    assert (folder / "study.yaml").read_text() == "name: mine\n"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    make_demo_study(tmp_path, cases=40)
    assert (tmp_path / "truth.json").is_file()


def test_a_demo_with_other_settings_is_not_overwritten(tmp_path: Path) -> None:
    make_demo_study(tmp_path / "study", cases=40, seed=1)
    with pytest.raises(
        InputError, match=r'made with other settings .*"seed": 1.*Delete it, or name a new folder'
    ):
        make_demo_study(tmp_path / "study", cases=40, seed=2)


def test_a_folder_with_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(InputError, match=r"something else in this place\. Name a new folder"):
        make_demo_study(tmp_path, cases=40)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="file/study: the demo cannot be written there"):
        make_demo_study(tmp_path / "file" / "study", cases=40)


def test_senseless_arguments_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a demo of 3 cases cannot be made; ask for 40 to 9,999"):
        make_demo_study(tmp_path / "study", cases=3)
    with pytest.raises(UsageError, match="seed -1 is negative"):
        make_demo_study(tmp_path / "study", seed=-1)
    with pytest.raises(UsageError, match="nothing can be planted in 'blood'"):
        make_demo_study(tmp_path / "study", planted=["blood"])  # type: ignore[list-item]
    assert not (tmp_path / "study").exists()


# --- what kemm reads from it -----------------------------------------------------------------------


def test_the_clinical_table_is_read_without_a_fault(cohort: Cohort) -> None:
    assert len(cohort) == CASES
    assert 0.45 <= cohort.event.mean() <= 0.55
    assert len(set(cohort.sites)) == 10
    sizes = sorted(cohort.sites.count(site) for site in set(cohort.sites))
    assert sizes[-1] > 5 * sizes[0]
    assert cohort.months.min() > 0
    assert cohort.months.max() <= 120
    disease = [case.outcomes["DSS"] for case in cohort.cases if "DSS" in case.outcomes]
    assert CASES * 0.95 < len(disease) <= CASES
    assert 0.3 < np.mean([outcome.event for outcome in disease]) < np.mean(cohort.event)


@pytest.mark.parametrize("covariate", ["age", "stage", "grade"])
def test_some_covariates_are_missing(cohort: Cohort, covariate: str) -> None:
    assert 0 < sum(case.covariates[covariate] is None for case in cohort.cases) < 0.12 * CASES


def test_modalities_are_missing_as_declared_and_never_all_of_them(
    study: Path, cohort: Cohort, truth: dict
) -> None:
    faults = Faults()
    sections = settings(study)
    clinical = pd.read_csv(study / "clinical.csv", dtype=str, keep_default_na=False)

    def inside(path: str) -> Path:
        return resolve(path, study)

    reports = read_reports(ReportsConfig.model_validate(sections["reports"]), inside, cohort.ids, faults)
    genomics = read_genomics(GenomicsConfig.model_validate(sections["genomics"]), inside, cohort.ids, faults)
    slides = find_slides(
        SlidesConfig.model_validate(sections["slides"]),
        inside,
        cohort.ids,
        dict(zip(clinical["case_id"], clinical["slide_ids"], strict=True)),
        faults,
    )
    assert faults.found == []
    assert genomics is not None
    assert slides is not None
    having = {"report": set(reports), "genes": set(genomics.case_ids), "slides": set(slides.files)}
    assert {name: CASES - len(cases) for name, cases in having.items()} == {
        "report": 20,
        "genes": 30,
        "slides": 20,
    }
    assert truth["missing"] == {"report": 20, "genes": 30, "slides": 20}
    assert set.union(*having.values()) == set(cohort.ids)
    assert {len(paths) for paths in slides.files.values()} == {1, 2}


def test_nobody_lacks_everything_even_in_a_large_cohort(many: Patients) -> None:
    lacking = np.sum(list(many.missing.values()), axis=0)
    assert lacking.max() == 2


def test_slides_are_bags_of_half_precision_features(study: Path) -> None:
    shown = pd.read_parquet(study / "truth_patches.parquet")
    paths = sorted((study / "features").iterdir())
    assert len(paths) == shown["slide_id"].nunique()
    for path in paths[:20]:
        features = read_features(path)
        assert features.shape == ((shown["slide_id"] == path.stem).sum(), 48)
        assert 40 <= len(features) <= 400


def test_expression_is_heavy_tailed_as_published_scores_are(study: Path) -> None:
    genomics = pd.read_parquet(study / "genomics.parquet")
    expression = genomics.filter(like="__rnaseq")
    assert 300 <= expression.shape[1] <= 600
    assert expression.skew().median() > 1
    assert expression.max().max() > 6
    assert set(np.unique(genomics.filter(like="__cnv"))) == {-2, -1, 0, 1, 2}
    assert set(np.unique(genomics.filter(like="__mut"))) == {0, 1}


def test_the_groups_are_those_of_the_shipped_grouping(study: Path) -> None:
    groups, shipped = read_groups(study / "groups.gmt"), default_groups()
    assert list(groups) == list(PANEL)
    assert all(genes == shipped[name] for name, genes in groups.items())


# --- the truth -------------------------------------------------------------------------------------


def test_the_stated_concordance_is_harrells(cohort: Cohort, truth: dict, truth_table: pd.DataFrame) -> None:
    hazard = truth_table.loc[cohort.ids, "true_log_hazard"]
    oracle = concordance_index(cohort.months, -hazard, cohort.event)
    assert truth["true_c"] == pytest.approx(oracle, abs=2e-4)
    assert 0.78 < truth["true_c"] < 0.87


def test_concordance_of_a_hand_worked_case() -> None:
    # Died at 1, died at 2, censored at 2, censored at 3. Comparable: (1, others) x 3, (2, censored) x 2.
    # Log hazards 1, 2, 1, 0: 1 > 2 wrong, 1 = 1 half, 1 > 0 right, 2 > 1 right, 2 > 0 right: 3.5 of 5.
    months, event = np.array([1.0, 2.0, 2.0, 3.0]), np.array([True, True, False, False])
    assert true_concordance(np.array([1.0, 2.0, 1.0, 0.0]), months, event) == pytest.approx(0.7)


def test_the_parts_add_up_to_the_log_hazard(truth_table: pd.DataFrame) -> None:
    total = truth_table[list(MODALITIES)].sum(axis=1)
    np.testing.assert_allclose(total, truth_table["true_log_hazard"], atol=1e-5)


def test_every_modality_tells_something_and_together_they_tell_most(many: Patients) -> None:
    outcomes = many.outcomes
    assert 0.80 < true_concordance(many.log_hazard, outcomes.months, outcomes.event) < 0.85
    for name, part in many.parts.items():
        alone = true_concordance(part, outcomes.months, outcomes.event)
        assert 0.62 < alone < 0.69, name
        without = true_concordance(many.log_hazard - part, outcomes.months, outcomes.event)
        assert without < 0.80, name


@pytest.mark.parametrize("endpoint", ["OS", "DSS"])
def test_cox_regression_recovers_each_planted_effect(many: Patients, endpoint: str) -> None:
    event = many.outcomes.event if endpoint == "OS" else many.outcomes.disease_event
    noise = {
        "male": many.male,
        "margin": [tumour.margin_involved for tumour in many.tumours],
        "multifocal": [tumour.multifocal for tumour in many.tumours],
    }
    table = pd.DataFrame(many.values).assign(**noise).astype(float)
    scale = table.std()
    fitted = CoxPHFitter().fit(
        (table / scale).assign(months=many.outcomes.months, event=event), "months", "event"
    )
    for signal in SIGNALS:
        planted = signal.log_hazard_ratio * scale[signal.token]
        # Four standard errors: 1,500 cases with half of them events leave about 0.04 a standard deviation.
        assert fitted.params_[signal.token] == pytest.approx(planted, abs=0.17), signal.name
    for name in noise:
        assert abs(fitted.params_[name]) < 0.17, name


def test_what_only_the_report_tells_is_not_in_the_covariates(many: Patients) -> None:
    for token in ("lymphovascular_invasion", "necrosis"):
        for covariate in ("age", "stage", "grade"):
            assert abs(np.corrcoef(many.values[token], many.values[covariate])[0, 1]) < 0.09
    assert np.corrcoef(many.values["stage"], many.values["grade"])[0, 1] > 0.15


def test_stage_follows_from_what_the_report_states(many: Patients) -> None:
    for tumour in many.tumours:
        if tumour.stage == 1:
            assert tumour.t in ("T1a", "T1b")
            assert not any(
                (tumour.fat_invasion, tumour.vein_invasion, tumour.nodes_positive, tumour.metastasis)
            )
    assert {tumour.stage for tumour in many.tumours} == {1, 2, 3, 4}


def test_with_nothing_planted_nothing_tells_the_outcome(tmp_path: Path) -> None:
    folder = make_demo_study(tmp_path / "null", cases=60, planted=[])
    truth = json.loads((folder / "truth.json").read_text())
    assert truth["true_c"] == 0.5
    assert truth["planted"] == []
    assert SOLID_GROWTH in {noise["token"] for noise in truth["noise"]}


def test_a_modality_that_is_not_planted_looks_the_same_but_tells_nothing() -> None:
    full, without = draw_patients(300, 4, MODALITIES), draw_patients(300, 4, ["covariates", "genes"])
    assert full.tumours == without.tumours
    np.testing.assert_array_equal(full.solid_share, without.solid_share)
    assert not without.parts["slides"].any()
    assert not without.parts["report"].any()


def test_planted_and_noise_tokens_are_apart(truth: dict) -> None:
    planted = {(entry["modality"], entry["token"]) for entry in truth["planted"]}
    noise = {(entry["modality"], entry["token"]) for entry in truth["noise"]}
    assert {modality for modality, _ in planted} == {modality for modality, _ in noise} == set(MODALITIES)
    assert not planted & noise
    groups = default_groups()
    planted_genes = {gene for modality, token in planted if modality == "genes" for gene in groups[token]}
    assert all(not planted_genes & set(groups[token]) for modality, token in noise if modality == "genes")


# --- the planted signals can be read where they are said to be -------------------------------------


def test_expression_of_a_planted_group_shows_its_programme(many: Patients) -> None:
    groups = {name: default_groups()[name] for name in PANEL}
    genomics = draw_genomics(many.ids, many.programmes, groups, stream(3, "genomics"))
    for signal in SIGNALS:
        if signal.modality == "genes":
            ranks = genomics[[f"{gene}__rnaseq" for gene in groups[signal.token]]].rank().mean(axis=1)
            assert spearmanr(ranks, many.values[signal.token]).statistic > 0.85


def shares_read_from_patches(shares: NDArray[np.float64]) -> Iterator[tuple[float, NDArray[np.float64]]]:
    """(share of patches nearest to the solid pattern, mean patch) of a slide for each share."""
    random = np.random.default_rng(0)
    slides = [draw_slides(share, int(row % 10), random)[0] for row, share in enumerate(shares)]
    features = [slide.features.astype(float) for slide in slides]
    stacked, pattern = np.concatenate(features), np.concatenate([slide.pattern for slide in slides])
    centres = np.stack([stacked[pattern == place].mean(axis=0) for place in range(len(PATTERNS))])
    for bag in features:
        nearest = ((bag[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
        yield float((nearest == PATTERNS.index(SOLID_GROWTH)).mean()), bag.mean(axis=0)


def test_patches_tell_the_planted_share_and_their_mean_tells_less() -> None:
    shares = np.random.default_rng(1).uniform(0.02, LARGEST_SHARE, 300)
    counted, means = zip(*shares_read_from_patches(shares), strict=True)
    assert spearmanr(counted, shares).statistic > 0.97
    train, test = np.arange(300) < 200, np.arange(300) >= 200
    pooled = np.column_stack([np.ones(300), np.stack(means)])
    weights = np.linalg.lstsq(pooled[train], shares[train], rcond=None)[0]
    assert spearmanr(pooled[test] @ weights, shares[test]).statistic < 0.93


def test_the_refiner_reads_the_planted_fields_in_most_reports(study: Path, truth_table: pd.DataFrame) -> None:
    refiner = RulesRefiner()
    read = {"grade": 0, "lymphovascular_invasion": 0, "necrosis": 0}
    masked: set[str] = set()
    paths = sorted((study / "reports").iterdir())
    for path in paths:
        refined = refiner.refine(path.read_text(), cancer_type="KIRC")
        assert refined.removed == refined.flagged == ()
        masked |= set(refined.masked)
        found = {statement.kind: statement.value for statement in refined.statements}
        row = truth_table.loc[path.stem]
        for field in read:
            expected = str(int(row["grade"])) if field == "grade" else "present" if row[field] else "absent"
            read[field] += found.get(field) == expected
    shares = {field: count / len(paths) for field, count in read.items()}
    assert min(shares.values()) > 0.85, shares
    assert masked >= {"barcode", "uuid", "date", "person", "institution", "record number"}


def test_reports_come_in_several_forms_and_none_is_like_another(study: Path) -> None:
    texts = [path.read_text() for path in sorted((study / "reports").iterdir())]
    assert len(set(texts)) == len(texts)
    for mark in ("SYNOPTIC REPORT", "Renal cancer checklist", "FINAL DIAGNOSIS"):
        assert 10 < sum(mark in text for text in texts) < len(texts) / 2
    assert any("tumour" in text for text in texts)


def test_scanning_misreads_letters_at_the_stated_rate() -> None:
    habit = next(habit for habit in HABITS if habit.misread > 0.004)
    text = "lymphovascular invasion is not seen in the tumor " * 40
    scanned = scan(text, habit, np.random.default_rng(0))
    flat = " ".join(scanned.replace("|", " ").split())
    expected = " ".join(text.split())
    wrong = sum(a != b for a, b in zip(expected.split(), flat.split(), strict=True))
    assert 0 < wrong <= round(habit.misread * len(text))


def test_drawing_more_for_one_purpose_changes_nothing_else() -> None:
    np.testing.assert_array_equal(stream(1, "slides").random(3), stream(1, "slides").random(3))
    assert not np.allclose(stream(1, "slides").random(3), stream(1, "reports").random(3))


def test_the_study_file_holds_only_settings_that_there_are(study: Path) -> None:
    from kemm.config import Study  # heavy: it imports every stage

    loaded = Study.load(study)
    assert loaded.config.slides is not None
    assert loaded.resolve("clinical.csv") == study / "clinical.csv"
