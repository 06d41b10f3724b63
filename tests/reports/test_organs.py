"""Each organ's own questions, on short made-up reports whose answers are known."""

from __future__ import annotations

import pytest

from kemm.modalities.reports import CANNOT_BE_ASSESSED, RulesRefiner
from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.organs import ORGANS

REFINER = RulesRefiner()

PROSTATE = """Prostate, radical prostatectomy:
Prostatic adenocarcinoma, acinar type, Gleason score 4+3=7 (grade group 3).
Extraprostatic extension: Present, focal
Seminal vesicle invasion: Not identified
Margins: negative
Perineural invasion: present
pT3a N0
"""
BLADDER = """Urinary bladder, cystoprostatectomy:
Invasive urothelial carcinoma, high grade.
The tumor invades the muscularis propria.
Carcinoma in situ: not identified
Lymphovascular invasion cannot be assessed.
"""
COLON = """Right colon, hemicolectomy: Moderately differentiated adenocarcinoma of the cecum.
Macroscopic tumor perforation: Not identified
Tumor deposits: Present (2)
Circumferential (radial) margin: uninvolved by carcinoma
Tumor budding: high (14 buds)
Mismatch repair proteins: loss of nuclear expression of MLH1 and PMS2
"""
TONGUE = """Tongue, left, partial glossectomy with neck dissection:
Invasive squamous cell carcinoma, keratinizing, moderately differentiated.
Depth of invasion: 8 mm
Extranodal extension: absent
p16 immunostain: negative
"""
STOMACH = """Stomach, distal gastrectomy: poorly differentiated adenocarcinoma.
Lauren classification: diffuse type
HER2: negative (score 0)
"""
OESOPHAGUS = """Esophagus, esophagectomy: adenocarcinoma arising in Barrett's esophagus.
Circumferential margin: positive for carcinoma
"""
LIVER = """Liver, right hepatectomy: hepatocellular carcinoma, moderately differentiated.
Macroscopic venous (large vessel) invasion: Present
Satellite nodules: not identified
Adjacent liver: cirrhosis.
"""
BILE_DUCT = """Liver, left hepatectomy: intrahepatic cholangiocarcinoma of the bile duct.
Bile duct margin: negative. Perineural invasion: present.
"""
PANCREAS = """Pancreas, Whipple pancreaticoduodenectomy: ductal adenocarcinoma.
The tumor extends into peripancreatic soft tissue. Margins: cannot be assessed
"""
BRAIN = """Brain, right temporal, craniotomy: Glioblastoma, WHO grade IV.
IDH1 R132H: negative (wild-type)
MGMT promoter: methylated
1p/19q: no codeletion
Microvascular proliferation is present. Ki-67 labeling index: 25-30%.
"""
SKIN = """Skin, left upper back, wide excision: Malignant melanoma, superficial spreading type.
Breslow thickness: 2.35 mm
Clark's level: IV
Ulceration: not identified
Mitotic rate: 4/mm2
Microsatellites: absent
BRAF V600E mutation: detected
"""
EYE = """Eye, left, enucleation: Choroidal melanoma, mixed spindle and epithelioid cell type.
Ciliary body: involved
Extrascleral extension: none identified
"""
THYROID = """Thyroid, total thyroidectomy: papillary carcinoma, classical type, 2.1 cm, right lobe.
Extrathyroidal extension: Minimal
BRAF: wild type
"""
OVARY = """Right ovary, debulking with omentectomy: High-grade serous carcinoma of the ovary.
Ovarian surface: involved
Capsule: intact
Peritoneal washings: positive for malignant cells
"""
CERVIX = """Uterine cervix, radical hysterectomy: squamous cell carcinoma of the cervix.
Depth of stromal invasion: 0.9 cm
Parametrium: not involved by tumor
HPV: positive
"""
TESTIS = """Testis, left, radical orchiectomy: Seminoma, classic type, 3.2 cm.
Rete testis invasion: present
Spermatic cord: negative for tumor
"""
SARCOMA = """Soft tissue, right thigh, resection: Leiomyosarcoma, high grade, FNCLCC grade 3.
Mitotic rate: 22 mitoses per 10 HPF
"""
ADRENAL = """Adrenal gland, left, adrenalectomy: Adrenocortical carcinoma.
Weiss score: 6 of 9
Capsular invasion: present
Mitoses: 12 per 50 HPF
"""
PARAGANGLIOMA = """Right adrenal, excision: pheochromocytoma. PASS score 5. No capsular invasion."""
PLEURA = """Left pleura, pleurectomy and decortication: Malignant mesothelioma, biphasic type."""
THYMUS = (
    """Mediastinum, thymectomy: Thymoma, WHO type B2. Masaoka stage IIa. Transcapsular invasion is present."""
)
BREAST = """Right breast, mastectomy: invasive ductal carcinoma.
Ki-67: 15%. Extranodal extension is indeterminate.
"""
LUNG = """Lung, left upper lobe, lobectomy: adenocarcinoma. Spread through air spaces (STAS): present"""
KIDNEY = """Kidney, right, nephrectomy: clear cell renal cell carcinoma with rhabdoid features.
Perinephric fat invasion: not identified. The tumor invades the renal sinus fat.
"""
ENDOMETRIUM = """Uterus, hysterectomy: endometrioid carcinoma. Mismatch repair proteins MLH1, MSH2: intact.
Peritoneal washings: negative for malignant cells
"""

STATED: dict[str, tuple[str, dict[str, str]]] = {
    "prostate": (
        PROSTATE,
        {
            "histologic_type": "adenocarcinoma, acinar",
            "gleason_score": "7",
            "grade_group": "3",
            "extraprostatic_extension": "present",
            "seminal_vesicle_invasion": "absent",
            "margins": "negative",
            "perineural_invasion": "present",
            "pT": "T3a",
            "pN": "N0",
        },
    ),
    "bladder": (
        BLADDER,
        {
            "histologic_type": "urothelial carcinoma",
            "low_or_high_grade": "high",
            "muscularis_propria_invasion": "present",
            "carcinoma_in_situ": "absent",
            "lymphovascular_invasion": CANNOT_BE_ASSESSED,
        },
    ),
    "colorectum": (
        COLON,
        {
            "histologic_type": "adenocarcinoma",
            "grade": "2",
            "perforation": "absent",
            "tumor_deposits": "present",
            "circumferential_margin": "negative",
            "margins": "negative",
            "tumor_budding": "high",
            "mismatch_repair": "deficient",
        },
    ),
    "head and neck": (
        TONGUE,
        {
            "histologic_type": "squamous cell carcinoma, keratinizing",
            "grade": "2",
            "laterality": "left",
            "invasion_depth_mm": "8",
            "extranodal_extension": "absent",
            "p16_hpv": "negative",
        },
    ),
    "stomach": (
        STOMACH,
        {"histologic_type": "adenocarcinoma", "grade": "3", "lauren_type": "diffuse", "HER2": "negative"},
    ),
    "oesophagus": (
        OESOPHAGUS,
        {
            "histologic_type": "adenocarcinoma",
            "barrett_mucosa": "present",
            "circumferential_margin": "positive",
            "margins": "positive",
        },
    ),
    "liver": (
        LIVER,
        {
            "histologic_type": "hepatocellular carcinoma",
            "grade": "2",
            "macrovascular_invasion": "present",
            "satellite_nodules": "absent",
            # Any vessel is a vessel, and a satellite another focus.
            "lymphovascular_invasion": "present",
            "multifocal": "absent",
            "cirrhosis": "present",
        },
    ),
    "bile duct": (
        BILE_DUCT,
        {
            "histologic_type": "cholangiocarcinoma",
            "margins": "negative",
            "perineural_invasion": "present",
        },
    ),
    "pancreas": (
        PANCREAS,
        {
            "histologic_type": "pancreatic ductal adenocarcinoma",
            "peripancreatic_invasion": "present",
            "margins": CANNOT_BE_ASSESSED,
        },
    ),
    "brain": (
        BRAIN,
        {
            "histologic_type": "glioblastoma",
            "grade": "4",
            "laterality": "right",
            "idh": "wild type",
            "mgmt": "methylated",
            "codeletion_1p19q": "absent",
            "microvascular_proliferation": "present",
            "ki67_percent": "30",
        },
    ),
    "skin": (
        SKIN,
        {
            "histologic_type": "superficial spreading melanoma",
            "breslow_mm": "2.35",
            "clark_level": "IV",
            "ulceration": "absent",
            "mitoses_per_mm2": "4",
            "satellites": "absent",
            "laterality": "left",
            "braf": "mutant",
        },
    ),
    "eye": (
        EYE,
        {
            "histologic_type": "uveal melanoma",
            "laterality": "left",
            "uveal_cell_type": "mixed",
            "ciliary_body_invasion": "present",
            "extrascleral_extension": "absent",
        },
    ),
    "thyroid": (
        THYROID,
        {
            "histologic_type": "papillary thyroid carcinoma",
            "tumor_size_cm": "2.1",
            "laterality": "right",
            "extrathyroidal_extension": "present",
            "braf": "wild type",
        },
    ),
    "ovary": (
        OVARY,
        {
            "histologic_type": "serous carcinoma",
            "laterality": "right",
            "low_or_high_grade": "high",
            "surface_involvement": "present",
            "capsule_rupture": "absent",
            "peritoneal_cytology": "positive",
        },
    ),
    "cervix": (
        CERVIX,
        {
            "histologic_type": "squamous cell carcinoma",
            "invasion_depth_mm": "9",
            "parametrial_invasion": "absent",
            "p16_hpv": "positive",
        },
    ),
    "testis": (
        TESTIS,
        {
            "histologic_type": "seminoma",
            "tumor_size_cm": "3.2",
            "laterality": "left",
            "rete_testis_invasion": "present",
            "spermatic_cord_invasion": "absent",
        },
    ),
    "soft tissue": (
        SARCOMA,
        {
            "histologic_type": "leiomyosarcoma",
            "grade": "3",
            "low_or_high_grade": "high",
            "mitoses_per_10_hpf": "22",
            "laterality": "right",
        },
    ),
    "adrenal": (
        ADRENAL,
        {
            "histologic_type": "adrenocortical carcinoma",
            "laterality": "left",
            "weiss_score": "6",
            "capsular_invasion": "present",
            "mitoses_per_10_hpf": "2.4",
        },
    ),
    "pleura": (PLEURA, {"histologic_type": "biphasic mesothelioma", "laterality": "left"}),
    "thymus": (
        THYMUS,
        {
            "histologic_type": "thymoma",
            "thymoma_type": "B2",
            "masaoka_stage": "IIA",
            "capsular_invasion": "present",
        },
    ),
    "breast": (
        BREAST,
        {
            "histologic_type": "invasive ductal carcinoma",
            "laterality": "right",
            "ki67_percent": "15",
            "extranodal_extension": CANNOT_BE_ASSESSED,
        },
    ),
    "lung": (
        LUNG,
        {"histologic_type": "adenocarcinoma", "laterality": "left", "spread_through_air_spaces": "present"},
    ),
    "kidney": (
        KIDNEY,
        {
            "histologic_type": "clear cell renal cell carcinoma",
            "laterality": "right",
            "rhabdoid": "present",
            "perinephric_fat_invasion": "absent",
            "renal_sinus_invasion": "present",
            "extrarenal_extension": "present",
        },
    ),
    "endometrium": (
        ENDOMETRIUM,
        {
            "histologic_type": "endometrioid carcinoma",
            "mismatch_repair": "proficient",
            "peritoneal_cytology": "negative",
        },
    ),
}


def fields(text: str, cancer_type: str | None = None) -> dict[str, str | None]:
    report = REFINER.refine(text, cancer_type=cancer_type)
    return {s.kind: s.value for s in report.statements if s.kind != "sentence"}


def test_every_organ_has_a_report_here() -> None:
    assert set(STATED) == set(ORGANS)


@pytest.mark.parametrize("organ", STATED)
def test_a_report_is_read_whole_and_nothing_is_added(organ: str) -> None:
    text, expected = STATED[organ]
    assert Layout(text).organ == organ
    assert fields(text) == expected


@pytest.mark.parametrize("organ", STATED)
def test_windows_line_ends_and_capitals_change_nothing(organ: str) -> None:
    text, expected = STATED[organ]
    assert fields(text.replace("\n", "\r\n")) == expected
    assert fields(text.upper()).items() >= {**expected}.items()
