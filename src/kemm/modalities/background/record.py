"""What a background file holds: statements for two modalities and two risks, and who wrote them."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from kemm.core.provenance import fingerprint
from kemm.core.types import Risk, Statement

Modality = Literal["slides", "genes"]
"""Which evidence a statement speaks of: the pathology image, or the tumour's genomics."""

LONGEST_STATEMENT = 400
"""Characters. Longer text is cut by common text encoders, silently: it is several statements."""


def background_kind(modality: Modality, risk: Risk) -> str:
    """The `Statement.kind` of one cell, such as "background slides high risk"."""
    return f"background {modality} {risk} risk"


BACKGROUND_KINDS: tuple[str, ...] = tuple(
    background_kind(modality, risk) for modality in get_args(Modality) for risk in get_args(Risk)
)
"""All four kinds, for whoever embeds them."""


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    if not line:
        raise ValueError("it is empty")
    if len(line) > LONGEST_STATEMENT:
        raise ValueError(f"it has {len(line)} characters, more than {LONGEST_STATEMENT}; split it")
    if not line.isprintable():
        raise ValueError("it has an invisible character")
    return line


def _some(statements: tuple[str, ...]) -> tuple[str, ...]:
    if not statements:
        raise ValueError("at least one statement is needed; or leave the whole modality out")
    return statements


_Line = Annotated[str, AfterValidator(_one_line)]
# Not pydantic's min_length: where one statement is wrong, that also calls the whole list too short.
_Lines = Annotated[tuple[_Line, ...], AfterValidator(_some)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Author(_Record):
    """Who wrote the statements: a person, a group or a machine."""

    kind: _Line
    """Such as "large language model", "pathologist", "guideline group"."""
    name: _Line
    date: date


class RiskStatements(_Record):
    """One modality's statements, by the risk they point to."""

    high: _Lines
    low: _Lines


class Background(_Record):
    """Prognostic background knowledge on one cancer type.

    References:
        The PBK of KEMM: Zhao et al. (2025), arXiv:2512.14594. Theirs is unpublished; this is ours.
    """

    code: _Line
    """Short name, such as "KIRC"."""
    name: _Line
    aliases: tuple[_Line, ...] = ()
    author: Author
    reviewed_by_clinicians: bool
    prompt: _Line | None = None
    """Where the question put to the author is kept; none where a person simply wrote."""
    prompt_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """Of the prompt's text with "\\n" line ends."""
    slides: RiskStatements | None = None
    genes: RiskStatements | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.slides is None and self.genes is None:
            raise ValueError("there are no statements: give slides, genes or both")
        if (self.prompt is None) != (self.prompt_sha256 is None):
            raise ValueError("prompt and prompt_sha256 go together: give both or neither")
        cells = [cell for cell in (self.slides, self.genes) if cell is not None]
        counts = Counter(text.casefold() for cell in cells for text in (*cell.high, *cell.low))
        # The same sentence under both risks, or twice under one, is a slip of the pen.
        repeated = [text for text, times in counts.items() if times > 1]
        if repeated:
            raise ValueError(f"this statement is written more than once: {repeated[0]!r}")
        return self

    def statements(self, modality: Modality, risk: Risk) -> tuple[Statement, ...]:
        """The statements of one cell, in the file's order; none where the file leaves it out."""
        cell = {"slides": self.slides, "genes": self.genes}[modality]
        if cell is None:
            return ()
        texts = {"high": cell.high, "low": cell.low}[risk]
        kind = background_kind(modality, risk)
        return tuple(Statement(kind=kind, text=text) for text in texts)

    def lists(self) -> list[tuple[Modality, Risk, tuple[Statement, ...]]]:
        """The four lists: modality, risk, statements."""
        return [
            (modality, risk, self.statements(modality, risk))
            for modality in get_args(Modality)
            for risk in get_args(Risk)
        ]

    @property
    def reviewed(self) -> bool:
        """Whether clinicians have checked the statements, as the file declares."""
        return self.reviewed_by_clinicians

    @property
    def identity(self) -> str:
        """Changes whenever a statement, the author or the prompt does: for the keys of caches."""
        return fingerprint("background/1", self)

    @property
    def warning(self) -> str | None:
        """What a reader must be told before relying on it; None once clinicians have reviewed it."""
        if self.reviewed_by_clinicians:
            return None
        return (
            f"Background knowledge on {self.name} was written by {self.author.name} "
            f"({self.author.kind}) and has not been reviewed by clinicians."
        )

    def describe(self) -> str:
        """One paragraph for reports: what it is, how much, by whom, and the warning."""
        count = sum(
            len(self.statements(modality, risk)) for modality in get_args(Modality) for risk in get_args(Risk)
        )
        author = f"{self.author.name} ({self.author.kind})"
        review = "reviewed by clinicians" if self.reviewed_by_clinicians else "not reviewed by clinicians"
        return (
            f"{count} statements of background knowledge on {self.name} ({self.code}), "
            f"written by {author} on {self.author.date.isoformat()}, {review}."
        )
