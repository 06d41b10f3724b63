"""Measure refiners against reference annotations of real reports.

    python benchmarks/refine.py [--data DIR] [--throughput 10000] [--write docs/refinement.md]

DIR holds `gold/reports_gold.jsonl` and `tcga/<cohort>/reports.parquet`; without it, the environment
variable KEMM_DATA is used, then `../shared/data` beside the repository.

Any refiner is measured alike: `score` takes a mapping from case to `RefinedReport`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from kemm.modalities.reports import (
    CANNOT_BE_ASSESSED,
    FIELDS,
    RefinedReport,
    RulesRefiner,
    fields_for,
    ground,
    organ_of,
    prepare,
    verify,
)
from kemm.modalities.reports.organs import ORGANS

ROOT = Path(__file__).resolve().parents[1]
COHORTS = ("BRCA", "LUAD", "KIRC")

REFERENCE_FIELDS = (
    *(name for name, field in FIELDS.items() if not field.organs),
    *("ER", "PR", "HER2", "pleural_invasion", "extrarenal_extension", "renal_vein_invasion", "sarcomatoid"),
    *("myometrial_invasion", "cervical_stroma"),
)
"""What the annotators were asked. Of other fields the reference says nothing, not even that they are absent."""


@dataclass
class Tally:
    """Answers of one field that are right, and those given or wanted but not right."""

    right: int = 0
    predicted: int = 0
    wanted: int = 0

    @property
    def precision(self) -> float | None:
        return self.right / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        return self.right / self.wanted if self.wanted else None

    @property
    def f1(self) -> float | None:
        total = self.predicted + self.wanted
        return 2 * self.right / total if total else None


@dataclass
class Score:
    """Tallies by field over some cases, and how many quotes were real spans."""

    fields: dict[str, Tally] = field(default_factory=dict)
    quotes: int = 0
    valid_quotes: int = 0

    @property
    def micro(self) -> Tally:
        tallies = self.fields.values()
        return Tally(
            sum(tally.right for tally in tallies),
            sum(tally.predicted for tally in tallies),
            sum(tally.wanted for tally in tallies),
        )

    @property
    def macro_f1(self) -> float:
        """Mean F1 over the fields that the annotation has at least once."""
        scores = [tally.f1 or 0.0 for tally in self.fields.values() if tally.wanted]
        return sum(scores) / len(scores)


_SYNONYMS = (
    (r"\binfiltrat\w+", "invasive"),
    (r"\bbronchi?olo-?alveolar\b", "lepidic"),
    (r"\bconventional\b", "clear cell"),
    (r",? (?:nos|not otherwise specified|no special type)\b", ""),
)


def base_type(term: str) -> str:
    """The histologic type without what qualifies it.

    Lower case, synonyms replaced, and everything behind the first comma or "with" dropped: growth
    patterns, subtypes, features. "adenocarcinoma, acinar predominant" and "adenocarcinoma with papillary
    differentiation" are both "adenocarcinoma"; "mucinous adenocarcinoma" is not.
    """
    term = term.lower().strip()
    for pattern, meant in _SYNONYMS:
        term = re.sub(pattern, meant, term)
    return re.split(r",| with ", term)[0].strip()


def same(name: str, predicted: str, wanted: str, *, strict: bool = False) -> bool:
    """Sizes within 0.01 cm; histologic types by `base_type` unless strict; the rest as text."""
    if CANNOT_BE_ASSESSED in (predicted, wanted):
        return predicted == wanted
    if name == "tumor_size_cm":
        return abs(float(predicted) - float(wanted)) <= 0.01
    if name == "histologic_type" and not strict:
        return base_type(predicted) == base_type(wanted)
    return predicted.lower() == wanted.lower()


def score(
    predicted: Mapping[str, RefinedReport],
    gold: Mapping[str, Mapping[str, str]],
    *,
    strict: bool = False,
) -> Score:
    """Compare the field statements of each case with its reference values.

    A value where the reference has none counts against precision, a missing one against recall, a wrong
    one against both. Not counted: fields the reference was never asked, and "cannot be assessed" where
    it has nothing, for it did not record that.
    """
    values = {case: values_of(predicted[case]) for case in gold}
    result = score_values(values, gold, strict=strict)
    for case in gold:
        for statement in predicted[case].statements:
            result.quotes += 1
            result.valid_quotes += verify(statement, predicted[case].text) is None
    return result


def values_of(report: RefinedReport) -> dict[str, str]:
    """By field."""
    return {one.kind: str(one.value) for one in report.statements if one.kind in FIELDS}


def score_values(
    found: Mapping[str, Mapping[str, str]],
    gold: Mapping[str, Mapping[str, str]],
    *,
    fields: Sequence[str] = REFERENCE_FIELDS,
    strict: bool = False,
) -> Score:
    """As `score`, of values by case and field, without quotes and over some of the fields."""
    result = Score(fields={name: Tally() for name in fields})
    for case, wanted in gold.items():
        said = found[case]
        for name, tally in result.fields.items():
            answered = name in said and (name in wanted or said[name] != CANNOT_BE_ASSESSED)
            tally.predicted += answered
            tally.wanted += name in wanted
            tally.right += answered and name in wanted and same(name, said[name], wanted[name], strict=strict)
    return result


def load_gold(data: Path) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """Reference values by case, and the cohort of each case, in the order of the file."""
    values: dict[str, dict[str, str]] = {}
    cohorts: dict[str, str] = {}
    for line in (data / "gold" / "reports_gold.jsonl").read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        values[case["case_id"]] = {name: str(item["value"]) for name, item in case["fields"].items()}
        cohorts[case["case_id"]] = case["cohort"]
    return values, cohorts


def load_reports(data: Path, cohort: str) -> dict[str, str]:
    """Text by case."""
    table = pd.read_parquet(data / "tcga" / cohort / "reports.parquet", columns=["case_id", "text"])
    return dict(zip(table["case_id"], table["text"], strict=True))


def shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines)


def agreement(data: Path, refined: Mapping[str, Mapping[str, RefinedReport]]) -> list[tuple[str, ...]]:
    """Rows (cohort, field, cases with both, the same, the same main stage) against the clinical tables."""
    rows = []
    for cohort, reports in refined.items():
        clinical = pd.read_csv(data / "tcga" / cohort / "clinical.csv", dtype=str).set_index("case_id")
        for name, column in (("grade", "grade"), ("stage_group", "stage")):
            exact = main = both = 0
            for case, report in reports.items():
                found = values_of(report).get(name)
                known = clinical[column].get(case)
                if found in (None, CANNOT_BE_ASSESSED) or not isinstance(known, str):
                    continue
                known = re.sub(r"^stage |^g(?=\d)", "", known.strip().lower()).upper()
                if known.endswith("X") or not known:
                    continue
                both += 1
                exact += found == known
                main += _main(str(found)) == _main(known)
            if both:
                of_stage = f"{main} ({main / both:.0%})" if name == "stage_group" else "-"
                rows.append((cohort, name, str(both), f"{exact} ({exact / both:.0%})", of_stage))
    return rows


def _main(stage: str) -> str:
    return re.sub(r"[ABC]\d?$", "", stage)


Asked = tuple[tuple[str, str], ...]

# What other groups' answers hold of our fields: (their key, the words our parser knows it by), the best first.
_LISTS: Mapping[str, Mapping[str, Asked]] = {
    "question-answer list": {
        "histologic_type": (("Histological classification or type of cancer", ""),),
        "grade": (("Histological grade", "Grade: "), ("Differentiation of the lesion", "Differentiation: ")),
        "margins": (("Margins of the excised tissue", "Margins: "),),
        "lymphovascular_invasion": (("Lymphovascular invasion", "Lymphovascular invasion: "),),
        "necrosis": (("Description of any necrosis", "Necrosis: "),),
        "ER": (("Receptor status", ""), ("Results of immunohistochemistry (IHC)", "")),
        "PR": (("Receptor status", ""), ("Results of immunohistochemistry (IHC)", "")),
        "HER2": (("Receptor status", ""), ("Results of immunohistochemistry (IHC)", "")),
    },
    "mixtral-8x7b fields": {
        "histologic_type": (("Histology", ""),),
        "grade": (("Grade", "Grade: "),),
        "pT": (("Stage", ""),),
        "pN": (("Stage", ""),),
        "pM": (("Stage", ""),),
        "stage_group": (("Stage", "Stage "),),
        "laterality": (("Laterality", "Laterality: "),),
    },
}
_SURE = 0.95
_UNTOLD = re.compile(
    r"\b(?:not|no)\b.*\b(?:told|mentioned|described|specified|reported|available|provided|stated)\b", re.I
)


def read_elsewhere(text: str, llm: str, cohort: str) -> dict[str, str]:
    """The values in what another group's model made of a report, as our parsers read them."""
    if llm not in _LISTS:  # prose, which the rules read as they read a report
        return values_of(RulesRefiner().refine(text, cancer_type=cohort))
    parts = dict(part.split(": ", 1) for part in text.split("; ") if ": " in part)
    asked = fields_for(organ_of(cohort))
    values: dict[str, str] = {}
    for name, places in _LISTS[llm].items():
        for key, words in places:
            if name in asked and name not in values and not _UNTOLD.search(parts.get(key, "not told")):
                value = asked[name].parse(words + parts[key])
                if value is not None:
                    values[name] = value
    return values


def elsewhere(
    data: Path, gold: Mapping[str, Mapping[str, str]], ours: Mapping[str, RefinedReport]
) -> list[tuple[str, ...]]:
    """Rows of other groups' outputs on cases of the reference, beside the rules on the same."""
    found: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for cohort in COHORTS:
        outputs = pd.read_parquet(data / "tcga" / cohort / "reports_refined_elsewhere.parquet")
        for case, text, llm, sure in outputs[["case_id", "text", "llm", "match_prob"]].itertuples(
            index=False
        ):
            if case in gold and sure >= _SURE:
                found.setdefault((llm, cohort), {})[case] = read_elsewhere(text, llm, cohort)
    rows = []
    for (llm, cohort), values in sorted(found.items()):
        fields = [name for name in _LISTS.get(llm, REFERENCE_FIELDS) if name in fields_for(organ_of(cohort))]
        wanted = {case: gold[case] for case in values}
        theirs = score_values(values, wanted, fields=fields).micro
        rules = score_values({case: values_of(ours[case]) for case in values}, wanted, fields=fields).micro
        rows.append(
            (
                llm,
                cohort,
                str(len(values)),
                str(len(fields)),
                *(shown(value) for value in (theirs.precision, theirs.recall, theirs.f1, rules.f1)),
            )
        )
    return rows


def grounded(data: Path) -> list[tuple[str, ...]]:
    """Rows (cohort, claims, those that stand) of the reference's own values and quotes, given to `ground`.

    What does not stand is what no refiner could say, however well it reads: the ceiling of the parsers.
    """
    counts: dict[str, list[int]] = {cohort: [0, 0] for cohort in COHORTS}
    texts = {cohort: load_reports(data, cohort) for cohort in COHORTS}
    for line in (data / "gold" / "reports_gold.jsonl").read_text(encoding="utf-8").splitlines():
        case = json.loads(line)
        cohort = case["cohort"]
        claims = {
            name: {"value": str(item["value"]), "quote": item["quote"]}
            for name, item in case["fields"].items()
        }
        text = prepare(texts[cohort][case["case_id"]]).text
        counts[cohort][0] += len(claims)
        counts[cohort][1] += len(ground(claims, text, organ_of(cohort)).statements)
    return [
        (cohort, str(claims), f"{stand} ({stand / claims:.1%})") for cohort, (claims, stand) in counts.items()
    ]


def throughput(texts: Sequence[str], count: int, processes: int = 2) -> tuple[float, float]:
    """Seconds on the clock and of processor time to refine `count` reports, the real ones over and over.

    Start-up is included.
    """
    work = islice(cycle(texts), count)
    before = _children_seconds()
    start = time.perf_counter()
    with get_context("spawn").Pool(processes) as pool:
        done = sum(1 for _ in pool.imap_unordered(_refined, work, chunksize=100))
        seconds = time.perf_counter() - start
        pool.close()
        pool.join()
    assert done == count
    return seconds, _children_seconds() - before


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _refined(text: str) -> int:
    return len(RulesRefiner().refine(text).statements)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    default = Path(os.environ.get("KEMM_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, help="folder with gold/ and tcga/")
    parser.add_argument("--throughput", type=int, default=0, metavar="N", help="time N reports on two cores")
    parser.add_argument("--write", type=Path, help="write the tables to this Markdown file")
    options = parser.parse_args(arguments)
    if not (options.data / "gold").is_dir():
        sys.exit(f"no reference annotations in {options.data}: give their folder with --data")
    page = measure(options.data, options.throughput)
    print(page)
    if options.write:
        options.write.write_text(page, encoding="utf-8")


def measure(data: Path, many: int = 0) -> str:
    """The Markdown page with every table."""
    refiner = RulesRefiner()
    gold, cohort_of = load_gold(data)
    refined: dict[str, dict[str, RefinedReport]] = {}
    seconds, characters = 0.0, 0
    for cohort in COHORTS:
        texts = load_reports(data, cohort)
        start = time.process_time()
        refined[cohort] = {case: refiner.refine(text) for case, text in texts.items()}
        seconds += time.process_time() - start
        characters += sum(map(len, texts.values()))
    everyone = {case: report for reports in refined.values() for case, report in reports.items()}
    cases = list(gold)
    halves = {"all 72": cases, "36 developed on": cases[::2], "36 kept as a check": cases[1::2]}
    parts = {
        **halves,
        **{f"{name} (24)": [case for case in cases if cohort_of[case] == name] for name in COHORTS},
    }
    scores = {
        name: (
            score(everyone, {case: gold[case] for case in chosen}),
            score(everyone, {case: gold[case] for case in chosen}, strict=True),
        )
        for name, chosen in parts.items()
    }
    whole, strict = scores["all 72"]
    by_half = [scores[name][0] for name in halves]
    reports = list(everyone.values())
    masked: dict[str, int] = {}
    removed: dict[str, int] = {}
    for report in reports:
        for kind, count in report.masked.items():
            masked[kind] = masked.get(kind, 0) + count
        for sentence in report.removed:
            removed[sentence.reason] = removed.get(sentence.reason, 0) + 1
    sentences = [sum(s.kind == "sentence" for s in report.statements) for report in reports]
    summary = table(
        ("cases", "precision", "recall", "micro-F1", "micro-F1, strict type", "macro-F1", "quotes valid"),
        [
            (
                name,
                shown(loose.micro.precision),
                shown(loose.micro.recall),
                f"**{shown(loose.micro.f1)}**",
                shown(exact.micro.f1),
                shown(loose.macro_f1),
                f"{loose.valid_quotes} / {loose.quotes}",
            )
            for name, (loose, exact) in scores.items()
        ],
    )
    rows = []
    for name, tally in whole.fields.items():
        rows.append(
            (
                name,
                str(tally.wanted),
                str(tally.predicted),
                str(tally.right),
                shown(tally.precision),
                shown(tally.recall),
                shown(tally.f1),
                *(shown(part.fields[name].f1) for part in by_half[1:]),
            )
        )
    exact_type = strict.fields["histologic_type"]
    rows.insert(
        1,
        (
            "histologic_type, strict",
            str(exact_type.wanted),
            str(exact_type.predicted),
            str(exact_type.right),
            shown(exact_type.precision),
            shown(exact_type.recall),
            shown(exact_type.f1),
            *(shown(scores[name][1].fields["histologic_type"].f1) for name in list(halves)[1:]),
        ),
    )
    by_field = table(
        (
            "field",
            "in reference",
            "given",
            "right",
            "precision",
            "recall",
            "F1",
            "F1 developed on",
            "F1 check",
        ),
        rows,
    )
    coverage = table(
        ("field", *(f"{cohort} ({len(refined[cohort])})" for cohort in COHORTS), "cannot be assessed"),
        _coverage({cohort: [values_of(one) for one in refined[cohort].values()] for cohort in COHORTS}),
    )
    fast = ""
    if many:
        texts = [text for cohort in COHORTS for text in load_reports(data, cohort).values()]
        clock, used = throughput(texts, many)
        crowded = ", other work on the machine included" if clock > 0.65 * used else ""
        fast = (
            f"In two processes {many:,} reports used {used / 60:.1f} minutes of processor time, "
            f"{used / 120:.1f} a core, their start included;\non the clock they took {clock / 60:.1f} minutes{crowded}."
        )
    return PAGE.format(
        summary=summary,
        by_field=by_field,
        coverage=coverage,
        agreement=table(
            ("cohort", "field", "cases with both", "the same", "same main stage"), agreement(data, refined)
        ),
        elsewhere=table(
            ("who", "cohort", "cases", "fields", "precision", "recall", "F1", "F1 of the rules here"),
            elsewhere(data, gold, everyone),
        ),
        grounded=table(("cohort", "values in the reference", "stand"), grounded(data)),
        questions=table(("field", "asked of", "values", "meaning"), _questions()),
        organs=len(ORGANS),
        reference_fields=len(REFERENCE_FIELDS),
        fields=len(FIELDS),
        fast=fast,
        reports=len(reports),
        milliseconds=1000 * seconds / len(reports),
        mean_length=characters // len(reports),
        minutes=10_000 * seconds / len(reports) / 60,
        masked=table(("hidden", "spans"), [(kind, str(masked[kind])) for kind in sorted(masked)]),
        removed=table(("reason", "sentences"), [(kind, str(removed[kind])) for kind in sorted(removed)]),
        sentences=sum(sentences) / len(sentences),
        left_out=sum(report.left_out for report in reports) / len(reports),
        identity=refiner.identity,
    )


def _coverage(found: Mapping[str, Sequence[Mapping[str, str]]]) -> list[tuple[str, ...]]:
    rows = []
    for name in FIELDS:
        if not any(name in fields_for(organ_of(cohort)) for cohort in found):
            continue
        stated = {
            cohort: sum(values.get(name, CANNOT_BE_ASSESSED) != CANNOT_BE_ASSESSED for values in reports)
            for cohort, reports in found.items()
        }
        unknown = sum(
            values.get(name) == CANNOT_BE_ASSESSED for reports in found.values() for values in reports
        )
        shares = (
            f"{stated[cohort] / len(found[cohort]):.0%}" if name in fields_for(organ_of(cohort)) else "-"
            for cohort in found
        )
        rows.append((name, *shares, str(unknown)))
    return rows


def _questions() -> list[tuple[str, ...]]:
    return [
        (
            name,
            ", ".join(field.organs) or "all",
            ", ".join(value.replace("<", "&lt;") for value in field.values) or "number"
            if field.number or field.values
            else "text",
            f"{field.title}: {field.asks}",
        )
        for name, field in FIELDS.items()
    ]


PAGE = """# How well reports are refined

Written by `python benchmarks/refine.py --write docs/refinement.md`; change the program, not this page.

The offline, rule-based refiner reads each report into fields, each with the quote it stands on. Here it is
compared with reference annotations of 72 real reports (24 of each of three cohorts): read by large
language models, every quote checked by script, reviewed by no clinician. Rules were written with every
second of these reports in view (the first, third, ... of the file). Of the others no error
was looked at; but which values occur in all 72 was known, and their scores by field were seen after each
change and once prompted a further one (answers on the line after their label); and what later versions of
the rules read differently was looked at in all reports, these among them. So theirs is nearer to what to
expect elsewhere than the others' is, and still a little too good.

{summary}

A value where the reference has none counts against precision, a missing one against recall, a wrong one
against both. Only the {reference_fields} fields the annotators were asked are scored, and "cannot be assessed"
is not counted where the reference has nothing, for it did not record that. Sizes are equal within 0.01 cm.
Histologic types are compared without what qualifies them (growth pattern, subtype, features: whatever
stands behind the first comma or "with"), after synonyms; "strict" compares the whole term. Macro-F1 is the
mean over the fields the reference has. A quote is valid when it is exactly the text at its offsets and the
field's own parser reads the value from it.

## Field by field

{by_field}

Few values or one-sided ones (perineural invasion, stage group, HER2, sarcomatoid; margins are 94 %
negative) support no conclusion of their own. The fields of the uterus do not occur in the reference.

## What can stand at all

A language model's answer goes through the same parsers: its quote must be found in the report, and the
field's parser must read the value from it. The reference's own values with their quotes, put through that
check as if a model had claimed them:

{grounded}

The rest is worded in ways the parsers do not know (figures of a table without their labels, a quote that
leaves out what it speaks of); a model that quotes as the annotators did can have no better recall than this.

## Other groups' language models on the same reports

Published outputs of large language models on TCGA reports, read with the parsers used here and compared with
the reference on its cases, over the fields their format asks for. Outputs matched to a case by content with
a probability below 0.95 are left out. They have no quotes, so a wrong value could not be found without the
reference. The last column is the rules of this package on the same cases and fields, half of which they were
developed on; the models were not, and were asked in other words than the annotators.

{elsewhere}

A summary in three sentences leaves out most of what is asked, hence its recall. The parsers were written
for reports and read free summaries less surely, which costs the others some of both.

## How often each field is found in all reports

A dash: the organ is not asked. Last column: reports of all three cohorts that say it cannot be assessed.

{coverage}

Against the clinical tables, which were filled in by other people from more than the report (stage there
includes what was known clinically, and its edition may be another):

{agreement}

## What is read

{fields} fields: what all reports are asked, and the questions of {organs} organs, in the manner of the cancer
protocols of the College of American Pathologists. Three things are told apart: a field the report does not
state has no statement; a finding it denies is "absent" or "negative"; and where it says so itself, the
value of any field may be "cannot be assessed", which has no number and weighs nothing in a model.
"Not assessed", "pending" and "not applicable" are not stated.

{questions}

The questions of organs other than breast, lung and kidney were written from how such reports are worded in
general and are tested on invented sentences only: how well they read real reports has not been measured.

## What is hidden before anything is read

{masked}

Sentences removed because they tell the outcome:

{removed}

## What no field covers

On average {sentences:.1f} sentences a report are kept for their prognostic content (at most 16), and
{left_out:.1f} are left out (handling of the specimen, letterheads, less telling ones); both are counted in
every refined report.

## Speed

{reports} reports of {mean_length} characters on average: {milliseconds:.1f} ms of processor
time a report, so 10,000 reports take {minutes:.1f} minutes on one core.
{fast}

Rules: `{identity}`.
"""


if __name__ == "__main__":
    main()
