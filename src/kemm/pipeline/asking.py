"""Reports refined by the language model of the study: asked for what is not in the journal or the store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from kemm.core.errors import PartialError, ServiceError, UsageError
from kemm.core.files import read_json, write_json
from kemm.core.provenance import fingerprint
from kemm.core.store import Store
from kemm.core.types import CaseId
from kemm.llm import Client, Estimate, Journal, LLMConfig, estimate, make_backend
from kemm.llm import Progress as Spent
from kemm.modalities.reports import RefinedReport
from kemm.modalities.reports.by_model import Form, model_identity, refine_by_model
from kemm.modalities.reports.stored import as_json, from_json
from kemm.pipeline.inputs import Inputs, masked_names
from kemm.pipeline.progress import Progress

JOURNAL = Path("llm") / "journal.sqlite"
"""Below the study's folder. Not in the store, which may be deleted: answers cost money."""
REPORTS_A_PART = 50
SHOWN_FAILURES = 5


@dataclass(frozen=True)
class Plan:
    """What refining would do, without doing it."""

    reports: int
    refined: int
    """Of those, refined by the same settings before."""
    host: str | None
    """Where texts would go; None where nothing leaves this machine."""
    estimate: Estimate | None
    """Of the questions to a model; None where the rules refine."""


def refine_by_llm(inputs: Inputs, store: Store, progress: Progress) -> dict[CaseId, RefinedReport]:
    """Each case's report, refined by the model that `llm` names.

    Raises:
        Missing: Offline, and not all answers are in the journal.
        PolicyError: The host is not permitted, the budget or another limit is reached, or models would be mixed.
        PartialError: Some reports were not answered; the others are kept.
        ServiceError: The model cannot be asked.
    """
    config = model_config(inputs)
    parts = _parts(inputs, config)
    missing = {key: cases for key, cases in parts.items() if not store.has("refined", key)}
    if missing:
        asyncio.run(_ask(inputs, config, store, missing, progress))
    refined: dict[CaseId, RefinedReport] = {}
    for key in parts:
        stored = read_json(store.get("refined", key).path("reports.json"))
        refined |= {CaseId(case): from_json(one) for case, one in stored.items()}
    return refined


def plan(inputs: Inputs, store: Store) -> Plan:
    """What would be asked, and what it would cost at most. Nothing is sent, and nothing written."""
    config = model_config(inputs)
    parts = _parts(inputs, config)
    done = [case for key, cases in parts.items() if store.has("refined", key) for case in cases]
    left = [case for case in inputs.reports if case not in set(done)]
    journal_file = inputs.study.folder / JOURNAL
    questions = (form.question for form in _forms(inputs, left))
    if journal_file.is_file():
        with Journal(journal_file) as journal:
            counted = estimate(questions, config, is_known=Client(None, journal, config).is_known)
    else:
        counted = estimate(questions, config)
    return Plan(len(inputs.reports), len(done), outside_host(config), counted)


def outside_host(config: LLMConfig) -> str | None:
    """The other machine that texts of patients would be sent to; None where they stay here."""
    from kemm.llm.privacy import host_of, is_loopback

    if config.backend == "transformers" or config.offline:
        return None
    host = host_of(config.base_url)
    return None if is_loopback(host) else host


def model_config(inputs: Inputs) -> LLMConfig:
    """The settings of the study's language model.

    Raises:
        UsageError: It has none.
    """
    config = inputs.study.config.llm
    if config is None:
        raise UsageError(
            "reports.refiner is llm, and there is no section llm. Set llm.model and llm.base_url."
        )
    return config


def _parts(inputs: Inputs, config: LLMConfig) -> dict[str, list[CaseId]]:
    identity = model_identity(config, masked_names(inputs))
    type_of = {case.id: case.cancer_type for case in inputs.cohort.cases}
    cases = [case for case in inputs.cohort.ids if case in inputs.reports]
    parts = [cases[start : start + REPORTS_A_PART] for start in range(0, len(cases), REPORTS_A_PART)]
    return {
        fingerprint(identity, [[case, type_of[case], inputs.reports[case]] for case in part]): part
        for part in parts
    }


def _forms(inputs: Inputs, cases: Sequence[str]) -> Iterator[Form]:
    names = masked_names(inputs)
    type_of = {case.id: case.cancer_type for case in inputs.cohort.cases}
    for case in cases:
        yield Form.of(inputs.reports[case], type_of[CaseId(case)], names)


async def _ask(
    inputs: Inputs,
    config: LLMConfig,
    store: Store,
    missing: Mapping[str, Sequence[CaseId]],
    progress: Progress,
) -> None:
    type_of = {case.id: case.cancer_type for case in inputs.cohort.cases}
    cases = [case for part in missing.values() for case in part]
    part_of = {case: key for key, part in missing.items() for case in part}
    got: dict[CaseId, RefinedReport] = {}
    failed: dict[CaseId, ServiceError] = {}
    spent = Spent()

    def tell(now: Spent) -> None:
        nonlocal spent
        spent = now

    backend = None if config.offline else make_backend(config)
    outside = outside_host(config)
    if outside:
        progress.say(f"masked reports are sent to {outside} (llm.allow_host)")
    journal_file = inputs.study.folder / JOURNAL
    journal_file.parent.mkdir(exist_ok=True)
    done = len(inputs.reports) - len(cases)
    with (
        Journal(journal_file) as journal,
        progress.stage("refine reports", len(inputs.reports), done) as step,
    ):
        async with Client(backend, journal, config, progress=tell) as client:
            reports = ((case, inputs.reports[case], type_of[case]) for case in cases)
            async with aclosing(refine_by_model(client, reports, masked_names(inputs))) as results:
                async for case, result in results:
                    if isinstance(result, ServiceError):
                        failed[case] = result
                    else:
                        got[case] = result
                        _keep(store, config, part_of[case], missing[part_of[case]], got)
                    step.advance(_note(config, spent))
    if failed:
        shown = "; ".join(f"{case}: {error}" for case, error in list(failed.items())[:SHOWN_FAILURES])
        more = f"; and {len(failed) - SHOWN_FAILURES} more" if len(failed) > SHOWN_FAILURES else ""
        raise PartialError(
            f"{len(failed)} of {len(cases)} reports were not refined by {config.model}: {shown}{more}. "
            "The others' answers are kept; run again to ask for these."
        )


def _keep(
    store: Store, config: LLMConfig, key: str, part: Sequence[CaseId], got: Mapping[CaseId, RefinedReport]
) -> None:
    """A part of the reports goes to the store when it is complete; its answers are in the journal before."""
    if all(case in got for case in part):
        with store.adding("refined", key, refiner=f"llm {config.model}") as folder:
            write_json(folder / "reports.json", {case: as_json(got[case]) for case in part})


def _note(config: LLMConfig, spent: Spent) -> str:
    cost = f", {spent.money:.2f} spent" if config.price_in is not None else ""
    return f"{spent.answered} answers, {spent.tokens_in + spent.tokens_out:,} tokens{cost}"
