"""Numbers that protocols of single organs ask for."""

from __future__ import annotations

from kemm.modalities.reports.rules.wording import GAP, NUMBER, Measure

_LENGTHS = {"mm": 1.0, "cm": 10.0}
_PART = r"(?P<sign>)(?P<value>\d{1,3}(?:\.\d{1,2})?)(?P<upper>)"
_UNIT = r"\s?(?P<unit>mm|cm)\b"

KI67_NAME = r"\b(?:ki ?-? ?67|mib ?-? ?1)\b"
KI67 = Measure(
    patterns=(
        rf"{KI67_NAME}(?:[^.;\n\d%]|\.(?=\d)){{0,60}}?{NUMBER}\s?(?:%|per ?cent)",
        rf"{NUMBER}\s?(?:%|per ?cent)[^.;\n\d]{{0,30}}?{KI67_NAME}",
    ),
    most=100,
)

INVASION_DEPTH = Measure(
    patterns=(
        rf"\b(?:depth of (?:stromal )?invasion|invasion depth|(?:maximum|maximal|greatest) depth|doi){GAP}{NUMBER}{_UNIT}",
        rf"\b(?:invad\w+|invasion|infiltrat\w+)[^.;\n\d]{{0,30}}? to a (?:maximum |maximal )?depth of {NUMBER}{_UNIT}",
        rf"\b(?:stromal invasion|depth of invasion){GAP}{_PART}\s?(?:of|/|out of)\s?(?:a )?\d{{1,3}}(?:\.\d{{1,2}})?{_UNIT}",
        rf"{NUMBER}{_UNIT},? (?:in )?(?:depth of (?:stromal )?invasion|deep)",
    ),
    units=_LENGTHS,
    most=100,
)
BRESLOW = Measure(
    patterns=(
        rf"\bbreslow(?:'s)?{GAP}{NUMBER}{_UNIT}",
        rf"\b(?:maximum |maximal )?(?:tumor|melanoma) thickness{GAP}{NUMBER}{_UNIT}",
        rf"{NUMBER}{_UNIT}[^.;\n\d]{{0,24}}\bbreslow",
    ),
    units=_LENGTHS,
    most=100,
)

_MITOSES = r"\b(?:mitotic (?:rate|index|count|activity|figures?)|mitos[ei]s)(?: ?\(s\))?"
MITOSES_PER_MM2 = Measure(
    patterns=(
        # A label with "per mm2" in its name, then the number; or the number with its square millimetre.
        rf"{_MITOSES}(?: (?:\(|per |/ ?)?(?:sq\.? ?|square )?mm ?(?:2|\^2|²)?\)?)?[^.;\n\d]{{0,24}}?{NUMBER}\s?(?:mitos[ei]s )?(?:/|per)\s?(?:1 ?)?(?:sq\.? ?|square )?mm",
        rf"{NUMBER}\s?(?:mitos[ei]s|mitotic figures?)\s?(?:/|per)\s?(?:1 ?)?(?:sq\.? ?|square )?mm",
        rf"{_MITOSES}[^.;\n\d]{{0,20}}(?:/|per) ?(?:sq\.? ?|square )?mm ?(?:2|\^2|²)?\)?\s?[:=]\s?{NUMBER}",
    ),
    most=99,
    whole=True,
)
_COUNT = r"(?P<sign><|less than|up to|approximately|about)?\s?(?P<value>\d{1,3})(?:\s?(?:-|to)\s?(?P<upper>\d{1,3}))?"
_FIELDS = r"(?P<per>\d{1,3})\s?(?:hpfs?\b|high[- ]power(?:ed)? fields?)"
MITOSES_PER_10_FIELDS = Measure(
    patterns=(
        rf"{_MITOSES}[^.;\n\d]{{0,30}}?{_COUNT}\s?(?:mitos[ei]s |mitotic figures )?(?:/|per|in|out of)\s?{_FIELDS}",
        rf"(?<![\d.]){_COUNT}\s?(?:mitos[ei]s|mitotic figures?)\s?(?:/|per|in|out of)\s?{_FIELDS}",
        rf"{_MITOSES}[^.;\n\d]{{0,16}}(?:/|per)\s?{_FIELDS}\)?\s?[:=]\s?{_COUNT}",
    ),
    most=500,
    over=10,
)

WEISS = Measure(
    patterns=(
        r"\bweiss[^.;\n\d]{0,40}?(?P<sign>)(?P<value>\d)(?P<upper>)(?!\.?\d)",
        r"(?P<sign>)(?P<value>\d)(?P<upper>)\s?(?:of|/|out of)\s?(?:the )?(?:9|nine) weiss",
    ),
    most=9,
    whole=True,
)
PASS = Measure(
    patterns=(
        r"\bpass\b(?: score)?[^.;\n\da-z]{0,8}(?:is |of |equals )?(?P<sign>)(?P<value>\d{1,2})(?P<upper>)(?!\d)",
        r"\bpheochromocytoma of the adrenal gland scaled score[^.;\n\d]{0,16}(?P<sign>)(?P<value>\d{1,2})(?P<upper>)(?!\d)",
    ),
    most=20,
    whole=True,
)
