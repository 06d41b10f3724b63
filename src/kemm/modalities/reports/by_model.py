"""Reports refined by a language model: one patient a question, a closed form, every claim checked in code."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from kemm.core.errors import ServiceError
from kemm.core.provenance import fingerprint
from kemm.core.types import CaseId, Statement
from kemm.llm import Client, LLMConfig, Question, Structured, ask_structured, document_question
from kemm.modalities.reports.grounding import ground
from kemm.modalities.reports.layout import Layout
from kemm.modalities.reports.refiner import Dropped, Prepared, RefinedReport, prepare, rules_fingerprint
from kemm.modalities.reports.schema import report_schema

PROMPT = "prompts/refine_report.md"
SCHEMA_NAME = "pathology_report"
LONGEST_REPORT = 60_000
"""Characters that a model is shown; a report of more pages than a model's window is no use to it."""
SENTENCE = "sentence"
WHOLE = "report"
"""The `kind` of a dropped claim that is about the report as a whole."""


@dataclass(frozen=True)
class Form:
    """One report, and what is asked about it."""

    prepared: Prepared
    organ: str | None
    question: Question

    @classmethod
    def of(cls, text: str, cancer_type: str | None, site_names: Sequence[str]) -> Form:
        """Masked and cleared first: nothing identifying, no outcome and no orders reach a model."""
        prepared = prepare(text, site_names=site_names)
        organ = Layout(prepared.text, cancer_type).organ
        question = document_question(
            refine_prompt(), prepared.text[:LONGEST_REPORT], report_schema(organ), schema_name=SCHEMA_NAME
        )
        return cls(prepared, organ, question)

    def check(self, answer: dict[str, Any]) -> tuple[Reading, list[str]]:
        """What of an answer stands on the report, and what is wrong with the rest."""
        claims, faults = _claims(answer)
        grounded = ground(claims, self.prepared.text, self.organ, sentences=_sentences(answer))
        dropped = tuple(grounded.dropped)
        faults += [f"{one.kind}: {one.why}" for one in dropped if one.kind != SENTENCE]
        # A sentence that is misquoted is let go; alone it is not worth a second call.
        if faults:
            faults += [f"sentence {one.quote!r}: {one.why}" for one in dropped if one.kind == SENTENCE]
        return Reading((*grounded.statements, *grounded.sentences), dropped), faults

    def refined(self, answered: Structured[Reading]) -> RefinedReport:
        """The report with what was verified; the rest is listed as dropped."""
        reading = answered.result or Reading((), ())
        dropped = list(reading.dropped)
        if answered.result is None:
            dropped.append(_about_all(f"the model gave no usable answer: {'; '.join(answered.faults)}"))
        if len(self.prepared.text) > LONGEST_REPORT:
            dropped.append(
                _about_all(
                    f"only the first {LONGEST_REPORT:,} of {len(self.prepared.text):,} characters were read"
                )
            )
        return RefinedReport(
            statements=reading.statements,
            text=self.prepared.text,
            masked=self.prepared.masked,
            removed=self.prepared.removed,
            flagged=self.prepared.flagged,
            dropped=tuple(dropped),
        )


@dataclass(frozen=True)
class Reading:
    """What was verified of an answer, and what was not."""

    statements: tuple[Statement, ...]
    dropped: tuple[Dropped, ...]


async def refine_by_model(
    client: Client,
    reports: Iterable[tuple[CaseId, str, str]],
    site_names: Sequence[str],
) -> AsyncGenerator[tuple[CaseId, RefinedReport | ServiceError], None]:
    """Refine reports (case, text, cancer type), several at once, as answers come.

    What goes wrong with one report is its result.

    Raises:
        Missing, PartialError, PolicyError, ServiceError: As `Client.each`.
    """

    async def work(item: tuple[str, str]) -> RefinedReport:
        form = Form.of(*item, site_names)
        return form.refined(await ask_structured(client, form.question, form.check))

    items = ((case, (text, cancer_type)) for case, text, cancer_type in reports)
    async with aclosing(client.each(items, work)) as results:
        async for case, result in results:
            yield CaseId(case), result


@cache
def refine_prompt() -> str:
    """The instructions, which hold nothing of any patient."""
    return (files("kemm.modalities.reports") / PROMPT).read_text(encoding="utf-8")


def model_identity(config: LLMConfig, site_names: Sequence[str]) -> str:
    """Changes whenever the same report could be refined differently, as far as can be known here."""
    asked = config.model_dump(include={"backend", "model", "structured", "temperature", "seed", "max_tokens"})
    # The rules' fingerprint covers de-identification, the form and the parsers that check it.
    return "llm/" + fingerprint(
        asked, hashlib.sha256(refine_prompt().encode()).hexdigest(), rules_fingerprint(), sorted(site_names)
    )


def _claims(answer: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    fields = answer.get("fields")
    if not isinstance(fields, dict):
        return {}, ["`fields` is missing, or is no object"]
    claims, faults = {}, []
    for name, claim in fields.items():
        if claim is None:
            continue
        if not isinstance(claim, dict) or not all(
            isinstance(claim.get(key), str) for key in ("value", "quote")
        ):
            faults.append(f"{name}: give null, or an object with `value` and `quote`, both text")
            continue
        claims[name] = {"value": claim["value"], "quote": claim["quote"]}
    return claims, faults


def _sentences(answer: Mapping[str, Any]) -> list[str]:
    sentences = answer.get("sentences")
    return [one for one in sentences if isinstance(one, str)] if isinstance(sentences, list) else []


def _about_all(why: str) -> Dropped:
    return Dropped(kind=WHOLE, value=None, quote=None, why=why)
