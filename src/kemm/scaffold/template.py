"""The text of a new study.yaml, with a line of explanation beside every key."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import yaml

from kemm.core.columns import UNANSWERED
from kemm.scaffold.clinical import ClinicalGuess, CovariateGuess, EndpointGuess
from kemm.scaffold.folder import Findings

_COMMENT_COLUMN = 44

_HEADER = """\
# The settings of a study, written by `kemm init`. Everything filled in is a guess from the tables: check it.
#
#   kemm check FOLDER    every fault of every input at once, and a summary of the cohort
#   kemm run FOLDER      prepare, train, evaluate, report; goes on where it stopped
#
# Paths are relative to this file. Keep events, units and codes as the tables have them: they are declared here.
# A key that is left out has its default; docs/study-yaml.md explains all of them.
"""


def study_yaml(name: str, findings: Findings) -> str:
    """The text of study.yaml for what was found."""
    sections = [
        [_HEADER.rstrip(), "", _line("name", name, "as it appears in the report")],
        [
            "# data_root: /folder/of/the/data            # where paths may point to outside this folder, if anywhere;",
            "#                                           # ${VARIABLES} of the environment are expanded",
        ],
        _cohort(findings),
        _reports(findings),
        _genomics(findings),
        _slides(findings),
        _background(findings),
        _folds(findings),
        [
            "training:",
            _line("  seeds", [0, 1, 2], "each fold is trained once a seed; the seeds' risks are averaged"),
        ],
    ]
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _line(key: str, value: object, comment: str = "") -> str:
    text = f"{key}: {_inline(value)}"
    return f"{text:<{_COMMENT_COLUMN - 1}} # {_one_line(comment)}" if comment else text


def _one_line(text: str) -> str:
    """Text for a comment: what tables hold must not end the comment's line."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _inline(value: object) -> str:
    """A value on one line of YAML, with quotes where it needs them."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_inline(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_inline(inner) for inner in value) + "]"
    plain = yaml.safe_dump([value], default_flow_style=True, width=10**6, allow_unicode=True).strip()[1:-1]
    # What needs quotes gets double ones, in which line ends of a hostile column name are escaped.
    return json.dumps(value, ensure_ascii=False) if plain[0] in "'\"" else str(plain)


def _commented(lines: Sequence[str]) -> list[str]:
    return [f"# {line}" for line in lines]


def _cohort(findings: Findings) -> list[str]:
    clinical = findings.clinical
    lines = ["cohort:"]
    lines.append(
        _line(
            "  table",
            clinical.file if clinical else "clinical.csv",
            "one row a case: .csv, .tsv, .parquet or .xlsx",
        )
    )
    lines.append(
        _line(
            "  case",
            clinical.case if clinical else "case_id",
            "column with the id of the case; ids stay text",
        )
    )
    lines += _cancer_type(findings)
    if clinical and clinical.site:
        lines.append(
            _line("  site", clinical.site, "column with the hospital; folds then keep hospitals apart")
        )
    else:
        lines.append(
            "  # site: site_code                         # column with the hospital, for folds that keep hospitals apart"
        )
    lines += _endpoints(clinical)
    lines.append(
        "  zero_months: drop                         # follow-up of exactly zero: drop the case, or keep it as half a day"
    )
    lines += _covariates(clinical)
    return lines


def _cancer_type(findings: Findings) -> list[str]:
    if findings.cancer_type_column is not None:
        return [
            _line(
                "  cancer_type_column", findings.cancer_type_column, "column with the cancer type of the case"
            )
        ]
    comment = 'a TCGA code such as "KIRC", or the full name; chooses the background knowledge'
    if findings.cancer_type is None:
        return [_line("  cancer_type", UNANSWERED, f"TO FILL IN: {comment}")]
    return [_line("  cancer_type", findings.cancer_type, f"from {findings.cancer_type_from}; {comment}")]


def _endpoints(clinical: ClinicalGuess | None) -> list[str]:
    guesses = (clinical.endpoints if clinical else ()) or (
        EndpointGuess(
            name="OS",
            time=UNANSWERED if clinical else "os_months",
            event=UNANSWERED if clinical else "event",
            unit="months",
            unit_from="",
            event_value="1",
            censored_value="0",
            values="",
        ),
    )
    lines = [
        "  endpoints:                                # by name; time and event are columns, unit is months, days or years",
        "    # CHECK which value means that the event happened (death, progression) and which that it had not:",
        "    # a table with a column of censorship has it the other way round. Other values are refused.",
    ]
    for guess in guesses:
        if guess.values:
            lines.append(
                "    # "
                + _one_line(
                    f"{guess.event} holds {guess.values}; the unit of {guess.time} was guessed from {guess.unit_from}"
                )
            )
        settings = {
            "time": guess.time,
            "event": guess.event,
            "unit": guess.unit,
            "event_value": guess.event_value,
            "censored_value": guess.censored_value,
        }
        lines.append(_line(f"    {guess.name}", settings))
    lines.append(_line("  endpoint", guesses[0].name, "the endpoint to predict"))
    return lines


def _covariates(clinical: ClinicalGuess | None) -> list[str]:
    head = "  covariates:                               # what clinicians already know; missing cells are allowed"
    explanation = [
        "    # kind: numeric, categorical, or ordinal with its order from best to worst (ajcc and figo are built in)"
    ]
    if clinical is None or not clinical.covariates:
        return [
            f"  # {head.strip()}",
            *(f"  # {line[2:]}" for line in explanation),
            "  #   age: {kind: numeric}",
            "  #   stage: {kind: ordinal, order: ajcc}",
        ]
    return [
        head,
        *explanation,
        *(_line(f"    {each.name}", _covariate(each)) for each in clinical.covariates),
    ]


def _covariate(guess: CovariateGuess) -> dict[str, object]:
    settings: dict[str, object] = {"kind": guess.kind}
    if guess.column != guess.name:
        settings["column"] = guess.column
    if guess.order is not None:
        settings["order"] = guess.order if isinstance(guess.order, str) else list(guess.order)
    return settings


def _reports(findings: Findings) -> list[str]:
    guess = findings.reports
    place = _line("  folder", guess.place if guess else "reports", "one CASE.txt a case, UTF-8")
    if guess is not None and guess.case is not None:
        return [
            "reports:                                    # the pathologists' reports",
            _line("  table", guess.place, "one report a row"),
            _line("  case", guess.case, "column with the id of the case"),
            _line("  text", guess.text, "column with the report"),
            _line("  refiner", "rules", "who turns reports into statements: rules, offline"),
        ]
    lines = [
        "reports:                                    # the pathologists' reports",
        place,
        _line("  refiner", "rules", "who turns reports into statements: rules, offline"),
    ]
    return (
        lines
        if guess is not None
        else _commented([*lines, "# or   table: reports.parquet, case: case_id, text: text"])
    )


def _genomics(findings: Findings) -> list[str]:
    guesses = findings.genomics
    lines = [
        "genomics:                                   # wide tables of numbers; columns such as TP53__mut, TP53__rnaseq",
        "  tables:                                   # case: column with the id; rows: genes if genes are in rows;",
        "    # data_type: for names without a type; group: if all columns of a table form one group",
    ]
    if not guesses:
        example = {"path": "genomics.parquet", "case": "case_id"}
        return _commented([*lines, f"    - {_inline(example)}"])
    for guess in guesses:
        settings: dict[str, object] = {"path": guess.file}
        if guess.case is None:
            settings |= {"rows": "genes", "gene": guess.gene}
        else:
            settings |= {"case": guess.case}
        if guess.group is not None:
            settings["group"] = guess.group
        lines.append(f"    - {_inline(settings)}")
    if findings.groups is not None:
        lines.append(
            _line("  groups", findings.groups, "gene groups: .gmt, or a table with one column a group")
        )
    else:
        lines.append(
            "  # groups: groups.gmt                      # gene groups: .gmt, or a table with one column a group;"
        )
        lines.append("  #                                         # by default those that come with kemm")
    return lines


def _slides(findings: Findings) -> list[str]:
    guess = findings.slides
    head = "slides:                                     # features of whole-slide images"
    if guess is not None and guess.case is not None:
        return [
            head,
            _line("  table", guess.place, "one row a slide, numbers in all columns but the id's"),
            _line("  case", guess.case, "column with the id of the case"),
        ]
    lines = [
        head,
        _line(
            "  folder",
            guess.place if guess else "features",
            "one file a slide: .h5, .pt, .npy or .safetensors",
        ),
    ]
    if findings.clinical is not None and findings.clinical.slide_ids is not None:
        lines.append(
            _line(
                "  slide_ids",
                findings.clinical.slide_ids,
                'clinical column with the slides of a case, separated by ";"',
            )
        )
    else:
        lines.append(
            '  # slide_ids: slide_ids                    # clinical column with the slides of a case, separated by ";";'
        )
        lines.append(
            "  #                                         # by default a file belongs to the case its name begins with"
        )
    return lines if guess is not None else _commented(lines)


def _background(findings: Findings) -> list[str]:
    return [
        "# background:                               # what marks high and low risk in this cancer: it comes with kemm,",
        "#   file: background.yaml                   # or is a file of yours",
    ]


def _folds(findings: Findings) -> list[str]:
    lines = [
        "folds:",
        _line(
            "  kind",
            "site" if findings.clinical and findings.clinical.site else "stratified",
            "site: no hospital in both parts; stratified: equal shares of events; files: your own",
        ),
        _line("  count", 5, "how many folds"),
    ]
    lines += [
        f"  # files: {_inline(pattern)}   # with kind: files; found in this folder"
        for pattern in findings.folds
    ]
    return lines
