"""Markers, types and stages that protocols of single organs ask for."""

from __future__ import annotations

from kemm.modalities.reports.rules.wording import Choice

_POSITIVE = (
    r"positive|\bpos\b|\+(?!/)|\bpresent\b|\bdetected|\bidentified|reactive|strong|diffuse|\boverexpress\w*"
)
_NEGATIVE = (
    r"negative|\bneg\b|\babsent\b|\bnot (?:detected|identified|expressed|present|seen|reactive|involved)"
    r"|non-?reactive|\bno (?:\w+ )?(?:staining|expression|evidence|malignan\w+|tumor|carcinoma)"
)
_WILD = r"wild-?\s?type|\bnegative|\bnot (?:detected|mutated|identified|present)|\bno (?:\w+ )?mutation|\babsent|unmutated"
_MUTANT = r"\bmutant|\bmutated|\bmutation(?: is| was)? (?:detected|identified|present|positive)|\bpositive|\bdetected|\bidentified|\bpresent|\b(?:v600e|r132h)(?!\)?(?: mutation)?(?: is| was)?[ :]{0,3}(?:not|neg|abs|wild))"

_REPAIR_PROTEINS = (
    r"\b(?:mlh-?1|msh-?2|msh-?6|pms-?2)(?:(?:,| and|,? &|/)? ?(?:mlh-?1|msh-?2|msh-?6|pms-?2)){0,3}"
)
MISMATCH_REPAIR = Choice(
    name=(
        rf"{_REPAIR_PROTEINS}|\b(?:dna )?mismatch repair(?: proteins?| gene)?(?: \(mmr\))?(?: status| expression)?|\bmmr\b"
        r"|\bmicrosatellite (?:instability|status|stability)(?: \(msi\))?(?: status| testing)?|\bmsi\b(?! ?-?(?:h|l|high|low)\b)"
    ),
    options={
        "proficient": (
            r"intact|proficient|\bstable|\bmss\b|\bmsi ?-? ?l(?:ow)?\b|\blow\b|retained|preserved|\bno (?:evidence of )?"
            r"(?:loss|instability|deficien\w+)|\bnot (?:lost|detected|identified|deficient)|\bpresent|\bpositive|\babsent\b|\bnormal"
        ),
        "deficient": (
            r"\bdeficien\w+|\bloss\b|\blost\b|\bmsi ?-? ?h(?:igh)?\b|\bhigh\b|\bunstable|\bnegative|\babnormal"
            r"|\bnot (?:expressed|retained)"
        ),
    },
    alone={
        "proficient": r"\blow probability of (?:msi|microsatellite)[ -]{0,2}(?:h(?:igh)?\b|instability)|\bmss\b|\bmsi ?-? ?l(?:ow)?\b|\bmicrosatellite[ -]stable|\bpmmr\b|\bno (?:evidence of )?"
        r"(?:microsatellite instability|mismatch repair deficiency|loss of (?:nuclear )?(?:expression of )?(?:mismatch|mmr))",
        "deficient": r"\bmsi ?-? ?h(?:igh)?\b|\bdmmr\b|\bmismatch repair[ -]deficien\w+|\bmicrosatellite[ -]unstable"
        rf"|\bloss of (?:nuclear )?(?:expression|staining)(?: of| for)? (?:{_REPAIR_PROTEINS})",
    },
)
CIRCUMFERENTIAL = Choice(
    name=r"\b(?:circumferential|radial|mesorectal|\(?radial\)?)(?:[ /(]{1,2}(?:radial|circumferential|resection)\)?)*(?: \(?crm\)?)?"
    r" margins?(?: \(crm\))?|\bcrm\b",
    options={
        "negative": r"negative|\bneg\b|\buninvolved|\bnot involved|\bfree\b|\bclear\b|\bno (?:tumor|carcinoma|evidence)"
        r"|\b(?:[2-9]|[1-9]\d)(?:\.\d)? ?mm\b|\b(?:0\.[2-9]|[1-9]\.\d|[1-9]) ?cm\b",
        "positive": r"positive|\binvolved|\btumor (?:present|at)|\b(?:0|1|0\.\d)(?:\.0)? ?mm\b|\b0(?:\.[01])? ?cm\b",
    },
)
THREE_TIERS = ("low", "intermediate", "high")
BUDDING = Choice(
    name=r"\btumor budding(?: score| grade)?",
    options={
        "low": r"\blow\b|\bbd ?1\b|\bnone\b|\bnot identified|\babsent|\bminimal|\b[0-4] buds",
        "intermediate": r"\bintermediate|\bmoderate|\bbd ?2\b|\b[5-9] buds",
        "high": r"\bhigh\b|\bbd ?3\b|\bmarked|\b[1-9]\d buds",
    },
    alone={"low": r"\bno tumor budding"},
)
LAUREN = Choice(
    name=r"\blauren(?:'s)?(?: classification)?(?: of adenocarcinoma)?",
    options={
        "mixed": r"\bmixed|\bindeterminate type|\bintestinal and diffuse|\bdiffuse and intestinal",
        "intestinal": r"\bintestinal",
        "diffuse": r"\bdiffuse",
    },
    alone={
        "mixed": r"\bmixed (?:intestinal and diffuse|diffuse and intestinal)|\bmixed type (?:adeno)?carcinoma",
        "intestinal": r"\b(?:adenocarcinoma,? (?:of )?(?:the )?intestinal[ -]type|intestinal[ -]type adenocarcinoma)",
        "diffuse": r"\b(?:(?:adeno)?carcinoma,? (?:of )?(?:the )?diffuse[ -]type|diffuse[ -]type (?:adeno)?carcinoma)",
    },
)

TWO_TIERS = Choice(
    name=r"\b(?:histolog\w+ |tumor |who |who/isup )?grade",
    options={
        "high": r"\bhigh\b(?!-power)",
        "low": r"\blow\b",
    },
    alone={
        "high": r"\bhigh[ -]grade\b(?! (?:dysplasia|squamous intra|prostatic|pin\b))",
        "low": r"\blow[ -]grade\b(?! (?:dysplasia|squamous intra))",
    },
    led=False,
    reach=24,
)

P16_HPV = Choice(
    name=r"\bp16(?:ink4a)?\b|\b(?:high[ -]risk )?hpv\b(?: ?-? ?(?:16|18))?|\bhuman papilloma ?virus",
    options={"negative": _NEGATIVE, "positive": _POSITIVE},
    alone={"positive": r"\bhpv[ -](?:associated|related|mediated)", "negative": r"\bhpv[ -]independent"},
)

IDH = Choice(
    name=r"\bidh ?-? ?[12]?(?: ?(?:/|and) ?(?:idh ?-? ?)?2)?(?: ?\(?(?:p\.)?r132h?\)?)?\b(?: mutant protein| mutation)?(?: status)?(?: ?\(r132h\))?",
    options={"wild type": _WILD, "mutant": _MUTANT},
)
CODELETION = Choice(
    name=r"\b(?:chromosomes? )?1p ?(?:/|and|-|,|&)? ?19q(?: co-?\s?deletion)?(?: status)?|\blos[st] of (?:heterozygosity (?:of|for|on) )?"
    r"1p and 19q",
    options={
        "absent": r"\bnot? (?:co-?\s?delet\w+|delet\w+|detected|identified|lost|loss|present)|\bintact|\bretained|\bnegative"
        r"|\babsent|\bnon-?\s?co-?\s?deleted",
        "present": r"\bco-?\s?delet\w+|\bdelet(?:ed|ion)|\bloss\b|\blost\b|\bpresent|\bdetected|\bpositive",
    },
    alone={
        "absent": r"\bno (?:evidence of )?(?:1p ?(?:/|and) ?19q )(?:co-?\s?deletion|loss)"
        r"|\b(?:no|without) (?:evidence of )?(?:co-?\s?)?(?:deletions?|loss) of (?:both )?(?:chromosomes? )?1p (?:and|or) 19q",
        "present": r"\b(?:co-?\s?)?(?:deletions?|loss) of (?:both )?(?:chromosomes? )?1p and 19q",
    },
)
MGMT = Choice(
    name=r"\bmgmt(?: gene)?(?: promoter)?(?: methylation)?(?: status)?",
    options={
        "unmethylated": r"\bunmethylated|\bnot? (?:methylat\w+|detected|present|identified)|\bnegative|\babsent",
        "methylated": r"\bmethylated|\bmethylation (?:is )?(?:present|detected|identified)|\bpositive|\bpresent|\bdetected",
    },
    alone={"unmethylated": r"\bno (?:evidence of )?mgmt (?:promoter )?methylation"},
)

CLARK_LEVELS = ("I", "II", "III", "IV", "V")
CLARK = Choice(
    name=r"\bclark(?:'?s)?(?: anatomic)?(?: level)?|\banatomic level",
    options={
        "IV": r"\b(?:iv|lv|4)\b",
        "V": r"\b(?:v|5)\b",
        "III": r"\b(?:[il]{3}|3)\b",
        "II": r"\b(?:[il]{2}|2)\b",
        "I": r"\b(?:[il]|1)\b",
    },
    led=False,
    reach=28,
)
UVEAL_CELLS = Choice(
    name=r"\b(?:cell|histolog\w+) type|\bcallender",
    options={
        "mixed": r"\bmixed|\bspindle and epithelioid|\bepithelioid and spindle|\bspindle cells and epithelioid",
        "spindle": r"\bspindle",
        "epithelioid": r"\bepithelioid",
    },
    alone={
        "mixed": r"\bmixed(?:[ -](?:cell|type|spindle|and|epithelioid|\())*[^.;\n]{0,12}\bmelanoma|\bmelanoma,? mixed",
        "spindle": r"\bspindle(?:[ -](?:cell|[ab]|type))* melanoma|\bmelanoma,? (?:of )?spindle(?![^.;\n]{0,20}epithelioid)",
        "epithelioid": r"\bepithelioid(?:[ -](?:cell|type))* melanoma|\bmelanoma,? (?:of )?epithelioid",
    },
)
BRAF = Choice(
    name=r"\bbraf(?: ?\(?v ?600 ?e?\)?)?(?: gene)?(?: mutation)?(?: status| analysis| testing)?",
    options={"wild type": _WILD, "mutant": _MUTANT},
)
MASAOKA_STAGES = ("I", "II", "IIA", "IIB", "III", "IIIA", "IIIB", "IV", "IVA", "IVB")
_ROMAN = {
    "IVA": r"iv ?a",
    "IVB": r"iv ?b",
    "IV": "iv|4",
    "IIIA": r"[il]{3} ?a",
    "IIIB": r"[il]{3} ?b",
    "III": "[il]{3}|3",
    "IIA": r"[il]{2} ?a|2 ?a",
    "IIB": r"[il]{2} ?b|2 ?b",
    "II": "[il]{2}|2",
    "I": "[il]|1",
}
MASAOKA = Choice(
    name=r"\b(?:modified )?masaoka(?: ?-? ?koga)?(?: staging)?(?: system)?(?: stage)?",
    options={stage: rf"\b(?:{words})\b" for stage, words in _ROMAN.items()},
    led=False,
    reach=24,
)
THYMOMA_TYPES = ("A", "AB", "B1", "B2", "B3", "C")
THYMOMA = Choice(
    name=r"\bwho(?: histolog\w+)?(?: classification| type| subtype)|\bthymoma,?(?: who)?(?: histolog\w+)?(?: sub)?(?: ?type)?"
    r"|\bhistologic(?: sub)?type",
    options={
        "AB": r"\bab\b",
        "B1": r"\bb ?[1l]\b",
        "B2": r"\bb ?2\b",
        "B3": r"\bb ?3\b",
        "C": r"\btype c\b|\bthymic (?:squamous cell )?carcinoma",
        "A": r"(?<=type )a\b|\btype a\b|(?<=[:,] )a\b(?=\s?(?:\(|,|$|thymoma))",
    },
    alone={
        "AB": r"\b(?:type )?ab thymoma",
        "B1": r"\b(?:type )?b1 thymoma",
        "B2": r"\b(?:type )?b2 thymoma",
        "B3": r"\b(?:type )?b3 thymoma",
        "A": r"\btype a thymoma",
        "C": r"\bthymic (?:squamous cell )?carcinoma",
    },
    led=False,
    reach=34,
)
CYTOLOGY = Choice(
    name=r"\b(?:peritoneal|pelvic|ascit\w+)(?: fluid)?(?:/ascitic fluid)?(?: (?:cytology|washings?|fluid|lavage))+|\bascites"
    r"|\bcytology(?=\s?:)",
    options={
        "negative": rf"{_NEGATIVE}|\bbenign|\bno \w+ cells",
        "positive": r"positive|\bmalignant(?: cells)?|\bpresent|\badenocarcinoma|\bcarcinoma (?:cells )?(?:present|identified)",
    },
)
