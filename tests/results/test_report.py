"""The report: what its headline says, what it refuses to load, and what it does with hostile or absent input."""

from __future__ import annotations

import base64
import hashlib
import re
from itertools import pairwise
from typing import Any

import fake_results as fake
import matplotlib
import pytest
from documents import NASTY, Document, contrast

from kemm.results.document import numbers
from kemm.results.records import Cell, DecisionCurve, Evaluation, Explanation, Record, TimeAUC
from kemm.results.report import render_report
from kemm.results.report.svg import PAINTS
from kemm.results.report.wording import outcome, survival_at


@pytest.fixture(scope="module")
def html() -> str:
    return render_report(fake.evaluation(), fake.explanation(), fake.run_record())


@pytest.fixture(scope="module")
def page(html: str) -> Document:
    return Document(html)


def rendered(evaluation: Evaluation, explanation: Explanation | None = None) -> Document:
    return Document(render_report(evaluation, explanation, fake.run_record()))


def changed(**fields: Any) -> Evaluation:
    return fake.evaluation().model_copy(update=fields)


@pytest.mark.parametrize(
    ("low", "high", "word", "sentence"),
    [
        (0.008, 0.050, "Yes", "KEMM with covariates ranks these patients better than Clinical Cox."),
        (-0.012, 0.031, "Not shown", "the interval includes zero"),
        (0.0, 0.04, "Not shown", "the interval includes zero"),
        (-0.060, -0.004, "No", "KEMM with covariates ranks these patients worse than Clinical Cox."),
    ],
)
def test_the_headline_follows_from_the_interval(low: float, high: float, word: str, sentence: str) -> None:
    page = rendered(changed(headline=fake.difference((low + high) / 2, low, high)))
    answer = page.text.split("Does KEMM beat the clinical model on these patients?")[1].split(
        "Patients Synthetic"
    )[0]
    assert answer.strip().startswith(f"{word} :")
    assert sentence in answer
    for needed in (
        "480 patients",
        "165 events",
        "5 site-disjoint folds",
        "3 seeds",
        "0.781 against 0.752",
        "p = 0.012",
    ):
        assert needed in answer
    assert "78.1 times in 100" in answer


def test_a_lower_brier_score_is_better() -> None:
    lower = fake.difference(-0.01, -0.02, -0.005).model_copy(update={"metric": "ibs"})
    assert outcome(lower) == "better"
    assert "does better than Clinical Cox" in rendered(changed(headline=lower)).text


def test_the_headline_gives_no_values_of_other_patients_than_those_compared() -> None:
    fewer = fake.difference(0.029, 0.008, 0.050).model_copy(update={"cases": 345})
    text = rendered(changed(headline=fewer)).text
    assert "0.781 against 0.752" not in text
    assert "the comparison on 345 of them" in text


def test_a_study_without_a_clinical_model_says_there_is_no_comparison() -> None:
    text = rendered(changed(headline=None)).text
    assert "No comparison" in text
    assert "This study has no clinical model to compare with." in text


def test_the_answer_comes_first_and_limits_last(page: Document) -> None:
    ids = [attributes["id"] for attributes in page.all("section")]
    assert ids == [
        "answer", "cohort", "folds", "models", "differences", "groups", "calibration", "auc", "decision", "truth",
        "knowledge", "cases", "settings", "limits",
    ]  # fmt: skip
    for needed in ("Research use", "Not a medical device", "not cause", "Internal validation only"):
        assert needed in page.text
    contents = [link["href"] for link in page.all("a") if not link.get("class")]
    assert [f"#{key}" for key in ids] == contents[:14]


def test_the_policy_allows_the_one_stylesheet_and_nothing_else(html: str, page: Document) -> None:
    style = re.search("<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv"))
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert not [name for name, attributes in page.elements if "style" in attributes]


def test_nothing_is_loaded_and_nothing_runs(html: str, page: Document) -> None:
    loaders = {
        "script",
        "link",
        "img",
        "iframe",
        "object",
        "embed",
        "image",
        "base",
        "form",
        "audio",
        "video",
    }
    assert not loaders & {name for name, _ in page.elements}
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "src"]
        assert (attributes.get("href") or "#").startswith("#")
    assert "http://" not in html
    assert "https://" not in html
    assert "url(" not in re.sub(r'clip-path="url\(#[\w-]+\)"', "", html)
    assert "@import" not in html


def test_headings_never_skip_a_level_and_tables_name_their_columns(page: Document) -> None:
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(attributes.get("scope") for attributes in page.all("th"))
    assert page.all("html")[0]["lang"] == "en-GB"
    assert {"header", "nav", "main", "footer"} <= {name for name, _ in page.elements}


def test_every_figure_tells_its_answer_to_those_who_cannot_see_it(page: Document) -> None:
    pictures = page.all("svg")
    figures = [picture for picture in pictures if picture.get("role") == "img"]
    assert len(figures) == 9
    assert all(re.search(r"\d", figure["aria-label"] or "") for figure in figures)
    assert all(picture.get("role") == "img" or picture.get("aria-hidden") == "true" for picture in pictures)
    assert any("Log-rank p < 0.001" in (figure["aria-label"] or "") for figure in figures)


def test_ids_are_unique_and_every_reference_has_its_target(html: str, page: Document) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    references = re.findall(r'(?:url\(#|href="#|aria-labelledby=")([\w-]+)', html)
    assert set(references) <= set(ids)


def test_figures_take_every_colour_from_the_stylesheet(html: str) -> None:
    assert not re.findall(r'(?:fill|stroke)="#', html)
    style = html.split("</style>")[0]
    for name in PAINTS:
        assert f".f-{name} " in style
        assert f".s-{name} " in style


def test_text_and_lines_stand_out_in_light_and_in_dark(html: str) -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    themes = re.findall(r":root \{(.*?)\}", html, re.DOTALL)
    assert len(themes) == 2
    for theme in themes:
        colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", theme))
        for name in ("ink", "muted", "link", "better", "worse", "unclear"):
            assert contrast(colours[name], colours["page"]) >= 4.5, name
            assert contrast(colours[name], colours["raised"]) >= 4.5, name
        for name in ("main", "base", "third", "fourth", "fifth", "sixth"):
            assert contrast(colours[name], colours["page"]) >= 3, name
        assert contrast(colours["ink"], colours["mark"]) >= 4.5


CLOSED = {"role", "modality", "certainty", "model", "baseline", "metric", "survival"}
"""Fields that hold a model's name, a number or one of a few words: not free text."""
KNOWN = {fake.MAIN, fake.CLINICAL, "report", "treat all"}


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
    if isinstance(value, list):
        return [poisoned(item) for item in value]
    return value


@pytest.mark.parametrize("field", ["evaluation", "explanation", "run"])
def test_text_from_input_is_never_markup(field: str) -> None:
    records = {"evaluation": fake.evaluation(), "explanation": fake.explanation(), "run": fake.run_record()}
    clean = Document(render_report(**records))  # type: ignore[arg-type]
    records[field] = poisoned(records[field])
    html = render_report(**records)  # type: ignore[arg-type]
    page = Document(html)
    assert "<script" not in html
    assert "<img" not in html
    assert "alert(1)" in page.text
    assert "{{ 7*7 }}" in page.text
    assert {name for name, _ in page.elements} <= {name for name, _ in clean.elements}


def test_names_like_markup_are_escaped_in_labels_and_legends_of_figures() -> None:
    groups = fake.risk_groups(fake.MAIN, 1.0)
    curves = [curve.model_copy(update={"group": "<script>alert(1)</script>"}) for curve in groups.curves]
    evaluation = changed(
        risk_groups=[groups.model_copy(update={"curves": curves})],
        models=[model.model_copy(update={"title": "<b>$x^2$</b> 模型"}) for model in fake.models()],
    )
    html = render_report(evaluation, None, fake.run_record())
    assert "<script" not in html
    assert "<b>" not in html
    labels = [
        figure["aria-label"] or "" for figure in Document(html).all("svg") if figure.get("role") == "img"
    ]
    assert any("<b>$x^2$</b> 模型 minus <b>$x^2$</b> 模型" in label for label in labels)
    assert any("of “<script>alert(1)</script>”" in label for label in labels)


def test_an_undefined_cell_shows_a_dash_and_its_reason(html: str) -> None:
    row = html[html.index('<th scope="row">Slides only') :].split("</tr>")[0]
    assert '<span class="none">–</span>' in row
    assert "fewer than 10 events" in row
    assert "None" not in row
    assert "nan" not in row.lower()


def test_a_cell_on_fewer_patients_says_so(page: Document) -> None:
    assert "345 of 480" in page.text
    assert "466 of 480" in page.text


def test_useless_survival_curves_are_marked(page: Document) -> None:
    assert page.text.count("no better than Kaplan-Meier") == 2


def test_the_same_records_give_the_same_bytes(html: str) -> None:
    assert render_report(fake.evaluation(), fake.explanation(), fake.run_record()) == html


def test_a_user_matplotlib_style_changes_nothing(html: str) -> None:
    with matplotlib.rc_context(
        {"font.size": 30, "axes.facecolor": "red", "lines.linewidth": 9, "svg.fonttype": "path"}
    ):
        assert render_report(fake.evaluation(), fake.explanation(), fake.run_record()) == html
        assert matplotlib.rcParams["font.size"] == 30


def test_long_quotes_and_many_cases_do_not_swell_the_page() -> None:
    explanation = fake.explanation()
    long_case = explanation.cases[0].model_copy(
        update={
            "statements": [explanation.cases[0].statements[0].model_copy(update={"quote": "word " * 100_000})]
            * 40
        }
    )
    explanation = explanation.model_copy(update={"cases": [long_case] * 24})
    groups = [
        fake.risk_groups(fake.MAIN, 1.0).model_copy(update={"model": model.name}) for model in fake.models()
    ]
    html = render_report(changed(risk_groups=groups), explanation, fake.run_record())
    assert len(html.encode()) < 1_500_000


def test_an_ordinary_report_is_under_a_megabyte_and_a_half(html: str) -> None:
    assert len(html.encode()) < 1_500_000


def test_a_run_with_nothing_but_a_table_still_makes_a_page_and_lists_what_is_not_there() -> None:
    page = rendered(
        changed(headline=None, differences=[], risk_groups=[], calibration=[], decision=None, time_auc=[], truth=None,
                definitions={}, warnings=[])
    )  # fmt: skip
    ids = [attributes["id"] for attributes in page.all("section")]
    assert ids == ["answer", "cohort", "folds", "models", "settings", "limits"]
    assert (
        "Not in this report: paired differences, Kaplan-Meier by risk group, calibration, AUC over time, decision curve, "
        "what drove the risk, single patients." in page.text
    )


@pytest.mark.parametrize(
    ("field", "value", "section"),
    [
        ("truth", None, "truth"),
        ("decision", None, "decision"),
        ("risk_groups", [], "groups"),
        ("time_auc", [], "auc"),
        ("calibration", [], "calibration"),
    ],
)
def test_what_was_not_computed_leaves_no_empty_section(field: str, value: Any, section: str) -> None:
    page = rendered(changed(**{field: value}), fake.explanation())
    assert section not in [attributes["id"] for attributes in page.all("section")]
    assert f"#{section}" not in [link["href"] for link in page.all("a")]


def test_one_fold_one_threshold_one_time_and_a_curve_of_an_unlisted_model_still_draw() -> None:
    evaluation = fake.evaluation()
    curve = DecisionCurve(
        horizon_months=36, thresholds=[0.2], net_benefit={fake.MAIN: [0.1], "treat all": [0.05]}
    )
    page = rendered(
        changed(
            folds=evaluation.folds[:1],
            decision=curve,
            time_auc=[
                TimeAUC(model=fake.MAIN, months=[12], auc=[None]),
                TimeAUC(model="x", months=[24], auc=[0.7]),
            ],
        )
    )
    assert "Only at 20%, KEMM with covariates has the highest net benefit" in page.text
    assert "KEMM with covariates: undefined at every time." in page.text
    assert "1 site-disjoint fold," in page.text


def test_kaplan_meier_is_read_out_where_every_group_is_still_large(page: Document) -> None:
    curve = fake.risk_groups(fake.MAIN, 1.0).curves[0]
    assert survival_at([1.0, 3.0], [0.9, 0.5], 0.5) == 1
    assert survival_at([1.0, 3.0], [0.9, 0.5], 1.0) == 0.9
    assert survival_at([1.0, 3.0], [0.9, 0.5], 7.0) == 0.5
    share = numbers.percent(survival_at(curve.months, curve.survival, 72))
    assert f"At 72 months, without the event: {share} of “high risk”" in page.text


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (numbers.decimal(-0.0004), "0.000"),
        (numbers.decimal(-0.031), "−0.031"),
        (numbers.signed(0.029), "+0.029"),
        (numbers.signed(0.0001), "0.000"),
        (numbers.p_value(0.0), "p < 0.001"),
        (numbers.p_value(0.0123), "p = 0.012"),
        (numbers.p_value(0.267), "p = 0.27"),
        (numbers.percent(0.001), "<1%"),
        (numbers.percent(0.999), ">99%"),
        (numbers.percent(1.0), "100%"),
        (numbers.months(24.0), "24 months"),
        (numbers.months(51.34), "51.3 months"),
        (numbers.count(12345), "12,345"),
        (numbers.duration(187.2), "3 min 7 s"),
        (numbers.duration(7860), "2 h 11 min"),
        (numbers.plural(1, "fold"), "1 fold"),
    ],
)
def test_numbers_are_written_for_people(written: str, expected: str) -> None:
    assert written == expected
