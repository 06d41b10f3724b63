"""What states a stage is hidden, whatever its spelling; what only looks like it, and every finding, stays."""

from __future__ import annotations

import pytest

from kemm.core.types import Statement
from kemm.modalities.reports import MASK, RefinedReport, RulesRefiner
from kemm.modalities.reports.stage import STAGE_FIELDS, hide_stage, without_stage

BEFORE, BEHIND = "The specimen holds carcinoma, ", "; margins are free."

TOLD = [
    "pT2a",
    "ypT3N1M0",
    "T1b N0 MX",
    "pT3, N1",
    "cT3N1M0",
    "uT2",
    "rpT2",
    "pTis",
    "pTlc",
    "pT II",
    "pT-2",
    "p T 2 N 0",
    "pT1cNOMX",
    "pN1(mi)",
    "pN0(i-)(sn)",
    "ypN2a",
    "M1b",
    "MX",
    "T4 N2",
    "T=2 N=0 M=0",
    "pT: 2",
    "T stage: 2",
    "N stage: N1",
    "M category: 0",
    "T category: pT2",
    "nodal stage 1",
    "pM: cannot be assessed",
    "AJCC stage IIIB",
    "AJCC 7th edition: IIIB",
    "Stage: 3",
    "Stage 0",
    "stage two",
    "Stage Ill",
    "Stage IIA-B",
    "stages I and II",
    "stage group: IIB",
    "Stage grouping: Stage IIA",
    "Stage (AJCC, 7th ed.): IIIA",
    "pStage IA",
    "tage: IB",
    "Staging: II",
    "UICC stage IV",
    "TNM: IIIA",
    "FIGO IB1",
    "FIGO stage 1b",
    "FIGO (2009) IB",
    "Dukes B",
    "Dukes' stage C2",
    "Modified Astler-Coller C1",
    "Masaoka stage II",
    "stage cIIA",
    "Stage at diagnosis: IIIB",
    "American Joint Committee on Cancer: IIIA",
    "stage/prognostic group: IIA",
    "Ann Arbor stage IIE",
    "early-stage",
]


@pytest.mark.parametrize("told", TOLD)
def test_no_spelling_of_a_stage_is_left(told: str) -> None:
    hidden = hide_stage(BEFORE + told + BEHIND)
    assert hidden.startswith(BEFORE)
    assert hidden.endswith(BEHIND)
    assert not any(character.isalnum() for character in hidden[len(BEFORE) : -len(BEHIND)])
    assert len(hidden) == len(BEFORE + told + BEHIND)


@pytest.mark.parametrize(
    "alike", ["(T2)", "T2 tumour", "N1a disease", "stage IIA carcinoma", "cT2 cN0", "pT2N1aL1V0R0"]
)
def test_words_beside_a_stage_stay(alike: str) -> None:
    hidden = hide_stage(BEFORE + alike + BEHIND)[len(BEFORE) : -len(BEHIND)]
    expected = {
        "(T2)": "(##)",
        "T2 tumour": "## tumour",
        "N1a disease": "### disease",
        "stage IIA carcinoma": "######### carcinoma",
        "cT2 cN0": "### ###",
        "pT2N1aL1V0R0": "######L1V0R0",
    }
    assert hidden == expected[alike].replace("#", MASK)


@pytest.mark.parametrize(
    "innocent",
    [
        "T cell",
        "T-cell lymphoma",
        "T4 lymphocytes",
        "T1-weighted image",
        "T2 vertebra",
        "T12 vertebra",
        "stage manager",
        "two-stage procedure",
        "staging lymphadenectomy",
        "end-stage renal disease",
        "at this stage. 2 nodes",
        "the stage, 3 cm",
        "AJCC Cancer Staging Manual, 7th Edition",
        "FIGO grade 2",
        "CD3",
        "S100 positive",
        "M-phase",
        "N = 12",
        "n=3 nodes",
        "NO TUMOR",
        "PNI: present",
        "block A1",
        "2 of 13 nodes positive",
        "5.5 cm in greatest dimension",
        "stage 1 of the procedure",
        "stage 2 reconstruction",
        "lymph nodes: No metastatic carcinoma",
        "Regional lymph nodes: no tumor (0/12)",
    ],
)
def test_what_only_looks_like_a_stage_stays(innocent: str) -> None:
    assert hide_stage(BEFORE + innocent + BEHIND) == BEFORE + innocent + BEHIND


def test_a_table_keeps_its_grade_and_the_names_of_its_columns() -> None:
    text = "Grade Primary tumor (T) Nodes (N) Metastasis (M)\n2 3 1 0\n"
    assert hide_stage(text) == text.replace("2 3 1 0", f"2 {MASK} {MASK} {MASK}")


def test_line_breaks_stay_where_a_stage_goes_over_them() -> None:
    assert hide_stage("Stage:\nIIIA\nNecrosis is present.\n").count("\n") == 3


REPORT = (
    "DIAGNOSIS: Right kidney, renal cell carcinoma, clear cell type, Fuhrman grade 3. Tumor size: 8.5 cm. "
    "Two of 13 lymph nodes are positive for metastatic carcinoma. Lymphovascular invasion is present. "
    "Margins are negative. pT3a N1 MX, AJCC stage III. Invades the perinephric fat as stage III disease does, "
    "an aggressive tumor with extensive necrosis."
)


def test_stages_are_neither_stated_nor_read_again_and_findings_are_as_before() -> None:
    before = RulesRefiner().refine(REPORT, cancer_type="KIRC")
    after = without_stage(before)
    again = RulesRefiner().refine(after.text, cancer_type="KIRC")

    def values(report: RefinedReport) -> dict[str, str | None]:
        return {one.kind: one.value for one in report.statements if one.kind != "sentence"}

    stated = values(before)
    assert {"pT", "pN", "pM", "stage_group"} <= stated.keys()
    findings = {kind: value for kind, value in stated.items() if kind not in STAGE_FIELDS}
    assert {"grade", "tumor_size_cm", "nodes_positive", "nodes_examined"} <= findings.keys()
    assert values(after) == values(again) == findings
    for word in ("pT3a", "N1", "MX", "stage III"):
        assert word not in after.text
        assert not any(word in one.text or word in (one.quote or "") for one in after.statements)


def test_offsets_hold_in_the_masked_text() -> None:
    before = RulesRefiner().refine(REPORT, cancer_type="KIRC")
    after = without_stage(before)
    assert len(after.text) == len(before.text)
    assert after.statements
    for one in after.statements:
        assert after.text[one.start : one.end] == one.quote


def test_a_sentence_is_masked_in_its_words_and_one_that_says_nothing_else_is_dropped() -> None:
    text = "Stage IIIB. The tumor, stage IIIB, is large."
    whole, part = "Stage IIIB", "The tumor, stage IIIB, is large."

    def sentence(quote: str) -> Statement:
        start = text.index(quote)
        return Statement(kind="sentence", text=quote, quote=quote, start=start, end=start + len(quote))

    found = without_stage(
        RefinedReport(statements=(sentence(whole), sentence(part)), text=text, masked={"date": 1}, left_out=2)
    )
    masked = f"The tumor, {MASK * 10}, is large."
    assert [(one.text, one.quote, one.start) for one in found.statements] == [(masked, masked, 12)]
    assert (found.masked, found.left_out) == ({"date": 1}, 2)


def test_a_statement_without_a_quote_is_masked_in_its_own_words() -> None:
    statements = tuple(Statement(kind="sentence", text=text) for text in ("A pT2 tumor.", "Stage II"))
    found = without_stage(RefinedReport(statements=statements, text="", masked={}))
    assert [one.text for one in found.statements] == [f"A {MASK * 3} tumor."]


def test_a_report_that_tells_no_stage_is_unchanged() -> None:
    report = RulesRefiner().refine(
        "Breast, left: invasive ductal carcinoma, Nottingham grade 2, 1.4 cm. Margins are negative."
    )
    assert without_stage(report) == report
