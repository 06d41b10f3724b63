"""The closed list of what is read from a report, shared by every refiner.

A refiner, of whatever kind, only points at a quote. The value is derived from the quote by the
field's parser, and `verify` refuses a statement whose quote is not in the text or does not say it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from kemm.core.errors import UnknownName
from kemm.core.types import Statement
from kemm.modalities.reports.field import CANNOT_BE_ASSESSED, Field
from kemm.modalities.reports.organs import ORGANS
from kemm.modalities.reports.protocols import ORGAN_FIELDS
from kemm.modalities.reports.reading import reading_copy
from kemm.modalities.reports.rules import (
    choosing,
    grade,
    histology,
    margins,
    nodes,
    site,
    size,
    spread,
    staging,
)

__all__ = ["CANNOT_BE_ASSESSED", "FIELDS", "Field", "fields_for", "verify"]


def _finding(name: str, title: str, asks: str, finding: spread.Finding, also_named: str = "(?!)") -> Field:
    return Field(
        name=name,
        title=title,
        asks=asks,
        parse=finding.parse,
        find=finding.find,
        choose=choosing.worst,
        named=f"{finding.named}|{also_named}",
        values=finding.values,
    )


_COMMON_FIELDS = (
    Field(
        name="histologic_type",
        title="Histologic type",
        asks="the standard lower-case term for the invasive tumour",
        parse=histology.parse_histologic_type,
        find=histology.find_histologic_type,
        named=r"\bhistolog\w* (?:sub)?type|\btumor type|\bhistology",
    ),
    Field(
        name="grade",
        title="Tumour grade",
        asks="1 (best) to 4: Nottingham, FIGO, Fuhrman, ISUP, FNCLCC or WHO grade, or well, moderately, poorly, "
        "undifferentiated; no Gleason score",
        parse=grade.parse_grade,
        find=grade.find_grade,
        choose=choosing.largest,
        named=r"\bgrade\b|\bgrading\b|\bdifferentiation\b",
        values=("1", "2", "3", "4"),
        prefix="G",
    ),
    Field(
        name="tumor_size_cm",
        title="Tumour size",
        asks="greatest dimension of the largest invasive tumour, in cm",
        parse=size.parse_size,
        find=size.find_size,
        choose=choosing.largest,
        named=r"\btumor (?:size|dimensions?)|\b(?:size|diameter) of (?:the )?tumor|\bgreatest dimension",
        suffix=" cm",
        number=True,
    ),
    Field(
        name="pT",
        title="Primary tumour (pT)",
        asks="T category, such as T2a",
        parse=staging.parse_t,
        find=staging.find_t,
        choose=choosing.highest_stage,
        named=r"\bt (?:stage|category|classification)|\bprimary tumor(?: \(p?t\))?|\bpt\b",
        prefix="p",
    ),
    Field(
        name="pN",
        title="Regional lymph nodes (pN)",
        asks="N category, such as N1mi",
        parse=staging.parse_n,
        find=staging.find_n,
        choose=choosing.highest_stage,
        named=r"\bn (?:stage|category|classification)|\bregional lymph nodes?(?: \(p?n\))?|\bpn\b|\bnodal status",
        prefix="p",
    ),
    Field(
        name="pM",
        title="Distant metastasis (pM)",
        asks="M category, such as M0",
        parse=staging.parse_m,
        find=staging.find_m,
        choose=choosing.highest_stage,
        named=r"\bm (?:stage|category|classification)|\bdistant metasta\w+(?: \(p?m\))?|\bpm\b",
        prefix="p",
    ),
    Field(
        name="stage_group",
        title="Stage group",
        asks="AJCC or FIGO stage, a Roman numeral with its letter",
        parse=staging.parse_stage_group,
        find=staging.find_stage_group,
        choose=choosing.highest_stage,
        named=r"(?<!t )(?<!n )(?<!m )\bstage(?: group(?:ing)?)?\b",
    ),
    Field(
        name="nodes_examined",
        title="Lymph nodes examined",
        asks="how many, over all specimens",
        parse=nodes.parse_examined,
        find=nodes.find_examined,
        choose=choosing.largest,
        named=r"\bnodes? examined|\bnumber (?:of (?:lymph )?nodes? )?examined|\bnumber of lymph nodes",
        adds_up=True,
        number=True,
    ),
    Field(
        name="nodes_positive",
        title="Lymph nodes with tumour",
        asks="how many, over all specimens",
        parse=nodes.parse_positive,
        find=nodes.find_positive,
        choose=choosing.largest,
        named=r"\b(?:positive|involved) (?:lymph )?nodes?|\bnodes? (?:involved|positive)"
        r"|\bnumber (?:of (?:lymph )?nodes? )?(?:positive|involved)|\b(?:lymph )?nod(?:al|es?) metasta\w+",
        adds_up=True,
        number=True,
    ),
    _finding(
        "lymphovascular_invasion",
        "Lymphovascular invasion",
        "tumour in a vessel of any kind; indeterminate where it is only suspected",
        spread.LYMPHOVASCULAR,
    ),
    _finding("perineural_invasion", "Perineural invasion", "tumour along nerves", spread.PERINEURAL),
    Field(
        name="margins",
        title="Resection margins",
        asks="of invasive tumour; close only where the report says close",
        parse=margins.parse_margins,
        find=margins.find_margins,
        choose=choosing.worst,
        named=r"\bmargins?\b(?: of (?:surgical )?(?:resection|excision))?(?: status)?|\bresection (?:lines?|edges?)",
        values=("negative", "positive", "close"),
    ),
    Field(
        name="laterality",
        title="Side",
        asks="of the body",
        parse=site.parse_laterality,
        find=site.find_laterality,
        choose=choosing.most_frequent,
        named=r"\blaterality\b|\bside of (?:specimen|tumor)",
        values=("left", "right", "bilateral"),
    ),
    _finding("necrosis", "Tumour necrosis", "in invasive tumour", spread.NECROSIS),
    _finding(
        "multifocal",
        "More than one tumour focus",
        "of invasive tumour",
        spread.MULTIFOCAL,
        also_named=r"\bfocality",
    ),
)

FIELDS: Mapping[str, Field] = {field.name: field for field in (*_COMMON_FIELDS, *ORGAN_FIELDS)}
"""Every field by name, in the order statements are given: what all organs are asked, then organ by organ."""


@cache
def fields_for(organ: str | None) -> Mapping[str, Field]:
    """What reports on an organ are asked, by name; where it is None (unknown), what all are asked.

    Raises:
        UnknownName: There is no such organ.
    """
    if organ is not None and organ not in ORGANS:
        raise UnknownName("organ", organ, ORGANS)
    return MappingProxyType({name: field for name, field in FIELDS.items() if field.asked_of(organ)})


def verify(statement: Statement, text: str) -> str | None:
    """Why `statement` may not be used, or None where it stands.

    It stands when its quote is `text[start:end]` and, for a field, the quote itself yields the value and
    the words around it do not deny it. "Cannot be assessed" stands when the quote names the field, says
    so, and yields no value. No model takes part in the check.
    """
    start, end, quote = statement.start, statement.end, statement.quote
    if quote is None or start is None or end is None:
        return "it has no quote"
    if not 0 <= start < end <= len(text) or text[start:end] != quote:
        return f"its quote is not the text at [{start}, {end})"
    if statement.kind == "sentence":
        return None
    field = FIELDS.get(statement.kind)
    if field is None:
        return f"{statement.kind!r} is no field"
    if statement.value == CANNOT_BE_ASSESSED:
        if field.cannot_be_assessed(quote):
            return None
        return f"its quote does not say that {field.name} cannot be assessed"
    if statement.value is None or (field.values and statement.value not in field.values):
        return f"{statement.value!r} is no value of {field.name}"
    said = field.parse(quote)
    if said is None:
        return f"its quote does not speak of {field.name}"
    if field.adds_up:
        if not statement.value.isdigit() or int(statement.value) < int(said):
            return f"a total of {statement.value} is less than the {said} in its quote"
    elif said != statement.value:
        return f"its quote says {said!r}, not {statement.value!r}"
    elif said in _DENIABLE and (denied := field.parse(_in_its_clause(field, text, start, end))) in _DENIALS:
        return f"with the words around it, its quote says {denied!r}, not {said!r}"
    return None


# A quote that begins behind its "no" or ends before it says the opposite of the report.
_DENIABLE = frozenset({"present", "positive"})
_DENIALS = frozenset({"absent", "negative"})
_LEFT, _RIGHT = 60, 40
_CLAUSE_END = re.compile(r"[.!?](?=\s|$)|[;\n]")


def _in_its_clause(field: Field, text: str, start: int, end: int) -> str:
    """The quote with what stands around it in its own clause, as far as a denial reaches.

    What answers the field by itself is another statement, and is left out.
    """
    left = max(0, start - _LEFT)
    around = reading_copy(text[left : end + _RIGHT])
    stops = [match.end() for match in _CLAUSE_END.finditer(around, 0, start - left)]
    stop = _CLAUSE_END.search(around, end - left)
    before = around[stops[-1] if stops else 0 : start - left]
    behind = around[end - left : stop.start() if stop else len(around)]
    return "".join(
        (
            before if field.parse(before) is None else "",
            around[start - left : end - left],
            behind if field.parse(behind) is None else "",
        )
    )
