"""The page of a comparison: what it answers first, what it must not hide, and what it does with absent or hostile input."""

from __future__ import annotations

import io
import re
from itertools import pairwise
from typing import Any

import fake_comparison as made
import fake_results as fake
import pytest
from documents import NASTY, Document
from rich.console import Console

from kemm.results.comparison.leaks_record import LeakAudit
from kemm.results.comparison.records import Comparison, StudyComparison
from kemm.results.records import Cell, Record
from kemm.results.report import comparison_wording as compared
from kemm.results.report import render_comparison
from kemm.results.report.strips import histogram
from kemm.terminal_comparison import print_comparison


@pytest.fixture(scope="module")
def html() -> str:
    return render_comparison(made.comparison())


@pytest.fixture(scope="module")
def page(html: str) -> Document:
    return Document(html)


@pytest.fixture(scope="module")
def several() -> str:
    return render_comparison(made.several())


def rendered(**fields: Any) -> Document:
    return Document(render_comparison(made.comparison(made.study(**fields))))


def ids(page: Document) -> list[str | None]:
    return [attributes["id"] for attributes in page.all("section")]


# --- the answer


@pytest.mark.parametrize(
    ("gain", "answer"),
    [
        (
            made.around(0.021, 0.018),
            "Yes : KEMM with covariates adds 0.021 (95% interval 0.003 to 0.039) to the C of Clinical Cox on Synthetic "
            "kidney cohort.",
        ),
        (
            made.around(0.004, 0.014),
            "Not shown : KEMM with covariates is not shown to add to Clinical Cox on Synthetic kidney cohort: C changes by "
            "+0.004 (95% interval −0.010 to +0.018), and the interval includes zero.",
        ),
        (
            made.around(-0.030, 0.010),
            "No : KEMM with covariates takes 0.030 (95% interval 0.020 to 0.040) from the C of Clinical Cox on Synthetic "
            "kidney cohort.",
        ),
        (
            Cell(reason="4 events, fewer than 10"),
            "No answer : Whether KEMM with covariates adds to Clinical Cox on Synthetic kidney cohort cannot be said: 4 "
            "events, fewer than 10.",
        ),
        (Cell(value=0.02), "there is no interval, so no gain is shown."),
    ],
)
def test_the_answer_follows_from_the_interval_and_can_be_quoted(gain: Cell, answer: str) -> None:
    page = rendered(added_value=[made.added(made.MAIN, gain)])
    told = page.text.split("Does it add to what the clinic knows?")[1]
    assert answer in told[:260]


def test_the_answer_comes_first(page: Document) -> None:
    assert ids(page) == [
        "answer", "added", "models", "differences", "ablations", "ranking", "groups", "calibration", "curves", "auc",
        "decision", "subgroups", "controls", "leaks", "repeats", "cohort", "folds", "settings", "limits",
    ]  # fmt: skip
    links = [link["href"] for link in page.all("a") if not link.get("class")]
    assert links == [f"#{key}" for key in ids(page)]


def test_what_stands_behind_the_answer_is_told(page: Document) -> None:
    for needed in (
        "Harrell's C is 0.752 for Clinical Cox alone and 0.773 with KEMM with covariates added (p = 0.021), on 480 patients",
        "KEMM with covariates tells something of the outcome that Clinical Cox does not (chi-squared 12.3, 1 degree of "
        "freedom, p < 0.001). Of what both explain together, 23% needs KEMM with covariates.",
        "one standard deviation higher has 1.45 (95% interval 1.25 to 1.65) times the hazard.",
        "Net benefit by 36 months, compared with Clinical Cox: above it at 2 of 3 thresholds, from 20% to 30%;",
        "Net reclassification by 36 months: +0.20 (95% interval +0.05 to +0.35); with the event +0.12, free of it +0.08. "
        "Continuous net reclassification can lie above zero for a risk that tells nothing",
    ):
        assert needed in page.text


def test_other_models_have_their_sentence_by_what_they_read(page: Document) -> None:
    for needed in (
        "Refined reports are not shown to add to clinical covariates (Clinical Cox) on Synthetic kidney cohort: C changes by "
        "+0.012 (95% interval −0.005 to +0.029), and the interval includes zero. Read by Clinical and report, linear.",
        "Refined reports add 0.009 (95% interval 0.003 to 0.015) to the C of clinical covariates (Clinical Cox)",
        "Gene groups take 0.020 (95% interval 0.010 to 0.030) from the C of clinical covariates",
        "Whether MCAT adds to Clinical Cox on Synthetic kidney cohort cannot be said: 4 events, fewer than 10.",
    ):
        assert needed in page.text


def test_a_test_that_finds_something_where_the_ranking_gains_nothing_says_both() -> None:
    text = rendered(added_value=[made.added(made.MAIN, made.around(0.004, 0.014))]).text
    assert "tells something of the outcome" in text
    assert "Yet it is not shown to improve how patients are ranked." in text
    unsure = made.added(made.MAIN, made.around(0.004, 0.014), p=0.4)
    text = rendered(added_value=[unsure]).text
    assert "is not shown to tell anything of the outcome" in text
    assert "Yet it" not in text


def test_without_covariates_the_question_cannot_be_answered() -> None:
    text = rendered(reference=None, added_value=[]).text
    assert "Cannot be answered : There are no covariates in Synthetic kidney cohort" in text


def test_failed_controls_are_told_beside_the_answer(page: Document) -> None:
    answer = page.text.split("Does it add")[1].split("What each adds Each")[0]
    assert "Control “noise” of KEMM with covariates failed: +0.055 (95% interval +0.035 to +0.075)." in answer
    assert "Control “site alone” of Site alone did not pass (a warning): 0.580" in answer


def test_after_a_leak_no_interval_is_an_answer() -> None:
    leaks = LeakAudit(leaks=[made.SAME_REPORT, made.TELLING_COLUMN])
    text = rendered(leaks=leaks).text
    assert (
        "Not to be relied on : A leak in the data makes these numbers worthless. As they stand: KEMM with covariates adds "
        "0.021" in text
    )
    answer = text.split("Does it add")[1].split("What each adds Each")[0]
    assert "Two cases on both sides of fold 1 have the same report. Put them on one side." in answer
    assert "1 error, 1 warning." in text
    assert (
        "error Same report. Two cases on both sides of fold 1 have the same report. Put them on one side. 2 patients; "
        "fold 1" in text
    )
    assert "Not to be relied on. A leak" in printed(made.study(leaks=leaks))
    assert "leak: Two cases on both sides" in printed(made.study(leaks=leaks))


# --- the table


def test_models_stand_under_their_roles_and_ablations_apart(html: str) -> None:
    table = html.split('id="models"')[1].split("</table>")[0]
    places = [
        table.index(f"<span>{role}</span>")
        for role in ("KEMM", "Networks of the field", "Comparators", "Controls")
    ]
    assert places == sorted(places)
    assert places[1] < table.index("MCAT") < places[2]
    assert "without the report" not in table


def test_a_partial_cell_is_marked(page: Document) -> None:
    assert "345 of 480" in page.text
    added = page.text.split("What each adds Each")[1].split("Models Harrell")[0]
    assert "Genes only 345 of 480 patients, 119 events" in added


def test_cost_and_what_was_left_out_are_told(page: Document) -> None:
    cost = page.text.split("Cost Of all folds")[1].split("What each model is fitted on")[0]
    assert "KEMM with covariates 3 min 35 s core time 6 min 41 s memory 1.2 GB parameters 812,345" in cost
    assert (
        "MCAT part was not measured more than 1 min 35 s core time more than 3 min 0 s memory – parameters 2,100,000"
        in cost
    )
    assert "Left out (1) survpath it needs 20 gene groups, and 12 are known" in cost


# --- differences, ablations, controls


def test_differences_are_judged_by_the_interval_of_all_at_once() -> None:
    row = made.difference(made.MAIN, "report", 0.012)
    assert row.low > 0 > row.simultaneous_low
    page = rendered(differences=[row], against_reference=[])
    assert (
        "Report only +0.012 +0.002 to +0.022 all at once −0.003 to +0.027 not told apart p = 0.014"
        in page.text
    )


def test_ablations_say_what_helps(page: Document) -> None:
    told = page.text.split("Ablations KEMM")[1].split("Ranks A line")[0]
    assert (
        "One part at a time Worse: without the report. Better: a mean in place of the gate. No difference is shown: "
        "without background knowledge." in told
    )
    for name, word in (
        ("without the report −0.021 −0.031 to −0.011 all at once −0.036 to −0.006", "the part helps"),
        (
            "without background knowledge −0.003 −0.013 to +0.007 all at once −0.018 to +0.012",
            "not shown to help",
        ),
        (
            "a mean in place of the gate +0.019 +0.009 to +0.029 all at once +0.004 to +0.034",
            "better without it",
        ),
        ("genes only −0.090 −0.100 to −0.080 all at once −0.105 to −0.075", "worse than all together"),
    ):
        assert f"{name} {word}" in told


def test_controls_say_how_they_ended(html: str, page: Document) -> None:
    assert (
        "Of 5 controls: 2 passed, 1 failed, 1 did not pass, which is a warning and no fault, 1 undecided."
        in page.text
    )
    for found in ("passed", "failed", "warning", "undecided"):
        assert f'class="result {found}"' in html
    assert "Must hold: It stays within 0.02." in page.text
    assert "kemm compare STUDY --controls" in rendered(controls=None).text


def test_leaks_have_their_remedy(page: Document) -> None:
    told = page.text.split("Leaks What a model")[1]
    assert (
        "1 warning. warning Covariate tells the outcome. The column ward tells the outcome. Leave it out. column ward"
        in told
    )


def test_a_level_with_few_events_is_a_dash(page: Document) -> None:
    numbers = page.text.split("Patients C, KEMM with covariates")[1]
    assert re.search(r"Stage IV 240 patients, 80 events .* – 4 events, fewer than 10", numbers)


# --- several cohorts


def test_several_cohorts_are_answered_together_then_one_by_one(several: str) -> None:
    page = Document(several)
    assert (
        "On 1 of 2 cohorts : KEMM with covariates is shown to add to the clinical model on 1 of 2 cohorts."
        in page.text
    )
    assert (
        "less that of the clinical model alone is +0.027 (95% interval +0.007 to +0.047) on average."
        in page.text
    )
    found = ids(page)
    assert found[:3] == ["answer", "mean", "rank-of-cohorts"]
    assert found.index("study1-models") < found.index("study2-added")
    assert found[-1] == "limits"
    mean = page.text.split("Mean over cohorts Mean of")[1].split("Ranks over cohorts")[0]
    assert mean.index("KEMM with covariates") < mean.index("Clinical Cox") < mean.index("MCAT")


def test_cohorts_of_one_name_are_told_apart() -> None:
    page = Document(
        render_comparison(made.comparison(made.study(), made.study(evaluation=made.evaluation(study="b"))))
    )
    assert "on Synthetic kidney cohort (kidney-demo)" in page.text
    assert "on Synthetic kidney cohort (b)" in page.text


@pytest.mark.parametrize(
    ("outcomes", "word"),
    [
        (("better", "better"), "Yes"),
        (("better", "worse"), "On 1 of 2 cohorts"),
        (("unclear", "worse"), "Not shown"),
        (("worse", "worse"), "No"),
        ((None, None), "Cannot be answered"),
    ],
)
def test_one_answer_for_several_cohorts(outcomes: tuple[Any, ...], word: str) -> None:
    verdicts = [compared.Verdict("", outcome, "", []) for outcome in outcomes]
    assert compared.overall(verdicts, "KEMM").word == word


# --- any page


@pytest.mark.parametrize(
    "comparison",
    [
        made.comparison(),
        made.comparison(made.bare()),
        made.several(),
        made.comparison(made.bare(), made.study()),
        Comparison(studies=[]),
    ],
    ids=["whole", "bare", "several", "mixed", "none"],
)
def test_every_page_is_whole_and_loads_nothing(comparison: Comparison) -> None:
    html = render_comparison(comparison)
    page = Document(html)
    assert not re.search(r"\b(None|nan|inf|Undefined)\b", page.text)
    assert not {"script", "link", "img", "iframe", "object", "form"} & {name for name, _ in page.elements}
    assert "http://" not in html
    assert "https://" not in html
    assert not [name for name, attributes in page.elements if "style" in attributes]
    all_ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(all_ids) == len(set(all_ids))
    assert set(re.findall(r'(?:url\(#|href="#|aria-labelledby=")([\w-]+)', html)) <= set(all_ids)
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(attributes.get("scope") for attributes in page.all("th"))
    assert len(html.encode()) < 1_500_000


def test_a_bare_comparison_has_no_empty_section() -> None:
    page = Document(render_comparison(made.comparison(made.bare())))
    assert ids(page) == ["answer", "models", "ranking", "controls", "leaks", "cohort", "settings", "limits"]
    assert "Fewer than five folds: no ranking." in page.text
    assert "Nothing was found of what can be seen" in page.text


CLOSED = {"role", "model", "baseline", "reference", "main", "metric", "name", "passed", "severity", "family", "method",
          "better", "worse", "groups"}  # fmt: skip
KNOWN = {one.name for one in made.evaluation().models} | {"treat all"}


def poisoned(value: Any) -> Any:
    """The same record with every free text, and every free key, replaced by something nasty."""
    if isinstance(value, Record):
        return type(value).model_construct(
            **{name: item if name in CLOSED else poisoned(item) for name, item in value}
        )
    if isinstance(value, str):
        return value if value in KNOWN else NASTY
    if isinstance(value, dict):
        return {
            key if isinstance(item, Cell) or key in KNOWN else NASTY + key: poisoned(item)
            for key, item in value.items()
        }
    return [poisoned(item) for item in value] if isinstance(value, list) else value


def test_text_from_input_is_never_markup() -> None:
    clean = Document(render_comparison(made.several()))
    html = render_comparison(poisoned(made.several()))
    page = Document(html)
    assert "<script" not in html
    assert "<img" not in html
    assert "alert(1)" in page.text
    assert "{{ 7*7 }}" in page.text
    assert {name for name, _ in page.elements} <= {name for name, _ in clean.elements}


def test_the_same_records_give_the_same_bytes(html: str) -> None:
    assert render_comparison(made.comparison()) == html


def test_columns_of_a_histogram_are_as_high_as_their_counts() -> None:
    heights = [float(height) for height in re.findall(r'<rect[^>]* height="([\d.]+)"', histogram([10, 5, 0]))]
    assert heights == [22, 11, 0]
    assert 'y1="11"' in histogram([10, 5, 0])
    assert "rect" not in histogram([])


# --- the terminal


def printed(*studies: StudyComparison, comparison: Comparison | None = None) -> str:
    out = io.StringIO()
    print_comparison(Console(width=80, file=out), comparison or made.comparison(*studies))
    return out.getvalue()


def test_the_terminal_tells_the_answer_the_table_and_what_failed() -> None:
    told = printed()
    flat = " ".join(told.split())
    assert flat.startswith(
        "Yes. KEMM with covariates adds 0.021 (95% interval 0.003 to 0.039) to the C of Clinical Cox"
    )
    assert re.search(
        r"KEMM with covariates +0\.781 +0\.752 to 0\.810 +\+0\.029 +\+0\.019 to \+0\.039 +3:35", told
    )
    assert re.search(r"Slides only +- +- +- +- +-", told)
    assert "gain: C less that of Clinical Cox" in flat
    assert "Control “noise” of KEMM with covariates failed" in flat
    assert max(map(len, told.splitlines())) <= 80


def test_the_terminal_marks_what_failed_in_red() -> None:
    out = io.StringIO()
    console = Console(width=80, file=out, force_terminal=True, color_system="standard")
    print_comparison(console, made.comparison(made.study(leaks=LeakAudit(leaks=[made.SAME_REPORT]))))
    assert "\x1b[31mleak: Two cases" in out.getvalue()
    assert "\x1b[31mControl “noise”" in out.getvalue()


def test_the_terminal_says_the_mean_of_several_and_fits_long_names() -> None:
    told = printed(comparison=made.several())
    assert re.search(r"MCAT +0\.705 +0\.685 to 0\.725 +-0\.036 +-0\.056 to -0\.016 +2 *\n", told)
    long = made.evaluation().models[0].model_copy(update={"title": "A very long name of a model " * 4})
    bare = made.bare().model_copy(update={"evaluation": made.evaluation(models=[long])})
    lines = printed(bare).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("…" in line for line in lines)


def test_titles_are_not_read_as_markup_of_the_terminal() -> None:
    models = [one.model_copy(update={"title": f"[red]{one.title}[/]"}) for one in made.evaluation().models]
    assert "[red]Clinical Cox[/]" in printed(made.study(evaluation=made.evaluation(models=models)))


def test_the_report_of_a_run_shows_networks_of_the_field_too() -> None:
    from kemm.results.report import render_report

    text = Document(render_report(made.evaluation(), None, fake.run_record())).text
    assert "Networks of the field" in text
