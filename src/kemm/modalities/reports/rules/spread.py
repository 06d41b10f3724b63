"""Findings that are there or not: vessels, nerves, pleura, kidney, uterus, necrosis, number of foci."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kemm.modalities.reports.findings import Assertion, assertion
from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.reading import loosened, reading_copy
from kemm.modalities.reports.rules.candidate import IN_SITU, Candidate, section_rank

_WORST: tuple[Assertion, ...] = ("present", "indeterminate", "absent")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How one finding is worded.

    Attributes:
        mention: names the finding; a bare mention is a positive one ("with lymphatic invasion").
        label: names what may be affected ("renal vein"); says nothing unless something is said of it.
        absent: wording that itself means the finding is not there ("confined to the kidney").
        present: wording that itself means it is there ("tumor deposits: 3").
        elsewhere: where one of these is near, the words speak of something else.
        values: which of the assertions the field can take.
        looks_back: how far before its own clause `elsewhere` is looked for, in characters.
    """

    mention: str
    label: str = ""
    absent: str = ""
    present: str = ""
    elsewhere: str = ""
    values: tuple[Assertion, ...] = ("present", "absent")
    looks_back: int = 0

    def __post_init__(self) -> None:
        parts = [
            # Of two that begin at one place the first counts: what answers by itself before what only names.
            ("absent", self.absent),
            ("present", self.present),
            ("mention", self.mention),
            ("label", self.label),
        ]
        pattern = re.compile("|".join(f"(?P<{name}>{loosened(words)})" for name, words in parts if words))
        object.__setattr__(self, "_pattern", pattern)
        object.__setattr__(self, "_elsewhere", re.compile(self.elsewhere or r"(?!)"))

    _pattern = re.compile("")
    _elsewhere = re.compile("")

    @property
    def named(self) -> str:
        """Pattern of its name."""
        return "|".join(words for words in (self.mention, self.label) if words)

    def _answers(self, clause: str) -> Iterator[tuple[Assertion, int, int]]:
        for match in self._pattern.finditer(clause):
            near = clause[max(0, match.start() - 50) : match.end() + 40]
            if self._elsewhere.search(near):
                continue
            if match.lastgroup == "present":
                yield "present", match.start(), match.end()
                continue
            if match.lastgroup == "absent":
                denied = re.search(r"\b(?:not|no longer)\s{1,2}(?:\w{1,12}\s)?$", clause[: match.start()])
                yield (
                    ("present" if denied else "absent"),
                    denied.start() if denied else match.start(),
                    match.end(),
                )
                continue
            default: Assertion | None = "present" if match.lastgroup == "mention" else None
            said = assertion(clause, match.start(), match.end(), default=default)
            if said is not None and said.value in self.values:
                yield said.value, said.start, said.end

    def parse(self, quote: str) -> str | None:
        """The worst that the quote says: present, then indeterminate, then absent."""
        said = {value for value, _, _ in self._answers(reading_copy(quote))}
        return next((value for value in _WORST if value in said), None)

    def find(self, layout: Layout) -> Iterator[Candidate]:
        """Every place where something is said of the finding."""
        for match in self._pattern.finditer(layout.text):
            clause = layout.clause_at(match.start())
            # Run-on tables make clauses of any length; what is said of a finding stands near it.
            start = max(clause.start, match.start() - 200)
            text = layout.text[start : min(clause.end, match.end() + 200)]
            if self.looks_back and self._elsewhere.search(
                layout.text, max(0, match.start() - self.looks_back), match.start()
            ):
                continue
            rank = section_rank(layout, match.start())
            for _, begin, end in self._answers(text):
                if begin <= match.start() - start < end:
                    yield Candidate(start + begin, start + end, rank)


_VESSEL = (
    r"(?:lymphovascular|angiolymphatic|vascular[ /-]{1,3}lymphatic|lymphatic[ /-]{1,3}vascular"
    r"|lymph(?:atic)? vessels?"
    r"|(?:small|large|blood) vessels?|vessels?|intravascular|vascular|lymphatics?|lymph-vascular|venous"
    r"|arterial|angio|vein|capillary)"
)
INVASION = (
    r"(?:invasion|permeation|propagation|involvement|infiltration|spread|tumor emboli|emboli|tumor thromb\w+)"
)
LYMPHOVASCULAR = Finding(
    mention=(
        rf"\b{_VESSEL}(?:(?:\s{{0,2}}\([^()\n]{{0,40}}\))?(?:\s?(?:and|or|/|,|and/or)\s?(?:peri\w+"
        rf"|{_VESSEL})){{0,2}})?(?:\s{{0,2}}\([^()\n]{{0,40}}\))?\)?\s{{1,4}}(?:space\s)?{INVASION}"
        r"|\b(?:in|within|into|involv\w+|invad\w+|invasion of) (?:the )?(?:\w{1,15} )?(?:lymphatics"
        r"|vascular[ -]lymphatic spaces?|lymphovascular spaces?|lymphatic spaces?|vascular spaces?"
        r"|vascular channels|lymphatic channels|blood vessels|lymph vessels|small vessels)"
        r"|\blvs?i\b|\bangioinvasion|\blymphangitic spread|\blymphangiosis|\bpermeation of (?:lymphatic"
        r"|vascular)"
        # The codes L1 and V1 of the TNM system, beside others of their kind.
        r"|\bl1\b(?=[\s,]{0,3}(?:v\d|r[0-2x]|pn))|\bv[12]\b(?=[\s,]{0,3}(?:r[0-2x]|l\d|pn))"
    ),
    label=(
        r"\b(?:venous|lymphatic|arterial|vascular)(?: \(?(?:large|small) vessel\)?)(?: \(?v\)?)?(?=\s?:)"
        r"|\bj2\. microscopic(?=:)|\blymphatic/vascular(?=\s?:)"
    ),
    absent=r"\bl0[\s,]{0,3}v0\b",
    elsewhere=r"renal vein (?:invasion|involvement)|vascular (?:and \w+ )?margin|major vein",
    values=("present", "absent", "indeterminate"),
)
PERINEURAL = Finding(
    mention=rf"\b(?:peri ?-?neural|neural|nerve(?: sheath)?)(?: space)?\s{{1,2}}{INVASION}|\bpni\b"
)
TUMOUR_VERB = (
    r"(?:invad\w+|invasion (?:of|into|through|to)|extend\w*|extension (?:into|to|through|beyond)"
    r"|infiltrat\w+|penetrat\w+|involv\w+|breach\w*|reach\w*|through)"
)
PLEURAL = Finding(
    mention=(
        rf"\b{TUMOUR_VERB}(?: (?:to|into|through|up to|focally|beyond|and|of|by|with|onto|the|within|on"
        rf"|a|overlying|but|not|visceral|parietal|tumor)){{0,6}} pleura(?:l surface|l)?\b(?! margin)"
        r"|\bpleural?(?: surface)? (?:invasion|involvement|infiltration|extension)"
        r"|\bpleural (?:and \w+ )invasion"
    ),
    label=(
        r"\b(?:visceral |overlying |parietal )?pleura(?:l surface)?\b(?=\s?:|\s{1,2}(?:is|are|was|were"
        r"|not|negative|free|uninvolved|involved|positive|invaded|infiltrated|with no|has been)\b)"
    ),
    absent=(
        rf"\b{TUMOUR_VERB}(?: focally)? (?:up )?to,? but (?:does )?not (?:in)?to(?: or through)?(?: the)?(?: visceral"
        r"| overlying| parietal)? pleura\w*"
    ),
    elsewhere=(
        r"pleural? (?:fluid|effusion|margin|plaque|biops|adhesion)|cm from|mm from|\bis inked"
        r"|pleura is (?:smooth|intact|gray|pink|tan|wrinkled|red|purple|dusky|pucker|retract|glisten"
        r"|focally|markedly|slightly|mottled)|abut|puckering"
    ),
)
_FAT = (
    r"(?:peri-?\s?(?:nephric|renal|pelvic|hilar)(?: (?:adipose|soft|fatty|fibroadipose"
    r"|fibrous))?(?: (?:tissues?|fat))?|(?:renal )?sinus(?: (?:adipose|soft|fat(?:ty)?))?(?: tissues?"
    r"| fat)?|hilar (?:fat|adipose tissue|soft tissue)|gerota'?\s?s? fascia|gerota)"
)
EXTRARENAL = Finding(
    mention=(
        rf"\b{TUMOUR_VERB}(?: (?:to|into|through|beyond|focally|focal|the|and|of|by|with|within|adjacent"
        r"|surrounding|microscopic\w*|tumor|it|but|renal|capsule|capsular|vein|its"
        rf"|outside)){{0,7}} {_FAT}"
        rf"|\b(?:{_FAT}) (?:invasion|involvement|extension|infiltration)"
        r"|\b(?:extra-?\s?capsular|extra-?\s?renal|trans-?capsular) (?:extension|invasion|spread"
        r"|involvement|tumor)"
        rf"|\b{TUMOUR_VERB}(?: (?:through|beyond|outside|into|the|renal|kidney|focally|and)){{1,4}} capsule"
        rf"|\b{TUMOUR_VERB} (?:outside|beyond)(?: the)?(?: confines of)?(?: the)? kidney"
    ),
    label=(
        rf"\b{_FAT}\b(?=\s?[:(]|\s{{1,2}}(?:is|are|was|were|not|negative|free|uninvolved|involved"
        r"|positive|invaded|infiltrated|and (?:renal )?sinus)\b)"
    ),
    absent=(
        r"\b(?:limited|confined|restricted)(?: grossly)? (?:to|within|by|in)(?: the)?(?: renal"
        r"| kidney)?(?: (?:kidney|parenchyma|capsule?|cortex|capsul))"
    ),
    elsewhere=r"margin|kidney and (?:peri|surr)|including|cm from|mm from|consist|lymph node|scant|weigh",
)
RENAL_VEIN = Finding(
    mention=(
        rf"\brenal vein(?:s)?(?: \([^()\n]{{0,30}}\))? {INVASION}|\b{TUMOUR_VERB}(?: (?:to|into|the|a"
        r"|of|left|right|main|lumen|renal|sinus|and|fat|branch(?:es)?|large|wall|segmental|hilar|by|with"
        rf"|within)){{0,6}} renal vein"
        r"|\btumor thromb\w+|\b(?:present|tumor"
        r"|thromb\w+)(?: is)?(?: also)?(?: present)? (?:with)?in (?:the )?(?:lumen of )?(?:the )?(?:left "
        r"|right |main )?renal vein|\bintraluminal tumor"
        r"|\bvascular invasion:? present, renal vein|\bfilled with[\w\s/]{0,20}tumor thromb"
    ),
    label=(
        r"\brenal veins?(?: \((?!margin)[^()\n]{0,30}\))?(?=\s?:|\s{1,2}(?:is|are|was|not|negative|free"
        r"|uninvolved|involved|positive|invaded|and (?:renal )?artery|,)\b)"
        r"|\bmajor veins?(?: \([^()\n]{0,60}\))?(?=\s?:)|\bj[1l]\.? macroscopic[^:\n]{0,40}(?=:)"
    ),
    elsewhere=(
        r"vein margin|margins? of|margin\b[^.]{0,25}renal vein|\bcm in (?:diameter|length)|vein is patent"
        r"|vein, ureter"
    ),
)
SARCOMATOID = Finding(
    mention=(
        r"\bsarcomatoid(?: (?:features?|differentiation|component|change|areas?|histology|elements?"
        r"|dedifferentiation|pattern|transformation))?"
    ),
    elsewhere=r"^[\d\W]*renal cell carcinoma,? sarcomatoid\W*$",
)
NECROSIS = Finding(
    mention=r"\b(?:coagulative |tumor |central |geographic |extensive |focal )?necro(?:sis|tic)\b",
    elsewhere=(
        rf"papillary necrosis|tubular necrosis|fat necrosis|{IN_SITU}|biopsy site|central necrosis:"
        r"|necrotic debris in|granuloma|infarct|lymph node"
    ),
    looks_back=120,
)
MULTIFOCAL = Finding(
    mention=(
        r"\bmulti-?\s?(?:focal(?:ity)?|centric(?:ity)?)\b|\bsatellite (?:tumor|nodules?|lesions?"
        r"|foci)(?: ?\(s\))?"
        r"|\bmultiple (?:\(\d\) )?(?:tumor (?:nodules|foci|masses)|tumors|masses|foci of (?:invasive"
        r"|tumor|infiltrat\w+|carcinoma))|\b(?:two|three|four|five|2|3|4) (?:separate |distinct "
        r"|discrete )?(?:tumor (?:nodules|masses|foci)|(?:invasive )?(?:carcinomas|tumors)"
        r"|foci of (?:invasive|infiltrat))"
        r"|\badditional (?:tumor foci|foci of (?:invasive|tumor)|tumor nodules)"
        r"|\bseparate (?:tumor )?(?:nodules?|foci of (?:invasive|tumor))"
    ),
    absent=(
        r"\buni-?\s?focal|\bsingle (?:tumor )?(?:focus|mass|tumor|nodule)(?! of)\b|\bsolitary (?:tumor"
        r"|mass|nodule)|\bfocality\s?[:-]\s?(?:single|solitary)|\b(?:number of )?(?:tumors|tumor foci)\s?[:-]\s?(?:1"
        r"|one|single)\b"
    ),
    elsewhere=(
        rf"{IN_SITU}|hyperplasia|adenoma\b|lymph node|if multi|multifocal areas|necrosis|adenosis|cysts"
        r"|granulom|chronic|fibros|metasta"
    ),
)
CERVICAL_STROMA = Finding(
    mention=(
        r"\b(?:endo)?cervi(?:cal|x)(?: (?:stroma\w*|glandular|wall))? (?:invasion|involvement|extension"
        r"|infiltration)|\b(?:invad\w+|involv\w+|invasion of|extend\w* (?:in)?to)(?: the"
        r"| into)?(?: upper)? (?:endo)?cervical stroma"
    ),
    label=(
        r"\b(?:endo)?cervical stroma\w*\b|\b(?:uterine )?(?:endo)?cervix(?= (?:is|not|negative|free"
        r"|uninvolved|involved)|\s?:)"
    ),
    elsewhere=r"margin|vaginal|squamous|metaplasia|chronic|cervicitis|ectocervix",
)


# How deep a carcinoma of the endometrium goes.
_DEPTH_OF = re.compile(
    r"(?P<depth>\d{1,2}(?:\.\d{1,2})?)\s?(?P<unit1>[cm]m)?\s?(?:/|of|out of|in|into|through|where"
    r"|where the|with)\s(?:a |the |total )?(?:myometri\w+ )?(?:thickness of |thickness )?(?:is "
    r"|of )?(?P<wall>\d{1,2}(?:\.\d{1,2})?)\s?(?P<unit2>[cm]m)"
)
_PERCENT = re.compile(
    r"(?P<sign><|>|less than|more than|greater than|over|under|approximately|about"
    r"|=)?\s{0,2}(?P<percent>\d{1,3})(?:\s?-\s?(?P<upper>\d{1,3}))?\s?%"
)
_INNER = re.compile(
    r"less than (?:one[- ]|1 ?/ ?)?half|inner (?:one[- ])?(?:half|third|1/[23])|superficial"
    r"|<\s?(?:one )?half|<\s?1/2|minimal|inner myometri"
)
_OUTER = re.compile(
    r"(?:more|greater) than (?:one[- ]|1 ?/ ?)?half|outer (?:one[- ])?(?:half|third|1/[23])|deep(?:ly)?\b"
    r"|>\s?(?:one )?half|>\s?1/2|full thickness|transmural|(?:to|through) (?:the )?serosa|outer myometri"
)
_NOT_AT_ALL = re.compile(
    r"\b(?:no|without)(?: evidence of| definite| identified)? (?:myometrial (?:invasion|involvement)"
    r"|invasion (?:of|into) (?:the )?myometrium)"
    r"|(?:limited|confined) to (?:the )?(?:endometrium|endometrial polyp|polyp|mucosa)"
    r"|myometri(?:al|um)(?: invasion| involvement)?\s?[:,]?\s?(?:is |are )?(?:none|absent|not identified"
    r"|not present|negative|uninvolved|no\b|free)"
    r"|non-?invasive"
)
_MYOMETRIUM = re.compile(
    r"myometri|depth of invasion|\bendometrium\b|inner half|outer half|inner third|outer third"
)


# As synoptic reports print it, on one line or two.
_DEPTH_AND_WALL = re.compile(
    r"\b(?:depth of )?(?:myometrial )?invasion\s?:?\s{0,2}(?P<depth>\d{1,2}(?:\.\d{1,2})?)\s?(?P<unit1>[cm]m)[\s,;.]{1,4}"
    r"(?:total |full )?(?:myometrial thickness|thickness of (?:the )?myometrium)\s?(?::|is|of)?\s{0,2}"
    r"(?P<wall>\d{1,2}(?:\.\d{1,2})?)\s?(?P<unit2>[cm]m)"
)


def parse_myometrial(quote: str) -> str | None:
    """ "none", "<50%" or ">=50%" of the thickness of the wall."""
    text = reading_copy(quote)
    if not _MYOMETRIUM.search(text):
        return None
    if _NOT_AT_ALL.search(text):
        return "none"
    if match := _DEPTH_AND_WALL.search(text) or _DEPTH_OF.search(text):
        depth, wall = float(match["depth"]), float(match["wall"])
        if (match["unit1"] or match["unit2"]) != match["unit2"]:
            depth *= 0.1 if match["unit1"] == "mm" else 10
        if wall > 0 and depth <= wall:
            return "<50%" if depth / wall < 0.5 else ">=50%"
    if match := _PERCENT.search(text):
        percent = int(match["upper"] or match["percent"])
        if percent <= 100:
            below = percent < 50 or (percent == 50 and (match["sign"] or "") in {"<", "less than", "under"})
            return "<50%" if below else ">=50%"
    if _OUTER.search(text):
        return ">=50%"
    if _INNER.search(text):
        return "<50%"
    return None


def find_myometrial(layout: Layout) -> Iterator[Candidate]:
    """Clauses that tell how far the tumour goes into the myometrium."""
    for match in _DEPTH_AND_WALL.finditer(layout.text):
        yield Candidate(match.start(), match.end(), section_rank(layout, match.start()))
    for match in re.finditer(
        r"myometri|depth of invasion|confined to (?:the )?endometrium|limited to (?:the )?endometrium",
        layout.text,
    ):
        clause = layout.clause_at(match.start())
        start = max(clause.start, match.start() - 120)
        end = min(clause.end, match.end() + 120)
        if (
            re.search(r"adenomyosis|leiomyoma", layout.text[start:end])
            and "inva" not in layout.text[start:end]
        ):
            continue
        yield Candidate(start, end, section_rank(layout, match.start()))
