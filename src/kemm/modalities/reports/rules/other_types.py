"""Histologic types that are no plain carcinoma, or one of a single organ: gliomas, sarcomas, melanoma, ..."""

from __future__ import annotations

import re
from collections.abc import Iterator

_SARCOMA = r"(?:spindle cell |pleomorphic |myxoid |high[- ]grade |undifferentiated )*"

# In order: of two that begin at one place, the first listed is meant.
_TYPES: tuple[tuple[str, str], ...] = (
    ("glioblastoma", r"glioblastoma(?: multiforme)?|\bgbm\b"),
    ("anaplastic oligoastrocytoma", r"anaplastic (?:mixed )?oligo-?astrocytoma"),
    ("oligoastrocytoma", r"(?:mixed )?oligo-?astrocytoma|mixed glioma"),
    ("anaplastic oligodendroglioma", r"anaplastic oligodendroglioma|oligodendroglioma,? anaplastic"),
    ("oligodendroglioma", r"oligodendroglioma"),
    ("anaplastic astrocytoma", r"anaplastic astrocytoma|astrocytoma,? anaplastic"),
    ("pilocytic astrocytoma", r"pilocytic astrocytoma"),
    ("astrocytoma", r"(?:diffuse |fibrillary |gemistocytic |protoplasmic )*astrocytoma"),
    ("ependymoma", r"(?:anaplastic )?ependymoma"),
    ("glioma", r"(?:diffuse |infiltrating |malignant |high[- ]grade |low[- ]grade )*glioma"),
    (
        "uveal melanoma",
        r"(?:uveal|choroidal|ciliary body|iris)(?: malignant)? melanoma|(?:malignant )?melanoma of (?:the )?(?:choroid|uvea|ciliary body|iris)",
    ),
    (
        "superficial spreading melanoma",
        r"superficial spreading(?: type)?(?: malignant)? melanoma|(?:malignant )?melanoma,? superficial spreading",
    ),
    ("nodular melanoma", r"nodular(?: type)?(?: malignant)? melanoma|(?:malignant )?melanoma,? nodular"),
    ("acral lentiginous melanoma", r"acral(?: lentiginous)?(?: malignant)? melanoma"),
    ("lentigo maligna melanoma", r"lentigo maligna melanoma"),
    ("desmoplastic melanoma", r"desmoplastic(?: malignant)? melanoma"),
    ("melanoma", r"(?:(?:invasive|metastatic|malignant|primary|cutaneous) )*melanoma(?! in[- ]situ)"),
    (
        "mixed germ cell tumor",
        r"(?:malignant )?mixed (?:malignant )?germ cell tumor|(?:non-?seminomatous )mixed germ cell tumor",
    ),
    ("seminoma", r"(?:classic(?:al)? |pure |typical )*\bseminoma"),
    ("embryonal carcinoma", r"embryonal carcinoma"),
    ("yolk sac tumor", r"yolk sac tumor|endodermal sinus tumor"),
    ("teratoma", r"(?:im)?(?:mature )?\bteratoma"),
    ("non-seminomatous germ cell tumor", r"non-?\s?seminomatous germ cell tumor"),
    ("germ cell tumor", r"germ cell tumor"),
    (
        "dedifferentiated liposarcoma",
        r"de-?\s?differentiated liposarcoma|liposarcoma,? de-?\s?differentiated",
    ),
    ("myxoid liposarcoma", r"myxoid(?:/round cell)? liposarcoma"),
    ("pleomorphic liposarcoma", r"pleomorphic liposarcoma"),
    ("well differentiated liposarcoma", r"well[- ]differentiated liposarcoma"),
    ("liposarcoma", r"liposarcoma"),
    ("leiomyosarcoma", rf"{_SARCOMA}leiomyosarcoma"),
    ("rhabdomyosarcoma", r"(?:embryonal |alveolar |pleomorphic )*rhabdomyosarcoma"),
    ("myxofibrosarcoma", r"myxo-?fibrosarcoma"),
    ("angiosarcoma", r"(?:epithelioid )?angiosarcoma"),
    ("synovial sarcoma", r"(?:monophasic |biphasic |poorly differentiated )*synovial sarcoma"),
    (
        "malignant peripheral nerve sheath tumor",
        r"malignant peripheral nerve sheath tumor|\bmpnst\b",
    ),
    (
        "undifferentiated pleomorphic sarcoma",
        r"undifferentiated(?: high[- ]grade)? pleomorphic sarcoma|pleomorphic undifferentiated sarcoma"
        r"|malignant fibrous histiocytoma|high[- ]grade pleomorphic sarcoma|\bmfh\b",
    ),
    ("desmoid fibromatosis", r"desmoid(?:[- ]type)?(?: fibromatosis| tumor)"),
    ("endometrial stromal sarcoma", r"endometrial stromal sarcoma"),
    ("fibrosarcoma", r"fibrosarcoma"),
    ("sarcoma", rf"{_SARCOMA}\bsarcoma"),
    (
        "biphasic mesothelioma",
        r"(?:malignant )?(?:biphasic|mixed)(?: type)?(?: malignant)?(?: pleural)? mesothelioma|(?:malignant )?(?:pleural )?mesothelioma,? (?:malignant,? )?(?:of )?(?:biphasic|mixed)",
    ),
    (
        "sarcomatoid mesothelioma",
        r"(?:sarcomatoid|desmoplastic|sarcomatous)(?: type)?(?: malignant)?(?: pleural)? mesothelioma|(?:malignant )?(?:pleural )?mesothelioma,? (?:malignant,? )?(?:of )?sarcomato\w+",
    ),
    (
        "epithelioid mesothelioma",
        r"epithel(?:ioid|ial)(?: type)?(?: malignant)?(?: pleural)? mesothelioma|(?:malignant )?(?:pleural )?mesothelioma,? (?:malignant,? )?(?:of )?(?:the )?epithel(?:ioid|ial)",
    ),
    ("mesothelioma", r"(?:malignant )?(?:pleural )?mesothelioma"),
    ("thymic carcinoma", r"thymic (?:squamous cell )?carcinoma|squamous cell carcinoma of (?:the )?thymus"),
    ("thymoma", r"(?:invasive |malignant )*thymoma"),
    (
        "adrenocortical carcinoma",
        r"adreno-?\s?cortical carcinoma|adrenal cortical carcinoma|carcinoma of (?:the )?adrenal cortex",
    ),
    ("pheochromocytoma", r"ph(?:a?e)ochromocytoma"),
    ("paraganglioma", r"paraganglioma"),
    ("diffuse large b-cell lymphoma", r"diffuse large b[- ]cell lymphoma|\bdlbcl\b"),
    ("neuroendocrine tumor", r"(?:well[- ]differentiated )?neuro-?endocrine tumor|carcinoid(?: tumor)?"),
    ("gastrointestinal stromal tumor", r"gastrointestinal stromal tumor"),
)
_ANY = re.compile("|".join(rf"(?P<t{at}>\b(?:{words}))" for at, (_, words) in enumerate(_TYPES)))
# Cheap to look for first: most reports hold none of these.
_MAY_BE = re.compile(
    r"(?<!carcin)oma\b|(?:thymic|embryonal|cortical) carcin|of (?:the )?(?:thymus|adrenal)|gbm|germ cell|yolk|endodermal|nerve sheath|mpnst|mfh|histiocyt|desmoid|carcinoid|dlbcl|endocrine tum|stromal tum|adrenal cort"
)


def other_types(text: str) -> Iterator[tuple[str, int, int]]:
    """(term, start, end) of each such type named in a reading copy."""
    at = 0
    while hint := _MAY_BE.search(text, at):
        # A type ends soon behind its telling word; begin where its first words may stand.
        begin, stop = max(at, hint.start() - 60), min(len(text), hint.end() + 40)
        for match in _ANY.finditer(text, begin, stop):
            if match.end() > at:
                yield _TYPES[int(str(match.lastgroup)[1:])][0], match.start(), match.end()
                at = match.end()
        at = max(at, hint.end())
