"""The rule-based refiner on small made-up reports whose content is known."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kemm.modalities.reports import CANNOT_BE_ASSESSED, MASK, Refiner, RulesRefiner, verify

REFINER = RulesRefiner()

BREAST_SYNOPTIC = """FINAL DIAGNOSIS:
BREAST, LEFT, MASTECTOMY:
- INVASIVE DUCTAL CARCINOMA, NOTTINGHAM GRADE 2.

SYNOPTIC REPORT
Laterality: Left
Histologic type: Invasive ductal carcinoma
Histologic grade: 2 (of 3)
Tumor size: 2,4 x 1.9 x 1.1 cm
Tumor focality: Unifocal
Lymphovascular invasion: Not identified
Margins: Negative
Number of lymph nodes examined: 14
Number of lymph nodes involved: 2
ER: Positive (95%)
PR: Negative
HER2: Equivocal (2+)
Pathologic stage: pT2 pN1a pMX
"""

BREAST_PROSE = (
    "Right breast, lumpectomy. Sections show an infiltrating Nottingham grade III (of III) lobular carcinoma forming "
    "a 3.1 x 2.0 x 1.8 cm mass. Angiolymphatic invasion is present. All margins are free of tumour. Multiple (4) right "
    "axillary lymph nodes are negative for tumor. Estrogen receptors were found in over 80% of nuclei. Progesterone "
    "receptor was negative. The tumor does not overexpress HER2/neu."
)

LUNG = """DIAGNOSIS
Lung, right lower lobe, lobectomy: Moderately to poorly differentiated non-keratinizing squamous cell carcinoma,
4.2 cm in greatest dimension. The tumor invades the visceral pleura. No perineural invasion is identified.
Bronchial margin is uninvolved. There is extensive necrosis.
Level 7 lymph nodes: no tumor in three lymph nodes (0/3).
Level 11 lymph nodes: metastatic carcinoma in one of two lymph nodes (1/2).
pTNM: T2a N1 M0, stage IIA
GROSS DESCRIPTION
The lobe measures 15 x 10 x 6 cm. One lymph node is sampled (0/9).
"""

KIDNEY = """A. Kidney, left, radical nephrectomy
Histologic type: Renal cell carcinoma, conventional
clear cell type
Fuhrman nuclear grade: Ill
Tumor size: 7.5 em
Sarcomatoid features: not identified
Tumor extends into the renal sinus fat.
No invasion of the renal vein is identified.
Lymphatic (small vessel): cannot be assessed
Surgical margins: not involved
AJCC: pT3a pNX
"""

UTERUS = """Uterus, cervix, both tubes and ovaries, hysterectomy:
Endometrioid adenocarcinoma, FIGO grade 1.
Tumor size: 3.5 cm
Myometrial invasion: 4 mm of 20 mm
Cervical stroma: not involved
Lymphovascular space invasion: indeterminate
Left ovary and right ovary: no tumor.
FIGO stage IA
Twelve (12) pelvic lymph nodes, negative for malignancy.
"""


def fields(text: str) -> dict[str, str | None]:
    return {s.kind: s.value for s in REFINER.refine(text).statements if s.kind != "sentence"}


def test_a_synoptic_table_of_the_breast_is_read_whole() -> None:
    assert fields(BREAST_SYNOPTIC) == {
        "histologic_type": "invasive ductal carcinoma",
        "grade": "2",
        "tumor_size_cm": "2.4",
        "pT": "T2",
        "pN": "N1a",
        "pM": "MX",
        "nodes_examined": "14",
        "nodes_positive": "2",
        "lymphovascular_invasion": "absent",
        "margins": "negative",
        "laterality": "left",
        "multifocal": "absent",
        "ER": "positive",
        "PR": "negative",
        "HER2": "equivocal",
    }


def test_prose_of_the_breast_is_read_whole() -> None:
    assert fields(BREAST_PROSE) == {
        "histologic_type": "invasive lobular carcinoma",
        "grade": "3",
        "tumor_size_cm": "3.1",
        "nodes_examined": "4",
        "nodes_positive": "0",
        "lymphovascular_invasion": "present",
        "margins": "negative",
        "laterality": "right",
        "ER": "positive",
        "PR": "negative",
        "HER2": "negative",
    }


def test_a_report_on_the_lung_adds_the_nodes_of_its_specimens() -> None:
    assert fields(LUNG) == {
        "histologic_type": "squamous cell carcinoma, non-keratinizing",
        "grade": "3",
        "tumor_size_cm": "4.2",
        "pT": "T2a",
        "pN": "N1",
        "pM": "M0",
        "stage_group": "IIA",
        "nodes_examined": "5",
        "nodes_positive": "1",
        "perineural_invasion": "absent",
        "margins": "negative",
        "laterality": "right",
        "necrosis": "present",
        "pleural_invasion": "present",
    }


def test_a_report_on_the_kidney_says_what_cannot_be_assessed() -> None:
    assert fields(KIDNEY) == {
        "histologic_type": "clear cell renal cell carcinoma",
        "grade": "3",
        "tumor_size_cm": "7.5",
        "pT": "T3a",
        "pN": "NX",
        "lymphovascular_invasion": CANNOT_BE_ASSESSED,
        "margins": "negative",
        "laterality": "left",
        "renal_sinus_invasion": "present",
        "extrarenal_extension": "present",
        "renal_vein_invasion": "absent",
        "sarcomatoid": "absent",
    }


def test_a_report_on_the_uterus_has_a_figo_stage_and_no_side() -> None:
    assert fields(UTERUS) == {
        "histologic_type": "endometrioid carcinoma",
        "grade": "1",
        "tumor_size_cm": "3.5",
        "stage_group": "IA",
        "nodes_examined": "12",
        "nodes_positive": "0",
        "lymphovascular_invasion": CANNOT_BE_ASSESSED,
        "myometrial_invasion": "<50%",
        "cervical_stroma": "absent",
    }


@pytest.mark.parametrize(
    ("sentence", "value"),
    [
        ("Myometrial invasion: none.", "none"),
        ("The tumor invades the outer half of the myometrium.", ">=50%"),
        ("Tumor invades 30% of the myometrial thickness.", "<50%"),
        ("Myometrial invasion: 12 mm in a 15 mm wall.", ">=50%"),
        ("Depth of invasion: 1.2 cm of 1.5 cm.", ">=50%"),
        ("The carcinoma is confined to the endometrium.", "none"),
        ("Invasion of less than one half of the myometrium.", "<50%"),
    ],
)
def test_the_depth_in_the_wall_of_the_uterus(sentence: str, value: str | None) -> None:
    found = fields(f"Uterus, hysterectomy. Endometrial carcinoma. {sentence}")
    assert found.get("myometrial_invasion") == value


@pytest.mark.parametrize(
    ("sentence", "value"),
    [
        ("Serous carcinoma of the endometrium, high grade.", "serous carcinoma"),
        ("Carcinosarcoma (malignant mixed mullerian tumor).", "carcinosarcoma"),
        ("Keratinizing squamous cell carcinoma of the lung.", "squamous cell carcinoma, keratinizing"),
        ("Lung: adenocarcinoma, acinar predominant.", "adenocarcinoma, acinar predominant"),
        ("Carcinoma, invasive, ductal, of the breast.", "invasive ductal carcinoma"),
        ("Invasive ductal and lobular carcinoma of the breast.", "invasive ductal and lobular carcinoma"),
        ("Ductal carcinoma in situ of the breast.", None),
        ("Kidney: chromophobe renal cell carcinoma.", "chromophobe renal cell carcinoma"),
    ],
)
def test_the_histologic_type_is_a_standard_term(sentence: str, value: str | None) -> None:
    assert fields(sentence).get("histologic_type") == value


@pytest.mark.parametrize(
    ("written", "field", "value"),
    [
        ("AJCC stage: pTl pNO pMX", "pT", "T1"),
        ("AJCC stage: pTl pNO pMX", "pN", "N0"),
        ("AJCC stage: pTlc pNla pMO", "pT", "T1c"),
        ("AJCC stage: pTlc pNla pMO", "pN", "N1a"),
        ("AJCC stage: pTlc pNla pMO", "pM", "M0"),
        ("Regional lymph nodes (pN): NO", "pN", "N0"),
        ("AJCC: pT2 NO MX", "pN", "N0"),
        ("Regional lymph nodes: NO: no regional lymph node metastasis", "pN", "N0"),
        ("Lymph nodes: No metastatic carcinoma", "pN", None),
        ("ypT2 N0(i-)(sn) M0", "pN", "N0"),
        ("pT1c pN1(mi)", "pN", "N1mi"),
        ("T Stage: 2 N Stage: 0 M Stage: 0", "pT", "T2"),
        (
            "Grade. TNM Stage. TNM Stage. TNM Stage. (T). (N). (M). Treatment. Tumour. 3. 2. 1. 0. none.",
            "pN",
            "N1",
        ),
        ("Pathologic stage: Ill", "stage_group", "III"),
        ("FURHMAN GRADE: lV", "grade", None),
        ("Nuclear grade: Fuhrman grade: 214.", "grade", "2"),
        ("TOMOR SIZE: 2.5 CM", "tumor_size_cm", "2.5"),
        ("Tumor size: 31 mm", "tumor_size_cm", "3.1"),
        ("ANGIOL YMPHATIC INVASION: ABSENT", "lymphovascular_invasion", "absent"),
    ],
)
def test_what_scanners_misread_is_read(written: str, field: str, value: str | None) -> None:
    assert fields(written).get(field) == value


@pytest.mark.parametrize(
    ("sentence", "value"),
    [
        ("Perineural invasion: present.", "present"),
        ("Perineural invasion: absent.", "absent"),
        ("No evidence of perineural invasion.", "absent"),
        ("There is no lymphatic, vascular or perineural invasion.", "absent"),
        ("The tumor is without perineural invasion.", "absent"),
        ("Carcinoma with perineural invasion.", "present"),
        ("Perineural invasion cannot be assessed.", CANNOT_BE_ASSESSED),
        ("Perineural invasion: indeterminate.", CANNOT_BE_ASSESSED),
        ("Perineural invasion: not assessed.", None),
        ("Perineural invasion: not applicable.", None),
        ("Perineural invasion:", None),
        ("Perineural invasion is not identified.", "absent"),
        ("The margin is negative.", None),
    ],
)
def test_denied_is_absent_what_cannot_be_assessed_says_so_and_the_rest_is_missing(
    sentence: str, value: str | None
) -> None:
    assert fields(sentence).get("perineural_invasion") == value


@pytest.mark.parametrize(
    ("sentence", "value"),
    [
        ("All margins are free of tumor.", "negative"),
        ("Invasive carcinoma is present at the deep margin.", "positive"),
        ("The deep margin is positive for invasive carcinoma.", "positive"),
        ("Margins: close (1 mm).", "close"),
        ("The tumor is 0.4 cm from the closest margin.", "negative"),
        ("DCIS is present at the inferior margin.", None),
        ("Margins: cannot be assessed.", CANNOT_BE_ASSESSED),
        ("Unable to assess the surgical margins.", CANNOT_BE_ASSESSED),
        ("Margins are negative, lymphatic invasion cannot be assessed.", "negative"),
        ("Surgical margins involved by invasive component:", None),
        ("The margins are inked blue.", None),
    ],
)
def test_margins(sentence: str, value: str | None) -> None:
    assert fields(sentence).get("margins") == value


def test_the_grade_of_in_situ_disease_is_not_the_grade() -> None:
    text = "Breast: invasive ductal carcinoma, grade 1. Ductal carcinoma in situ, nuclear grade 3."
    assert fields(text)["grade"] == "1"


def test_where_specimens_disagree_the_worst_counts() -> None:
    text = (
        "Diagnosis: Kidney, left: renal cell carcinoma, Fuhrman grade 2. Second nodule: Fuhrman grade 3. "
        "Vascular invasion: absent. Venous invasion: present."
    )
    assert fields(text)["grade"] == "3"
    assert fields(text)["lymphovascular_invasion"] == "present"


def test_the_diagnosis_overrules_the_frozen_section() -> None:
    text = (
        "FROZEN SECTION DIAGNOSIS: Margins positive for carcinoma. FINAL DIAGNOSIS: Kidney, right: carcinoma. "
        "Margins are negative."
    )
    assert fields(text)["margins"] == "negative"


def test_a_statement_reads_like_a_sentence_and_points_at_its_words() -> None:
    report = REFINER.refine(BREAST_SYNOPTIC)
    grade = next(s for s in report.statements if s.kind == "grade")
    assert grade.text == "Tumour grade: G2"
    assert grade.quote == BREAST_SYNOPTIC[grade.start : grade.end]
    assert "grade" in str(grade.quote).lower()


def test_sentences_no_field_covers_are_kept_and_the_rest_is_counted() -> None:
    filler = "".join(f"Received in cassette A{n} labeled with the name of block {n}. " for n in range(30))
    told = "The tumor shows marked rhabdoid change with brisk mitotic activity and desmoplastic stroma."
    report = REFINER.refine(f"Kidney, left. {filler}{told}")
    kept = [s.text for s in report.statements if s.kind == "sentence"]
    assert kept == [told.rstrip(".")]
    assert report.left_out == 30


def test_at_most_sixteen_sentences_are_kept() -> None:
    text = " ".join(
        f"Focus number {n} of carcinoma shows infiltration of muscle layer {n}." for n in range(40)
    )
    report = REFINER.refine(text)
    assert sum(s.kind == "sentence" for s in report.statements) == 16
    assert report.left_out == 24


def test_line_ends_of_windows_change_nothing() -> None:
    for text in (BREAST_SYNOPTIC, LUNG, KIDNEY, UTERUS):
        assert fields(text.replace("\n", "\r\n")) == fields(text)


def test_letters_beyond_ascii_keep_the_offsets() -> None:
    text = "İİ Grösse–Präparat “Niere”: " + KIDNEY
    report = REFINER.refine(text)
    assert {s.kind: s.value for s in report.statements if s.kind == "grade"} == {"grade": "3"}
    assert all(report.text[s.start : s.end] == s.quote for s in report.statements)


def test_nothing_is_read_from_nothing() -> None:
    assert REFINER.refine("").statements == ()
    assert REFINER.refine(" \n\t ").statements == ()


def test_the_organ_comes_from_the_text_and_only_then_from_the_cancer_type() -> None:
    text = "ER: positive. Tumor size: 2 cm."
    assert "ER" not in {s.kind for s in REFINER.refine(text).statements}
    assert "ER" in {s.kind for s in REFINER.refine(text, cancer_type="BRCA").statements}
    assert "ER" not in {s.kind for s in REFINER.refine("Kidney. " + text, cancer_type="BRCA").statements}


def test_identity_depends_on_the_names_hidden_and_nothing_else() -> None:
    assert isinstance(REFINER, Refiner)
    assert RulesRefiner().identity == REFINER.identity
    assert RulesRefiner(site_names=("St. Elsewhere",)).identity != REFINER.identity
    assert RulesRefiner(site_names=("A", "B")).identity == RulesRefiner(site_names=("B", "A")).identity


PIECES = st.sampled_from(
    [
        *(line + "\n" for text in (BREAST_SYNOPTIC, LUNG, KIDNEY, UTERUS) for line in text.splitlines()),
        *(sentence + ". " for sentence in BREAST_PROSE.split(". ")),
        "Patient expired 3 months after surgery. ",
        "TCGA-AB-1234 ",
        "12/03/2001 ",
        "\r\n",
        "\u200b",
        "İ",
        "█",
    ]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(PIECES | st.text(max_size=12), max_size=14).map("".join))
def test_every_quote_is_the_text_at_its_offsets_and_says_its_value(text: str) -> None:
    report = REFINER.refine(text)
    assert len(report.text) == len(text)
    for statement in report.statements:
        assert report.text[statement.start : statement.end] == statement.quote
        assert verify(statement, report.text) is None
    # Apart from what was hidden, the quote is also that of the source.
    for before, after in zip(text, report.text, strict=True):
        assert after in {before, MASK, " "}


@pytest.mark.parametrize(
    "piece", [LUNG, "a", " ", "(", "3 lymph ", "1 x ", "grade grade ", "no evidence of "]
)
def test_a_report_of_a_megabyte_takes_seconds(piece: str) -> None:
    size = 1_000_000 if piece == LUNG else 200_000
    text = (piece * (size // len(piece) + 1))[:size]
    begin = time.process_time()
    REFINER.refine(text)
    # About 3 s for a megabyte on an idle core; a rule that backtracks would take hours.
    assert time.process_time() - begin < 25
