"""What a prediction stands on: leave one thing out, predict again, and see what changes.

Effects are changes of log risk from having a thing: above 0, it raised the risk. They include what the
linear offset makes of it. They say what the model used, not what causes the outcome.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from kemm.core.cohort import Case
from kemm.modalities.reports import MASK, RefinedReport
from kemm.model.batch import CaseBatch, Tokens
from kemm.model.kemm import KEMM
from kemm.training.comparators import ModelSpec
from kemm.training.dataset import StudyData
from kemm.training.features import RISKS, SENTENCE, WHOLE_REPORT, CaseFeatures, FoldTransforms
from kemm.training.linear import Stack, View
from kemm.training.patch_attention import PatchAttention
from kemm.training.reading import Reader

Array = NDArray[np.float64]
Member = tuple[KEMM, Stack | None]
"""A trained network and its offset."""

TOP_PATCHES = 5
TOP_KEYS = 3
AT_ONCE = 64


@dataclass(frozen=True)
class Effect:
    """What having one thing did to one case's log risk; mean over seeds."""

    case: str
    modality: str
    """report, background, genes, slides or covariates."""
    name: str
    effect: float
    statement: int | None = None
    """Place among the case's statements; None for a field of several, and for other modalities."""


@dataclass(frozen=True)
class Look:
    """Attention from a kind of statement to a key, against an even share (1 = even); mean over cases."""

    modality: str
    query: str
    key: str
    weight: float
    cases: int


@dataclass
class Explained:
    """All that was found on the test part of one fold."""

    effects: list[Effect] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    looked_at: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """By case and statement kind, the gene groups attended to most."""
    patches: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    """By case, the patches attended to most, and how many times the even share."""
    attention: dict[str, PatchAttention] = field(default_factory=dict)
    """By case, the attention to every patch."""

    def as_json(self) -> dict[str, Any]:
        """Plain lists and numbers; all but the attention to every patch, which is kept as arrays."""
        return {
            name: value for name, value in asdict(replace(self, attention={})).items() if name != "attention"
        }


class _Predictor:
    """Mean log risk over seeds, from features that may be changed."""

    def __init__(self, members: Sequence[Member], spec: ModelSpec) -> None:
        self.members, self.spec = members, spec

    def risk(
        self, features: CaseFeatures, change: Callable[[CaseBatch], CaseBatch] = lambda batch: batch
    ) -> Array:
        """(case,), over all cases of `features`."""
        total = np.zeros(len(features.rows))
        for model, stack in self.members:
            model.eval()
            offset = self.offset(stack, features.views)
            if not model.weights.any():
                # No branch has weight: whatever they would say, the offset alone forecasts.
                said = torch.zeros(len(total), *model.usual.shape)
                total += _log_risk(model, said, offset)
                continue
            reader = Reader(features, self.spec.inputs, offset)
            with torch.inference_mode():
                for start in range(0, len(features.rows), AT_ONCE):
                    batch = change(reader.batch(features.rows[start : start + AT_ONCE]))
                    said = model.branch_scores(batch)
                    total[start : start + AT_ONCE] += _log_risk(model, said, batch.offset)
        return total / len(self.members)

    def offset(self, stack: Stack | None, views: Mapping[str, View]) -> torch.Tensor | None:
        """The linear part of the log risk."""
        if stack is None:
            return None
        return torch.from_numpy(
            stack.log_risk({name: views[name] for name in stack.models}).astype(np.float32)
        )


def _log_risk(model: KEMM, said: torch.Tensor, offset: torch.Tensor | None) -> Array:
    with torch.inference_mode():
        risk: Array = model.head.risk(model.combine(said, offset)).double().numpy()
    return risk


def explain(
    data: StudyData,
    transforms: FoldTransforms,
    features: CaseFeatures,
    spec: ModelSpec,
    members: Sequence[Member],
    rows: Sequence[int],
) -> Explained:
    """Effects and attention of the cases at `rows` of the cohort."""
    part = transforms.apply(data, rows)
    predictor = _Predictor(members, spec)
    base = predictor.risk(part)
    found = Explained()
    ids = [data.cohort.ids[row] for row in rows]

    def record(modality: str, name: str, positions: Sequence[int], without: Array) -> None:
        for place, position in enumerate(positions):
            found.effects.append(
                Effect(ids[position], modality, name, float(base[position] - without[place]))
            )

    if "report" in spec.inputs and "report" in part.tokens:
        _reports(data, transforms, part, predictor, record)
    if "background" in spec.inputs:
        _background(data, part, predictor, record)
    if "genes" in spec.inputs and transforms.genes is not None:
        for group, name in enumerate(transforms.genes.names):
            positions = np.flatnonzero(part.tokens["genes"].present[:, group].numpy()).tolist()
            if positions:
                changed = _without_group(data, transforms, _subset(part, positions), group)
                record("genes", name, positions, predictor.risk(changed))
    if "covariates" in spec.inputs:
        _covariates(data, transforms, part, predictor, record)
    if "slides" in spec.inputs and part.slides is not None:
        positions = np.flatnonzero(part.views["slides"].present).tolist()
        if positions:
            subset = _subset(part, positions)
            nothing = replace(subset.views["slides"], present=np.zeros(len(positions), dtype=bool))
            blind = replace(subset, views={**subset.views, "slides": nothing})
            record("slides", "all patches", positions, predictor.risk(blind, _drop("slides")))
    _attention(data, transforms, part, predictor, found)
    return found


Record = Callable[[str, str, Sequence[int], Array], None]


def _subset(features: CaseFeatures, positions: Sequence[int]) -> CaseFeatures:
    at = torch.tensor(list(positions))
    rows = np.array(positions, dtype=np.int64)
    return replace(
        features,
        rows=tuple(features.rows[position] for position in positions),
        tokens={
            name: Tokens(one.values[at], one.present[at], None if one.kind is None else one.kind[at])
            for name, one in features.tokens.items()
        },
        views={name: view.take(rows) for name, view in features.views.items()},
        statements=[features.statements[position] for position in positions],
        type_of=features.type_of[at],
    )


def _drop(name: str) -> Callable[[CaseBatch], CaseBatch]:
    def change(batch: CaseBatch) -> CaseBatch:
        one = batch.bags[name]
        return replace(batch, bags={**batch.bags, name: replace(one, bag_of=(-1,) * len(one))})

    return change


def _reports(
    data: StudyData, transforms: FoldTransforms, part: CaseFeatures, predictor: _Predictor, record: Record
) -> None:
    """Each field: its statement is dropped and its quote masked in the text, so every reader misses it."""
    kinds = sorted({one.kind for said in part.statements for one in said})
    for kind in kinds:
        positions = [k for k, said in enumerate(part.statements) if any(one.kind == kind for one in said)]
        reports = [without_kind(data.reports[part.rows[position]], kind) for position in positions]
        record("report", kind, positions, predictor.risk(_with_reports(transforms, part, positions, reports)))
    positions = [k for k, row in enumerate(part.rows) if data.reports[row] is not None]
    if positions:
        blank = _with_reports(transforms, part, positions, [None] * len(positions))
        record("report", WHOLE_REPORT, positions, predictor.risk(blank))


def _with_reports(
    transforms: FoldTransforms,
    part: CaseFeatures,
    positions: Sequence[int],
    reports: Sequence[RefinedReport | None],
) -> CaseFeatures:
    subset, made = _subset(part, positions), transforms.report_part(reports)
    return replace(
        subset,
        tokens={**subset.tokens, "report": made.tokens},
        views={**subset.views, **made.views},
        statements=made.statements,
    )


def without_kind(report: RefinedReport | None, kind: str) -> RefinedReport | None:
    """The report as if it had not stated `kind`: no such statement, and its quotes masked in the text."""
    if report is None:
        return None
    text = report.text
    for one in report.statements:
        if one.kind == kind and one.start is not None and one.end is not None:
            text = text[: one.start] + MASK * (one.end - one.start) + text[one.end :]
    return replace(report, text=text, statements=tuple(one for one in report.statements if one.kind != kind))


def _background(data: StudyData, part: CaseFeatures, predictor: _Predictor, record: Record) -> None:
    types = sorted(data.background)
    for modality, tokens in part.background.items():
        for row, cancer_type in enumerate(types):
            positions = [k for k, of in enumerate(part.type_of.tolist()) if of == row]
            said = [
                one
                for risk in RISKS
                for one in data.background[cancer_type].statements(modality, risk)  # type: ignore[arg-type]
            ]
            if not positions:
                continue
            subset = _subset(part, positions)
            for place, statement in enumerate(said):
                hidden = torch.zeros_like(tokens.present)
                hidden[row, place] = True
                background = {**part.background, modality: tokens.without(hidden)}
                record(
                    "background",
                    statement.text,
                    positions,
                    predictor.risk(replace(subset, background=background)),
                )


def _without_group(
    data: StudyData, transforms: FoldTransforms, part: CaseFeatures, group: int
) -> CaseFeatures:
    """The group has no token, and the linear view takes its genes to be at the training mean."""
    assert data.genomics is not None
    assert data.groups is not None
    assert transforms.spectrum is not None
    tokens = part.tokens["genes"]
    absent = torch.zeros_like(tokens.present)
    absent[:, group] = True
    measured = data.genomics.values_of([data.cohort.ids[row] for row in part.rows])
    values = transforms.spectrum.transform(measured, hidden=data.groups.groups[group].columns)
    return replace(
        part,
        tokens={**part.tokens, "genes": tokens.without(absent)},
        views={**part.views, "genes": replace(part.views["genes"], values=values)},
    )


def _covariates(
    data: StudyData, transforms: FoldTransforms, part: CaseFeatures, predictor: _Predictor, record: Record
) -> None:
    """Each covariate at the training mean, or at the most frequent level."""
    for one in transforms.covariates.fitted:
        name = one.covariate.name
        positions = [
            k for k, row in enumerate(part.rows) if data.cohort.cases[row].covariates.get(name) is not None
        ]
        if not positions:
            continue
        ordinary: float | str = one.levels[0] if one.levels else one.mean
        cases: list[Case] = [
            replace(case, covariates={**case.covariates, name: ordinary})
            for case in (data.cohort.cases[part.rows[position]] for position in positions)
        ]
        subset = _subset(part, positions)
        values, present = transforms.covariates.tokens(cases)
        tokens = Tokens(torch.from_numpy(values), torch.from_numpy(present))
        views = {
            **subset.views,
            "covariates": replace(subset.views["covariates"], values=transforms.covariates.design(cases)),
        }
        record(
            "covariates",
            name,
            positions,
            predictor.risk(replace(subset, tokens={**subset.tokens, "covariates": tokens}, views=views)),
        )


def _attention(
    data: StudyData, transforms: FoldTransforms, part: CaseFeatures, predictor: _Predictor, found: Explained
) -> None:
    """Who looked at what: statements to gene groups, and all statements to patches.

    The mean is over networks whose forecast uses the modality, where any does: attention of the others is noise.
    """
    totals: dict[tuple[str, str, str], list[float]] = {}
    users = {
        modality: [model for model, _ in predictor.members if model.uses(modality)]
        for modality in ("slides", "genes")
    }
    for start in range(0, len(part.rows), AT_ONCE):
        rows = part.rows[start : start + AT_ONCE]
        mean: dict[str, list[torch.Tensor]] = {}
        for model, stack in predictor.members:
            model.eval()
            reader = Reader(part, predictor.spec.inputs, predictor.offset(stack, part.views))
            batch = reader.batch(rows)
            with torch.inference_mode():
                for modality, attention in model.looks(batch).items():
                    of = users[modality] or [one for one, _ in predictor.members]
                    if model not in of:
                        continue
                    shares = [one / len(of) for one in attention]
                    before = mean.get(modality)
                    mean[modality] = (
                        [one + more for one, more in zip(before, shares, strict=True)] if before else shares
                    )
        for modality, weights in mean.items():
            for place, row in enumerate(rows):
                looked = weights[place].numpy()
                keys = (
                    np.arange(looked.shape[1])
                    if modality in batch.bags
                    else np.flatnonzero(batch.tokens[modality].present[place].numpy())
                )
                if not len(keys):
                    continue
                count = len(looked)
                queries = (
                    _queries(data, part, predictor.spec, start + place, modality, count)
                    if all(model.has_named_queries(modality) for model, _ in predictor.members)
                    else [""] * count
                )
                relative = looked[:, keys] * len(keys)
                case = data.cohort.ids[row]
                if modality == "genes" and transforms.genes is not None:
                    names = [transforms.genes.names[key] for key in keys]
                    _count_looks(
                        totals, modality, queries, names, relative, found.looked_at.setdefault(case, {})
                    )
                elif modality == "slides":
                    asked = [index for index, query in enumerate(queries) if query]
                    overall = relative[asked or slice(None)].mean(axis=0)
                    whose = part.slides.slides_of(row) if part.slides is not None else ()
                    found.attention[case] = PatchAttention.of(queries, relative, overall, whose)
                    best = np.argsort(-overall, kind="stable")[:TOP_PATCHES]
                    found.patches[case] = [
                        (int(keys[index]), round(float(overall[index]), 3)) for index in best
                    ]
    found.looks = [
        Look(modality, query, key, float(np.mean(weights)), len(weights))
        for (modality, query, key), weights in sorted(totals.items())
    ]


def _count_looks(
    totals: dict[tuple[str, str, str], list[float]],
    modality: str,
    queries: Sequence[str],
    names: Sequence[str],
    relative: NDArray[np.float32],
    looked_at: dict[str, list[str]],
) -> None:
    for index, query in enumerate(queries):
        if not query:
            continue
        looked_at.setdefault(
            query, [names[key] for key in np.argsort(-relative[index], kind="stable")[:TOP_KEYS]]
        )
        for key, name in enumerate(names):
            totals.setdefault((modality, query, name), []).append(float(relative[index, key]))


def _queries(
    data: StudyData, part: CaseFeatures, spec: ModelSpec, position: int, modality: str, count: int
) -> list[str]:
    """What each query of a case is: a field, or a background statement; "" where there is none."""
    names: list[str] = []
    if "report" in spec.inputs and "report" in part.tokens:
        slots = part.tokens["report"].present.shape[1]
        said = [one.kind for one in part.statements[position]]
        names = [said[slot] if slot < len(said) and said[slot] != SENTENCE else "" for slot in range(slots)]
    if "background" in spec.inputs and modality in part.background:
        cancer_type = data.cohort.cases[part.rows[position]].cancer_type
        known = data.background[cancer_type]
        said = [one.text for risk in RISKS for one in known.statements(modality, risk)]  # type: ignore[arg-type]
        names += said + [""] * (part.background[modality].present.shape[1] - len(said))
    return names[:count] + [""] * (count - len(names))
