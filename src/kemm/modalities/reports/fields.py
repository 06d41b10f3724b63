"""The closed list of what is read from a report, shared by every refiner.

A refiner, of whatever kind, only points at a quote. The value is derived from the quote by the
field's parser, and `verify` refuses a statement whose quote is not in the text or does not say it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from kemm.core.types import Statement
from kemm.modalities.reports.rules import (
    grade,
    histology,
    margins,
    markers,
    nodes,
    site,
    size,
    spread,
    staging,
)

PRESENCE = ("present", "absent")


@dataclass(frozen=True, kw_only=True)
class Field:
    """One question put to a report.

    Attributes:
        name: the `kind` of its statements.
        title: how the statement begins: "Tumour grade: G3".
        asks: what the value means; for documentation and for prompts.
        parse: derives the value from a quote; None where the quote does not answer the field.
        values: the only values it can take; empty where it is a number, a stage or a term.
        prefix, suffix: printed around the value.
        adds_up: the value is a total over specimens of which the quote shows one, so it may exceed
            what the quote alone says.
    """

    name: str
    title: str
    asks: str
    parse: Callable[[str], str | None]
    values: tuple[str, ...] = ()
    prefix: str = ""
    suffix: str = ""
    adds_up: bool = False

    def statement(self, value: str, quote: str, start: int) -> Statement:
        """The statement of a value with the span it stands on."""
        text = f"{self.title}: {self.prefix}{value}{self.suffix}"
        return Statement(
            kind=self.name, text=text, value=value, quote=quote, start=start, end=start + len(quote)
        )


def _finding(name: str, title: str, asks: str, finding: spread.Finding) -> Field:
    return Field(name=name, title=title, asks=asks, parse=finding.parse, values=finding.values)


_FIELDS = (
    Field(
        name="histologic_type",
        title="Histologic type",
        asks="the standard lower-case term for the invasive tumour",
        parse=histology.parse_histologic_type,
    ),
    Field(
        name="grade",
        title="Tumour grade",
        asks="1 (best) to 4: Nottingham, FIGO, Fuhrman or ISUP grade, or well, moderately, poorly, undifferentiated",
        parse=grade.parse_grade,
        values=("1", "2", "3", "4"),
        prefix="G",
    ),
    Field(
        name="tumor_size_cm",
        title="Tumour size",
        asks="greatest dimension of the largest invasive tumour, in cm",
        parse=size.parse_size,
        suffix=" cm",
    ),
    Field(
        name="pT",
        title="Primary tumour (pT)",
        asks="T category, such as T2a",
        parse=staging.parse_t,
        prefix="p",
    ),
    Field(
        name="pN",
        title="Regional lymph nodes (pN)",
        asks="N category, such as N1mi",
        parse=staging.parse_n,
        prefix="p",
    ),
    Field(
        name="pM",
        title="Distant metastasis (pM)",
        asks="M category, such as M0",
        parse=staging.parse_m,
        prefix="p",
    ),
    Field(
        name="stage_group",
        title="Stage group",
        asks="AJCC or FIGO stage, a Roman numeral with its letter",
        parse=staging.parse_stage_group,
    ),
    Field(
        name="nodes_examined",
        title="Lymph nodes examined",
        asks="how many, over all specimens",
        parse=nodes.parse_examined,
        adds_up=True,
    ),
    Field(
        name="nodes_positive",
        title="Lymph nodes with tumour",
        asks="how many, over all specimens",
        parse=nodes.parse_positive,
        adds_up=True,
    ),
    _finding(
        "lymphovascular_invasion",
        "Lymphovascular invasion",
        "tumour in a vessel of any kind",
        spread.LYMPHOVASCULAR,
    ),
    _finding("perineural_invasion", "Perineural invasion", "tumour along nerves", spread.PERINEURAL),
    Field(
        name="margins",
        title="Resection margins",
        asks="of invasive tumour; close only where the report says close",
        parse=margins.parse_margins,
        values=("negative", "positive", "close"),
    ),
    Field(
        name="laterality",
        title="Side",
        asks="of the body",
        parse=site.parse_laterality,
        values=("left", "right", "bilateral"),
    ),
    _finding("necrosis", "Tumour necrosis", "in invasive tumour", spread.NECROSIS),
    _finding("multifocal", "More than one tumour focus", "of invasive tumour", spread.MULTIFOCAL),
    Field(
        name="ER",
        title="Oestrogen receptor",
        asks="of breast carcinoma",
        parse=markers.parse_er,
        values=("positive", "negative"),
    ),
    Field(
        name="PR",
        title="Progesterone receptor",
        asks="of breast carcinoma",
        parse=markers.parse_pr,
        values=("positive", "negative"),
    ),
    Field(
        name="HER2",
        title="HER2",
        asks="of breast carcinoma",
        parse=markers.parse_her2,
        values=("positive", "negative", "equivocal"),
    ),
    _finding("pleural_invasion", "Pleural invasion", "of lung tumours", spread.PLEURAL),
    _finding(
        "extrarenal_extension",
        "Extension beyond the kidney",
        "into perinephric or sinus fat, or past the capsule",
        spread.EXTRARENAL,
    ),
    _finding("renal_vein_invasion", "Renal vein invasion", "by kidney tumours", spread.RENAL_VEIN),
    _finding("sarcomatoid", "Sarcomatoid differentiation", "of kidney tumours", spread.SARCOMATOID),
    Field(
        name="myometrial_invasion",
        title="Myometrial invasion",
        asks="depth as a share of the wall, for tumours of the endometrium",
        parse=spread.parse_myometrial,
        values=("none", "<50%", ">=50%"),
    ),
    _finding(
        "cervical_stroma",
        "Cervical stromal invasion",
        "by tumours of the endometrium",
        spread.CERVICAL_STROMA,
    ),
)

FIELDS: Mapping[str, Field] = {field.name: field for field in _FIELDS}
"""Every field by name, in the order statements are given."""


def verify(statement: Statement, text: str) -> str | None:
    """Why `statement` may not be used, or None where it stands.

    It stands when its quote is `text[start:end]` and, for a field, the quote itself yields the value.
    No model takes part in the check.
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
    return None
