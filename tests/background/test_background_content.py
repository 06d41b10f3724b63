"""What is shipped: every TCGA cancer type, four full cells each, one style, one prompt."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from kemm.core.types import Risk
from kemm.modalities.background import (
    BACKGROUND_KINDS,
    Background,
    Modality,
    background_prompt,
    cancer_types,
    load_background,
)

# The 33 studies of the TCGA programme, as its data portal names them.
TCGA = {
    "ACC": "Adrenocortical carcinoma",
    "BLCA": "Bladder urothelial carcinoma",
    "BRCA": "Breast invasive carcinoma",
    "CESC": "Cervical squamous cell carcinoma and endocervical adenocarcinoma",
    "CHOL": "Cholangiocarcinoma",
    "COAD": "Colon adenocarcinoma",
    "DLBC": "Lymphoid neoplasm diffuse large B-cell lymphoma",
    "ESCA": "Esophageal carcinoma",
    "GBM": "Glioblastoma multiforme",
    "HNSC": "Head and neck squamous cell carcinoma",
    "KICH": "Kidney chromophobe",
    "KIRC": "Kidney renal clear cell carcinoma",
    "KIRP": "Kidney renal papillary cell carcinoma",
    "LAML": "Acute myeloid leukemia",
    "LGG": "Brain lower grade glioma",
    "LIHC": "Liver hepatocellular carcinoma",
    "LUAD": "Lung adenocarcinoma",
    "LUSC": "Lung squamous cell carcinoma",
    "MESO": "Mesothelioma",
    "OV": "Ovarian serous cystadenocarcinoma",
    "PAAD": "Pancreatic adenocarcinoma",
    "PCPG": "Pheochromocytoma and paraganglioma",
    "PRAD": "Prostate adenocarcinoma",
    "READ": "Rectum adenocarcinoma",
    "SARC": "Sarcoma",
    "SKCM": "Skin cutaneous melanoma",
    "STAD": "Stomach adenocarcinoma",
    "TGCT": "Testicular germ cell tumors",
    "THCA": "Thyroid carcinoma",
    "THYM": "Thymoma",
    "UCEC": "Uterine corpus endometrial carcinoma",
    "UCS": "Uterine carcinosarcoma",
    "UVM": "Uveal melanoma",
}
CELLS: tuple[tuple[Modality, Risk], ...] = (
    ("slides", "high"),
    ("slides", "low"),
    ("genes", "high"),
    ("genes", "low"),
)
every_type = pytest.mark.parametrize("code", sorted(TCGA))


def texts(background: Background) -> Iterator[str]:
    for modality, risk in CELLS:
        for statement in background.statements(modality, risk):
            yield statement.text


def test_all_33_cancer_types_of_tcga_are_shipped_under_their_names() -> None:
    assert {one.code: one.name for one in cancer_types()} == TCGA


@every_type
def test_each_cell_has_five_to_nine_statements_and_about_a_hundred_words(code: str) -> None:
    background = load_background(code)
    for modality, risk in CELLS:
        cell = background.statements(modality, risk)
        words = sum(len(statement.text.split()) for statement in cell)
        assert 5 <= len(cell) <= 9, f"{code} {modality} {risk}: {len(cell)} statements"
        assert 80 <= words <= 130, f"{code} {modality} {risk}: {words} words"


@every_type
def test_every_statement_is_one_full_sentence_of_eight_to_twenty_five_words(code: str) -> None:
    for text in texts(load_background(code)):
        assert text.endswith("."), text
        # Names of genes and kinds of tests may open a sentence; a lower-case word may not.
        assert text[0].isupper(), text
        assert text.count(". ") == 0, f"two sentences: {text}"
        assert 8 <= len(text.split()) <= 25, f"{len(text.split())} words: {text}"


@every_type
def test_no_statement_is_repeated_within_a_cancer_type(code: str) -> None:
    written = [text.casefold() for text in texts(load_background(code))]
    assert len(written) == len(set(written))


@every_type
def test_no_statement_claims_a_number_nobody_has_checked(code: str) -> None:
    claim = re.compile(r"%|per ?cent|\d+\.\d|hazard ratio|\bp ?[<=]|\b\d+ (months|years)", re.IGNORECASE)
    for text in texts(load_background(code)):
        assert not claim.search(text), text


@every_type
def test_genomic_statements_name_genes_and_slide_statements_do_not_rest_on_them(code: str) -> None:
    background = load_background(code)
    symbol = re.compile(r"\b[A-Z][A-Z0-9]{2,}[0-9A-Z]\b")
    for risk in ("high", "low"):
        named = [s.text for s in background.statements("genes", risk) if symbol.search(s.text)]
        assert len(named) >= 4, f"{code} {risk}: {named}"
        in_slides = [s.text for s in background.statements("slides", risk) if symbol.search(s.text)]
        assert len(in_slides) <= 2, in_slides


@every_type
def test_the_author_is_a_language_model_and_the_reader_is_told(code: str) -> None:
    background = load_background(code)
    assert background.author.kind == "large language model"
    assert not background.reviewed
    assert background.warning is not None
    assert "written by Claude (large language model)" in background.warning
    assert "has not been reviewed by clinicians" in background.warning
    assert "not reviewed by clinicians" in background.describe()


@every_type
def test_the_recorded_prompt_is_the_prompt_that_is_shipped(code: str) -> None:
    background = load_background(code)
    assert background.prompt is not None
    prompt = files("kemm.modalities.background") / background.prompt
    text = prompt.read_text(encoding="utf-8")
    assert hashlib.sha256(text.encode()).hexdigest() == background.prompt_sha256


def test_no_two_cancer_types_answer_to_one_name() -> None:
    owner: dict[str, str] = {}
    for one in cancer_types():
        for name in {alias.casefold() for alias in (one.code, one.name, *one.aliases)}:
            assert owner.setdefault(name, one.code) == one.code, f"{name}: {owner[name]} and {one.code}"


def test_each_cell_has_a_kind_of_its_own() -> None:
    background = load_background("KIRC")
    kinds = [{s.kind for s in background.statements(modality, risk)} for modality, risk in CELLS]
    assert kinds == [{kind} for kind in BACKGROUND_KINDS]
    assert BACKGROUND_KINDS[0] == "background slides high risk"


def test_statements_have_no_source_text_and_claim_none() -> None:
    statement = load_background("KIRC").statements("genes", "high")[0]
    assert (statement.value, statement.quote, statement.start, statement.end) == (None, None, None, None)


# What textbooks agree on, by the cell it must stand in. A swap of two lists would show here.
TEXTBOOK: tuple[tuple[str, Modality, Risk, str], ...] = (
    ("KIRC", "genes", "high", "BAP1 loss"),
    ("KIRC", "genes", "low", "PBRM1 mutation"),
    ("KIRC", "slides", "high", "Sarcomatoid"),
    ("UVM", "genes", "high", "Monosomy of chromosome 3"),
    ("UVM", "genes", "low", "EIF1AX"),
    ("UVM", "slides", "high", "lymphocytes"),  # good in nearly every other cancer
    ("MESO", "genes", "low", "BAP1 loss"),  # bad in kidney and uveal melanoma
    ("MESO", "slides", "high", "Sarcomatoid"),
    ("UCEC", "genes", "low", "POLE"),
    ("UCEC", "genes", "high", "TP53"),
    ("GBM", "genes", "low", "MGMT promoter"),
    ("LGG", "genes", "low", "1p/19q codeletion"),
    ("LGG", "genes", "high", "Wild-type IDH1"),
    ("HNSC", "genes", "low", "Papillomavirus"),
    ("LUAD", "slides", "low", "lepidic"),
    ("LUAD", "slides", "high", "Micropapillary"),
    ("COAD", "genes", "low", "MLH1"),
    ("COAD", "genes", "high", "BRAF V600E"),
    ("LAML", "genes", "low", "PML::RARA"),
    ("LAML", "genes", "high", "FLT3"),
    ("THYM", "genes", "low", "GTF2I"),
    ("PCPG", "genes", "high", "SDHB"),
    ("OV", "genes", "high", "CCNE1"),
    ("OV", "genes", "low", "BRCA2"),
    ("PRAD", "slides", "high", "Gleason pattern five"),
    ("THCA", "genes", "high", "TERT promoter"),
    ("SKCM", "slides", "high", "Breslow"),
    ("BRCA", "genes", "low", "ESR1"),
    ("DLBC", "genes", "low", "germinal-centre"),
    ("TGCT", "slides", "low", "seminoma"),
)


@pytest.mark.parametrize(("code", "modality", "risk", "words"), TEXTBOOK)
def test_textbook_markers_stand_in_the_right_cell(
    code: str, modality: Modality, risk: Risk, words: str
) -> None:
    cell = [statement.text for statement in load_background(code).statements(modality, risk)]
    assert any(words in text for text in cell), cell


def test_the_prompt_asks_both_questions_about_the_type_it_is_given() -> None:
    prompt = background_prompt("multiple myeloma")
    assert "multiple myeloma" in prompt
    assert "{cancer_type}" not in prompt
    for words in ("Pathology images", "Genomics", "HIGH risk", "LOW risk", "no patient data"):
        assert words in prompt


@pytest.mark.parametrize("code", ["BRCA", "KIRC", "LUAD"])
def test_most_genomic_statements_name_a_gene_the_cohort_measures(code: str) -> None:
    root = Path(os.environ.get("KEMM_DATA") or Path(__file__).parents[2] / ".." / "shared" / "data")
    table = root / "tcga" / code / "genomics.parquet"
    if not table.exists():
        pytest.skip(f"the shared data is absent: {table}")
    pq = pytest.importorskip("pyarrow.parquet")
    measured = {name.rsplit("__", 1)[0] for name in pq.read_schema(table).names}
    background = load_background(code)
    statements = [s.text for risk in ("high", "low") for s in background.statements("genes", risk)]
    naming = [text for text in statements if measured & set(re.findall(r"[A-Z][A-Z0-9-]+", text))]
    assert len(naming) >= 0.5 * len(statements)
