"""The organs a report may be about, how a text names them, and which TCGA study is about which."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, kw_only=True)
class Organ:
    """How one organ is told from the others.

    Attributes:
        named: words of the organ and of operations on it, a pattern each; each occurrence counts one.
        telling: wordings that leave little doubt what the tumour is of; each counts three more.
        studies: codes of the TCGA studies of its tumours.
    """

    named: str
    telling: str = r"(?!)"
    studies: tuple[str, ...] = ()


_CANCER = r"(?:adenocarcinoma|carcinoma|cancer|tumor|neoplasm|malignancy)"

ORGANS: Mapping[str, Organ] = {
    "breast": Organ(
        named=r"breast\w* mastectom\w* lumpectom\w* mammar\w* mammae axilla\w*",
        telling=r"\bmastectom|\blumpectom",
        studies=("BRCA",),
    ),
    "lung": Organ(
        named=r"lungs? lobectom\w* pulmon\w* bronch\w* pneumonectom\w* pleura\w*",
        telling=r"\b(?:upper|lower|middle) lobe|\bpneumonectom",
        studies=("LUAD", "LUSC"),
    ),
    "kidney": Organ(
        named=r"kidney\w* renal nephrectom\w* perinephric gerota",
        telling=r"\bnephrectom|\brenal cell carcinoma",
        studies=("KIRC", "KIRP", "KICH"),
    ),
    "endometrium": Organ(
        named=r"uterus uterine endometri\w* myometri\w* hysterectom\w* cervix cervical fallopian",
        telling=rf"\bmyometrial (?:invasion|thickness)|\bendometrial {_CANCER}|\bendometrioid",
        studies=("UCEC", "UCS"),
    ),
    "cervix": Organ(
        named=r"cervix endocervi\w* parametri\w* coni[sz]ation",
        telling=rf"\bcervical (?:squamous|adeno|{_CANCER})|\b{_CANCER} of (?:the )?(?:uterine )?cervix"
        r"|\bradical hysterectom|\btrachelectom|\bendocervical (?:adeno|type)|\bcervical stromal? (?:depth|thick)",
        studies=("CESC",),
    ),
    "colorectum": Organ(
        named=r"colon\w* rectum rectal recto\w* cecum cecal caec\w* sigmoid\w* colectom\w* ileocec\w* colorect\w* hemicolectom\w* mesorect\w*",
        telling=r"\bhemicolectom|\bcolectom|\banterior resection|\babdominoperineal|\bmesorect",
        studies=("COAD", "READ"),
    ),
    "prostate": Organ(
        named=r"prostat\w* seminal gleason deferens",
        telling=r"\bprostatectom|\bgleason",
        studies=("PRAD",),
    ),
    "bladder": Organ(
        named=r"bladder urotheli\w* ureter\w* cystectom\w* cystoprostat\w* detrusor transitional",
        telling=r"(?<!chole)\bcystectom|\bcystoprostat|\burothelial carcinoma|\btransitional cell carcinoma"
        r"|\burinary bladder",
        studies=("BLCA",),
    ),
    "head and neck": Organ(
        named=r"tongue laryn\w* glott\w* supraglott\w* oral tonsil\w* pharyn\w* oropharyn\w* hypopharyn\w* mandib\w* buccal gingiv\w* palat\w+ maxill\w* glossectom\w* retromolar epiglott\w*",
        telling=r"\bglossectom|\blaryngectom|\bmandibulectom|\bfloor of (?:the )?mouth|\bradical neck",
        studies=("HNSC",),
    ),
    "stomach": Organ(
        named=r"stomach\w* gastric gastrectom\w* antrum antral pylor\w* cardia lauren",
        telling=r"\bgastrectom|\blauren",
        studies=("STAD",),
    ),
    "oesophagus": Organ(
        named=r"o?esophag\w* barrett\w* gastroesophag\w*",
        telling=r"\bo?esophagectom|\besophagogastrectom|\bbarrett",
        studies=("ESCA",),
    ),
    "liver": Organ(
        named=r"liver hepat\w* cirrho\w* hcc",
        telling=r"\bhepatectom|\bhepatocellular|\bliver resection|\bhepatic (?:lobectom|segment)",
        studies=("LIHC",),
    ),
    "bile duct": Organ(
        named=r"bile cholangio\w* biliary perihilar gallbladder",
        telling=r"\bcholangiocarcinoma|\bbile duct (?:adeno)?carcinoma|\bklatskin",
        studies=("CHOL",),
    ),
    "pancreas": Organ(
        named=r"pancrea\w* whipple ampulla\w* uncinate",
        telling=r"\bpancreat(?:oduoden)?ectom|\bpancreaticoduoden|\bwhipple|\bpancreatic (?:ductal|adeno)",
        studies=("PAAD",),
    ),
    "brain": Organ(
        named=r"brain gli(?:oma|oblast|osis|al)\w* astrocyt\w* oligodendro\w* cerebr\w* cerebell\w* craniotom\w* temporal frontal parietal occipital gfap mgmt idh\w*",
        telling=r"\bglioblastoma|\bastrocytoma|\boligo(?:dendroglioma|astrocytoma)|\bcraniotom",
        studies=("GBM", "LGG"),
    ),
    "eye": Organ(
        named=r"eye uveal? choroid(?:al)? ciliary sclera\w* vitre\w* optic enucleat\w* retina\w*",
        telling=r"\b(?:uveal|choroidal|ciliary body) melanoma|\benucleat|\bmelanoma of (?:the )?(?:choroid|uvea)",
        studies=("UVM",),
    ),
    "skin": Organ(
        named=r"melanoma\w* breslow clark dermis epiderm(?:is|al) dermal",
        telling=r"\bbreslow|\bclark(?:'s)? level|\bsuperficial spreading|\bcutaneous melanoma",
        studies=("SKCM",),
    ),
    "thyroid": Organ(
        named=r"thyroid\w* isthmus",
        telling=r"\bthyroidectom|\bpapillary thyroid|\bthyroid carcinoma",
        studies=("THCA",),
    ),
    "ovary": Organ(
        named=r"ovar\w* oment\w* debulk\w* cytoreduc\w* adnex\w*",
        telling=r"\bovarian (?:high|low|serous|mucinous|clear|surface|endometrioid|cyst|mass"
        rf"|{_CANCER})|\b{_CANCER} of (?:the )?(?:left |right )?ovar|\bcystadenocarcinoma|\bdebulk|\bomentectom",
        studies=("OV",),
    ),
    "testis": Organ(
        named=r"test(?:is|es|icular|icle) spermatic orchi(?:d)?ectom\w* epididym\w* tunica rete seminoma\w*",
        telling=r"\borchi(?:d)?ectom|\bseminoma|\bgerm cell tumor",
        studies=("TGCT",),
    ),
    "soft tissue": Organ(
        named=r"(?!carcino)\w*sarcoma\w* retroperiton\w* thigh fnclcc",
        telling=r"\b(?:leiomyo|lipo|myxofibro|angio|rhabdomyo)sarcoma|\b(?:pleomorphic|synovial|spindle cell) sarcoma"
        r"|\bfnclcc",
        studies=("SARC",),
    ),
    "adrenal": Organ(
        named=r"adrenal\w* ph[ae]{1,2}ochromocyt\w* paragangli\w* adrenocortical",
        telling=r"\bpheochromocytoma|\bphaeochromocytoma|\bparaganglioma|\badreno ?-?cortical (?:carcinoma|tumor|neoplasm)"
        r"|\badrenal cortical (?:carcinoma|tumor|neoplasm)|\bweiss\b",
        studies=("ACC", "PCPG"),
    ),
    "pleura": Organ(
        named=r"pleura\w* mesotheli\w* decorticat\w* hemithorax",
        telling=r"\bmesothelioma|\bextrapleural pneumonectom|\bpleurectom|\bdecorticat",
        studies=("MESO",),
    ),
    "thymus": Organ(
        named=r"thym(?:us|ic|oma|ectom)\w* masaoka mediastin\w*",
        telling=r"\bthymoma|\bthymectom|\bmasaoka|\bthymic carcinoma",
        studies=("THYM",),
    ),
}
"""Every organ with questions of its own, by name."""

_BY_STUDY = {study: name for name, organ in ORGANS.items() for study in organ.studies}
_NAMED = {name: re.compile("|".join(organ.named.split())) for name, organ in ORGANS.items()}
_TELLING = {name: re.compile(organ.telling) for name, organ in ORGANS.items()}
_WORD = re.compile(r"[a-z]{3,}")
_TELLING_COUNTS = 3
# A hint stands unless another organ is this many times as present in the text.
_OVERRULES = 4


def organ_of(cancer_type: str | None) -> str | None:
    """The organ of a TCGA study code ("KIRP" -> "kidney"); None for a code of no organ here."""
    return _BY_STUDY.get((cancer_type or "").strip().upper())


def organ_in(reading: str, cancer_type: str | None = None) -> str | None:
    """The organ that a report (its reading copy) is about; None where none is named.

    Args:
        cancer_type: a hint. It decides where the text names no organ and where it names its organ at
            least a quarter as much as any other; otherwise the text does.
    """
    points: Counter[str] = Counter()
    for word, times in Counter(_WORD.findall(reading)).items():
        for name in _organs_of(word):
            points[name] += times
    for name in points:
        points[name] += _TELLING_COUNTS * sum(1 for _ in _TELLING[name].finditer(reading))
    hinted = organ_of(cancer_type)
    if not points:
        return hinted
    best = max(ORGANS, key=lambda name: points[name])
    if hinted and points[hinted] * _OVERRULES >= points[best]:
        return hinted
    return best


@lru_cache(maxsize=65536)  # reports share most of their words
def _organs_of(word: str) -> tuple[str, ...]:
    return tuple(name for name, pattern in _NAMED.items() if pattern.fullmatch(word))
