"""From inputs to a study's data: reports refined, slides packed, texts encoded; each kept in the store."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from kemm.core.cohort import Cohort
from kemm.core.files import read_arrays, read_json, sha256_of, write_arrays, write_json
from kemm.core.provenance import fingerprint
from kemm.core.store import Store
from kemm.core.types import CaseId
from kemm.execution import Mapper, run_here
from kemm.modalities.encoders import PRETRAINED, fit_encoder
from kemm.modalities.reports import BY_MODEL, REFINERS, RefinedReport
from kemm.modalities.reports.covariates import COVARIATE_PREFIX, with_field_covariates
from kemm.modalities.reports.names import NameFinder
from kemm.modalities.reports.stored import as_json, from_json
from kemm.modalities.slides import PackedSlide, SlideBags, open_slides, pack_slides
from kemm.pipeline.asking import refine_by_llm
from kemm.pipeline.inputs import Inputs, masked_names
from kemm.pipeline.progress import Progress
from kemm.training.dataset import StudyData
from kemm.training.features import background_texts, refined_text

REPORTS_A_TASK = 50
FEW_TASKS = 8
"""So few parts are refined sooner than workers have started."""


def prepare(inputs: Inputs, store: Store, run: Mapper, progress: Progress) -> StudyData:
    """Everything that is done once, before any fold."""
    reports = refine(inputs, store, run, progress)
    slides, slides_identity = _packed(inputs, store, progress)
    config = inputs.study.config
    fields = config.reports.covariates if config.reports else []
    cohort = with_field_covariates(inputs.cohort, reports, fields)
    for warning in doubt_fields(fields, cohort):
        progress.say(f"warning: {warning}")
    data = StudyData(
        cohort=cohort,
        reports=tuple(reports.get(case) for case in inputs.cohort.ids),
        background=inputs.background,
        genomics=inputs.genomics,
        groups=inputs.groups,
        slides=slides,
        text_vectors={},
        identity=fingerprint(
            [[case, as_json(report)] for case, report in sorted(reports.items())],
            [[name, one.identity] for name, one in sorted(inputs.background.items())],
            inputs.genomics.fingerprint if inputs.genomics else "",
            [[group.name, list(group.columns)] for group in inputs.groups.groups] if inputs.groups else [],
            slides_identity,
        ),
    )
    if config.text.encoder in PRETRAINED:
        data = with_vectors(inputs, data, store, progress)
    return data


def doubt_fields(fields: Sequence[str], cohort: Cohort) -> list[str]:
    """What to say of `reports.covariates` that became no covariate of the prepared cohort."""
    covariates = {covariate.name for covariate in cohort.covariates}
    return [
        f"reports.covariates: no two reports differ in {field}, so it tells nothing and is left out"
        for field in fields
        if f"{COVARIATE_PREFIX}{field}" not in covariates
    ]


def refine(inputs: Inputs, store: Store, run: Mapper, progress: Progress) -> dict[CaseId, RefinedReport]:
    """Each case's refined report. A part that was refined before is read from the store."""
    config = inputs.study.config.reports
    if config is None or not inputs.reports:
        return {}
    inputs = with_names_hidden(inputs, store, progress)
    if config.refiner == BY_MODEL:
        return refine_by_llm(inputs, store, progress)
    names = masked_names(inputs)
    identity = REFINERS[config.refiner](names).identity
    type_of = {case.id: case.cancer_type for case in inputs.cohort.cases}
    cases = [case for case in inputs.cohort.ids if case in inputs.reports]
    parts = [cases[start : start + REPORTS_A_TASK] for start in range(0, len(cases), REPORTS_A_TASK)]
    keys = {
        fingerprint(identity, [[case, type_of[case], inputs.reports[case]] for case in part]): part
        for part in parts
    }
    missing = [key for key in keys if not store.has("refined", key)]
    done = len(cases) - sum(len(keys[key]) for key in missing)
    with progress.stage("refine reports", len(cases), done) as step:
        tasks = [
            (key, [(case, type_of[case], inputs.reports[case]) for case in keys[key]]) for key in missing
        ]
        mapper = run if len(tasks) > FEW_TASKS else run_here
        with closing(mapper(_refine_part, (config.refiner, names, store), tasks)) as results:
            for (key, _), _ in results:
                step.advance(count=len(keys[key]))
    refined: dict[CaseId, RefinedReport] = {}
    for key in keys:
        stored = read_json(store.get("refined", key).path("reports.json"))
        refined |= {CaseId(case): from_json(one) for case, one in stored.items()}
    return refined


def with_names_hidden(inputs: Inputs, store: Store, progress: Progress) -> Inputs:
    """The same inputs with the names masked that the study's model of names finds in reports; each looked at once."""
    config = inputs.study.config.reports
    if config is None or config.names_model is None:
        return inputs
    finder = NameFinder(config.names_model, config.names_labels)
    key = fingerprint(finder.identity, sorted(inputs.reports.items()))
    if not store.has("names", key):
        hidden = {}
        with (
            progress.stage("find names", len(inputs.reports)) as step,
            store.adding("names", key, model=finder.identity) as folder,
        ):
            for case, text in inputs.reports.items():
                hidden[case] = finder.hide(text)
                step.advance()
            write_json(folder / "reports.json", hidden)
    return replace(inputs, reports=read_json(store.get("names", key).path("reports.json")))


def _refine_part(
    context: tuple[str, list[str], Store], task: tuple[str, list[tuple[CaseId, str, str]]]
) -> None:
    refiner_name, names, store = context
    key, reports = task
    refiner = REFINERS[refiner_name](names)
    refined = {case: as_json(refiner.refine(text, cancer_type=kind)) for case, kind, text in reports}
    with store.adding("refined", key, refiner=refiner.identity) as folder:
        write_json(folder / "reports.json", refined)


def _packed(inputs: Inputs, store: Store, progress: Progress) -> tuple[SlideBags | None, str]:
    """All bags, and an identity of what is in them: of a study that was copied, it is the same."""
    source = inputs.slides
    if source is None:
        return None, ""
    key = fingerprint(source.identity, list(inputs.cohort.ids))
    if not store.has("slides", key):
        with (
            progress.stage("pack slides", source.bags) as step,
            store.adding("slides", key, source=source.identity) as folder,
        ):
            packed = pack_slides(
                source, inputs.cohort.ids, folder / "features.npy", folder / "offsets.npy", step.advance
            )
            write_json(folder / "slides.json", [[asdict(slide) for slide in case] for case in packed])
            digests = [sha256_of(folder / name) for name in ("features.npy", "offsets.npy", "slides.json")]
            write_json(folder / "content.json", {"sha256": digests})
    entry = store.get("slides", key)
    content = fingerprint(read_json(entry.path("content.json")))
    slides = tuple(
        tuple(PackedSlide(**slide) for slide in case) for case in read_json(entry.path("slides.json"))
    )
    return open_slides(entry.path("features.npy"), entry.path("offsets.npy"), slides), content


def with_vectors(inputs: Inputs, data: StudyData, store: Store, progress: Progress) -> StudyData:
    """The same data, with the vector of every text made by the pretrained encoder."""
    reports = [report for report in data.reports if report is not None]
    texts = sorted(
        {
            *background_texts(data),
            *(one.text for report in reports for one in report.statements),
            *(report.text for report in reports),
            *(refined_text(report) for report in reports),
            "",
        }
    )
    encoder = fit_encoder(inputs.study.config.text, [])
    key = fingerprint(encoder.identity, texts)
    if not store.has("vectors", key):
        made: list[NDArray[np.float32]] = []
        with (
            progress.stage("encode texts", len(texts)) as step,
            store.adding("vectors", key, encoder=encoder.identity) as folder,
        ):
            for text in texts:
                made.append(encoder.encode([text])[0])
                step.advance()
            write_arrays(folder / "vectors.safetensors", {"vectors": np.stack(made)})
    vectors = read_arrays(store.get("vectors", key).path("vectors.safetensors"))["vectors"]
    return replace(data, text_vectors=dict(zip(texts, vectors, strict=True)))
