"""What reports on one organ are asked beyond what all are, in the manner of the CAP cancer protocols.

Names and questions are our own short form of the data elements of the protocols (College of American
Pathologists, Cancer Protocol Templates); no protocol text is reproduced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kemm.modalities.reports.field import Field
from kemm.modalities.reports.rules import choosing, invasions, markers, prostate, spread
from kemm.modalities.reports.rules import organ_measures as measures
from kemm.modalities.reports.rules import organ_types as types
from kemm.modalities.reports.rules.wording import Choice, Measure


def _finding(
    name: str, title: str, asks: str, finding: spread.Finding, *organs: str, also_named: str = "(?!)"
) -> Field:
    return Field(
        name=name,
        title=title,
        asks=asks,
        parse=finding.parse,
        find=finding.find,
        choose=choosing.worst,
        named=f"{finding.named}|{also_named}",
        values=finding.values,
        organs=organs,
    )


def _choice(
    name: str,
    title: str,
    asks: str,
    choice: Choice,
    *organs: str,
    choose: Callable[[Sequence[str]], str] = choosing.first,
) -> Field:
    return Field(
        name=name,
        title=title,
        asks=asks,
        parse=choice.parse,
        find=choice.find,
        choose=choose,
        named=choice.name,
        values=choice.values,
        organs=organs,
    )


def _measure(
    name: str, title: str, asks: str, measure: Measure, named: str, *organs: str, suffix: str = ""
) -> Field:
    return Field(
        name=name,
        title=title,
        asks=asks,
        parse=measure.parse,
        find=measure.find,
        choose=choosing.largest,
        named=named,
        organs=organs,
        suffix=suffix,
        number=True,
    )


_BREAST = (
    Field(
        name="ER",
        title="Oestrogen receptor",
        asks="of breast carcinoma; positive from 1 % of nuclei",
        parse=markers.parse_er,
        find=markers.find_er,
        named=markers.ER,
        values=("positive", "negative"),
        organs=("breast",),
    ),
    Field(
        name="PR",
        title="Progesterone receptor",
        asks="of breast carcinoma; positive from 1 % of nuclei",
        parse=markers.parse_pr,
        find=markers.find_pr,
        named=markers.PR,
        values=("positive", "negative"),
        organs=("breast",),
    ),
    Field(
        name="HER2",
        title="HER2",
        asks="immunostain 0 or 1+ negative, 2+ equivocal, 3+ or amplified positive",
        parse=markers.parse_her2,
        find=markers.find_her2,
        named=markers.HER2,
        values=("positive", "negative", "equivocal"),
        organs=("breast", "stomach", "oesophagus"),
    ),
    _measure(
        "ki67_percent",
        "Ki-67",
        "per cent of tumour nuclei; of a range the upper end",
        measures.KI67,
        measures.KI67_NAME,
        "breast",
        "brain",
        "adrenal",
        suffix=" %",
    ),
    _finding(
        "extranodal_extension",
        "Extranodal extension",
        "tumour through the capsule of a lymph node",
        invasions.EXTRANODAL,
        "breast",
        "head and neck",
        "bladder",
        "cervix",
        "prostate",
        "skin",
        "thyroid",
        "testis",
    ),
)

_LUNG = (
    _finding("pleural_invasion", "Pleural invasion", "of lung tumours", spread.PLEURAL, "lung"),
    _finding(
        "spread_through_air_spaces",
        "Spread through air spaces",
        "tumour in air spaces beyond its edge (STAS)",
        invasions.AIR_SPACES,
        "lung",
    ),
)

_KIDNEY = (
    _finding(
        "extrarenal_extension",
        "Extension beyond the kidney",
        "into perinephric or sinus fat, or past the capsule",
        spread.EXTRARENAL,
        "kidney",
    ),
    _finding(
        "perinephric_fat_invasion",
        "Perinephric fat invasion",
        "tumour in the fat around the kidney",
        invasions.PERINEPHRIC,
        "kidney",
    ),
    _finding(
        "renal_sinus_invasion",
        "Renal sinus invasion",
        "tumour in the fat or vessels of the renal sinus",
        invasions.RENAL_SINUS,
        "kidney",
    ),
    _finding("renal_vein_invasion", "Renal vein invasion", "by kidney tumours", spread.RENAL_VEIN, "kidney"),
    _finding("sarcomatoid", "Sarcomatoid differentiation", "of kidney tumours", spread.SARCOMATOID, "kidney"),
    _finding("rhabdoid", "Rhabdoid differentiation", "of kidney tumours", invasions.RHABDOID, "kidney"),
)

_UTERUS = (
    Field(
        name="myometrial_invasion",
        title="Myometrial invasion",
        asks="depth as a share of the wall, for tumours of the endometrium",
        parse=spread.parse_myometrial,
        find=spread.find_myometrial,
        named=r"\bmyometri\w+(?: invasion)?|\bdepth of invasion",
        values=("none", "<50%", ">=50%"),
        organs=("endometrium",),
    ),
    _finding(
        "cervical_stroma",
        "Cervical stromal invasion",
        "by tumours of the endometrium",
        spread.CERVICAL_STROMA,
        "endometrium",
    ),
    _finding(
        "parametrial_invasion",
        "Parametrial invasion",
        "tumour in the parametrium",
        invasions.PARAMETRIUM,
        "cervix",
    ),
)

_DIGESTIVE = (
    _finding(
        "tumor_deposits",
        "Tumour deposits",
        "in the fat, without a lymph node",
        invasions.DEPOSITS,
        "colorectum",
    ),
    _choice(
        "mismatch_repair",
        "Mismatch repair",
        "deficient: a protein is lost or instability is high (MSI-H); proficient: all kept, stable or low",
        types.MISMATCH_REPAIR,
        "colorectum",
        "endometrium",
        "stomach",
        choose=choosing.last_of(("proficient", "deficient")),
    ),
    _choice(
        "circumferential_margin",
        "Circumferential (radial) margin",
        "whether tumour is at it or within 1 mm",
        types.CIRCUMFERENTIAL,
        "colorectum",
        "oesophagus",
        choose=choosing.worst,
    ),
    _finding("perforation", "Perforation", "of the bowel at the tumour", invasions.PERFORATION, "colorectum"),
    _choice(
        "tumor_budding",
        "Tumour budding",
        "low: 0-4 buds, intermediate: 5-9, high: 10 or more",
        types.BUDDING,
        "colorectum",
        choose=choosing.last_of(types.THREE_TIERS),
    ),
    _choice("lauren_type", "Lauren type", "of gastric adenocarcinoma", types.LAUREN, "stomach", "oesophagus"),
    _finding(
        "barrett_mucosa",
        "Barrett's mucosa",
        "intestinal metaplasia of the oesophagus",
        invasions.BARRETT,
        "oesophagus",
        "stomach",
    ),
    _finding(
        "macrovascular_invasion",
        "Invasion of large vessels",
        "portal or hepatic veins, seen by eye or named",
        invasions.MACROVASCULAR,
        "liver",
        "bile duct",
    ),
    _finding(
        "cirrhosis", "Cirrhosis", "of the liver beside the tumour", invasions.CIRRHOSIS, "liver", "bile duct"
    ),
    _finding(
        "satellite_nodules",
        "Satellite nodules",
        "small tumours beside the main one",
        invasions.SATELLITE_NODULES,
        "liver",
    ),
    _finding(
        "peripancreatic_invasion",
        "Invasion of peripancreatic soft tissue",
        "tumour beyond the pancreas",
        invasions.PERIPANCREATIC,
        "pancreas",
    ),
)

_URINARY_AND_MALE = (
    Field(
        name="gleason_score",
        title="Gleason score",
        asks="sum of the two patterns",
        parse=prostate.parse_gleason_score,
        find=prostate.find_gleason_score,
        named=r"\bgleason(?:'s)? (?:score|grade|sum)",
        values=("4", "5", "6", "7", "8", "9", "10"),
        organs=("prostate",),
    ),
    Field(
        name="grade_group",
        title="Prostate grade group",
        asks="as stated, or from the Gleason patterns: 6 is 1, 3+4 is 2, 4+3 is 3, 8 is 4, 9 and 10 are 5",
        parse=prostate.parse_grade_group,
        find=prostate.find_grade_group,
        named=r"\bgrade group",
        values=("1", "2", "3", "4", "5"),
        organs=("prostate",),
    ),
    _finding(
        "extraprostatic_extension",
        "Extraprostatic extension",
        "tumour beyond the prostate",
        invasions.EXTRAPROSTATIC,
        "prostate",
    ),
    _finding(
        "seminal_vesicle_invasion",
        "Seminal vesicle invasion",
        "by prostatic carcinoma",
        invasions.SEMINAL_VESICLE,
        "prostate",
    ),
    _finding(
        "muscularis_propria_invasion",
        "Muscularis propria invasion",
        "tumour in the detrusor muscle",
        invasions.MUSCULARIS,
        "bladder",
    ),
    _finding(
        "carcinoma_in_situ",
        "Carcinoma in situ",
        "flat lesion of the urothelium",
        invasions.IN_SITU_UROTHELIAL,
        "bladder",
    ),
    _choice(
        "low_or_high_grade",
        "Grade in two tiers",
        "of tumours graded low or high",
        types.TWO_TIERS,
        "bladder",
        "ovary",
        "soft tissue",
        choose=choosing.last_of(("low", "high")),
    ),
    _finding(
        "rete_testis_invasion",
        "Rete testis invasion",
        "by germ cell tumours",
        invasions.RETE_TESTIS,
        "testis",
    ),
    _finding(
        "spermatic_cord_invasion",
        "Spermatic cord invasion",
        "by germ cell tumours",
        invasions.SPERMATIC_CORD,
        "testis",
    ),
)

_HEAD_AND_BRAIN = (
    _measure(
        "invasion_depth_mm",
        "Depth of invasion",
        "in mm, of squamous tumours of the mouth, throat and cervix",
        measures.INVASION_DEPTH,
        r"\bdepth of (?:stromal )?invasion|\b(?:stromal|tumor) (?:invasion )?depth",
        "head and neck",
        "cervix",
        suffix=" mm",
    ),
    _choice(
        "p16_hpv",
        "p16 or HPV",
        "immunostain of p16, or human papilloma virus",
        types.P16_HPV,
        "head and neck",
        "cervix",
        choose=choosing.worst,
    ),
    _choice("idh", "IDH", "IDH1 or IDH2 of gliomas", types.IDH, "brain"),
    _choice(
        "codeletion_1p19q",
        "1p/19q",
        "present where both arms are lost",
        types.CODELETION,
        "brain",
    ),
    _choice("mgmt", "MGMT promoter", "methylation", types.MGMT, "brain"),
    _finding(
        "microvascular_proliferation",
        "Microvascular proliferation",
        "of gliomas",
        invasions.MICROVASCULAR_PROLIFERATION,
        "brain",
    ),
)

_MELANOMA = (
    _measure(
        "breslow_mm",
        "Breslow thickness",
        "in mm",
        measures.BRESLOW,
        r"\bbreslow(?:'s)?(?: thickness| depth)?|\btumor thickness",
        "skin",
        suffix=" mm",
    ),
    _finding("ulceration", "Ulceration", "of the primary melanoma", invasions.ULCERATION, "skin"),
    _choice(
        "clark_level",
        "Clark level",
        "I to V",
        types.CLARK,
        "skin",
        choose=choosing.last_of(types.CLARK_LEVELS),
    ),
    _measure(
        "mitoses_per_mm2",
        "Mitoses per mm²",
        "a whole number; fewer than one is 0",
        measures.MITOSES_PER_MM2,
        r"\bmitotic (?:rate|index|count|activity)|\bmitoses",
        "skin",
        suffix="/mm²",
    ),
    _finding(
        "satellites",
        "Satellites",
        "or microsatellites or in-transit metastases of melanoma",
        invasions.SATELLITES,
        "skin",
    ),
    _finding(
        "ciliary_body_invasion",
        "Ciliary body invasion",
        "by uveal melanoma",
        invasions.CILIARY_BODY,
        "eye",
    ),
    _finding(
        "extrascleral_extension",
        "Extrascleral extension",
        "of uveal melanoma (extraocular)",
        invasions.EXTRASCLERAL,
        "eye",
    ),
    _choice("uveal_cell_type", "Cell type", "of uveal melanoma", types.UVEAL_CELLS, "eye"),
)

_GLANDS = (
    _finding(
        "extrathyroidal_extension",
        "Extrathyroidal extension",
        "tumour beyond the thyroid",
        invasions.EXTRATHYROIDAL,
        "thyroid",
    ),
    _choice("braf", "BRAF", "mutant (V600E) or wild type", types.BRAF, "thyroid", "skin", "colorectum"),
    _finding(
        "capsular_invasion",
        "Capsular invasion",
        "tumour in or through its own capsule",
        invasions.CAPSULE,
        "adrenal",
        "thyroid",
        "thymus",
    ),
    _measure(
        "weiss_score",
        "Weiss score",
        "0 to 9, of adrenocortical tumours",
        measures.WEISS,
        r"\bweiss (?:score|criteria)",
        "adrenal",
    ),
    _measure(
        "pass_score",
        "PASS score",
        "0 to 20, of pheochromocytoma",
        measures.PASS,
        r"\bpass(?: score)?\b",
        "adrenal",
    ),
    _choice(
        "masaoka_stage",
        "Masaoka stage",
        "of thymic tumours",
        types.MASAOKA,
        "thymus",
        choose=choosing.last_of(types.MASAOKA_STAGES),
    ),
    _choice(
        "thymoma_type",
        "WHO type of thymoma",
        "A, AB, B1, B2, B3 or C (thymic carcinoma)",
        types.THYMOMA,
        "thymus",
    ),
)

_OVARY_AND_SARCOMA = (
    _finding(
        "surface_involvement",
        "Ovarian surface involvement",
        "tumour on the surface of the ovary",
        invasions.OVARIAN_SURFACE,
        "ovary",
    ),
    _finding(
        "capsule_rupture", "Rupture of the capsule", "of the ovarian tumour", invasions.RUPTURE, "ovary"
    ),
    _choice(
        "peritoneal_cytology",
        "Peritoneal cytology",
        "of washings or ascites",
        types.CYTOLOGY,
        "ovary",
        "endometrium",
        choose=choosing.worst,
    ),
    _measure(
        "mitoses_per_10_hpf",
        "Mitoses per 10 high-power fields",
        "brought to ten fields",
        measures.MITOSES_PER_10_FIELDS,
        r"\bmitotic (?:rate|index|count|activity)|\bmitoses",
        "soft tissue",
        "adrenal",
        "eye",
        suffix="/10 HPF",
    ),
)

ORGAN_FIELDS: tuple[Field, ...] = (
    *_BREAST,
    *_LUNG,
    *_KIDNEY,
    *_UTERUS,
    *_DIGESTIVE,
    *_URINARY_AND_MALE,
    *_HEAD_AND_BRAIN,
    *_MELANOMA,
    *_GLANDS,
    *_OVARY_AND_SARCOMA,
)
