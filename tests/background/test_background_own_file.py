"""A study's own background file: what it may hold, and how each fault is named."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from kemm.core.errors import InputError, InvalidInput, PolicyError
from kemm.modalities.background import cancer_types, load_background

GOOD = """\
code: MM
name: Multiple myeloma
aliases: [plasma cell myeloma]
author: {kind: pathologist, name: A. Reader, date: 2026-01-31}
reviewed_by_clinicians: true
slides:
  high:
    - Plasmablastic morphology with large nucleoli marks aggressive myeloma.
  low:
    - Mature plasma cells with clumped chromatin suggest a slower course.
genes:
  high:
    - "Deletion of 17p with TP53 loss: short survival."
  low:
    - Hyperdiploidy without high-risk translocation is favourable.
"""
DOCS = Path(__file__).parents[2] / "docs" / "background.md"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return tmp_path / "myeloma.yaml"


def faults_of(path: Path, text: str, cancer_type: str = "MM") -> str:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput) as caught:
        load_background(cancer_type, file=path)
    message = str(caught.value)
    assert str(path) in message
    return message


@pytest.mark.parametrize("asked", ["MM", "mm", "Multiple Myeloma", "plasma cell myeloma"])
def test_a_file_of_ones_own_serves_a_type_that_is_not_shipped(own: Path, asked: str) -> None:
    own.write_text(GOOD)
    background = load_background(asked, file=own)
    assert background.code == "MM"
    assert [s.text for s in background.statements("slides", "high")] == [
        "Plasmablastic morphology with large nucleoli marks aggressive myeloma."
    ]
    assert background.statements("genes", "high")[0].kind == "background genes high risk"
    assert background.warning is None
    assert background.describe() == (
        "4 statements of background knowledge on Multiple myeloma (MM), "
        "written by A. Reader (pathologist) on 2026-01-31, reviewed by clinicians."
    )


def test_a_file_of_ones_own_replaces_a_shipped_type_under_any_of_its_names(own: Path) -> None:
    own.write_text(GOOD.replace("code: MM", "code: KIRC").replace("Multiple myeloma", "Our kidney text"))
    assert load_background("ccRCC", file=own).name == "Our kidney text"
    assert load_background("ccRCC").name == "Kidney renal clear cell carcinoma"


def test_a_modality_may_be_left_out_and_then_has_no_statements(own: Path) -> None:
    own.write_text(GOOD[: GOOD.index("genes:")])
    background = load_background("MM", file=own)
    assert len(background.statements("slides", "low")) == 1
    assert background.statements("genes", "high") == ()


def test_line_breaks_inside_a_statement_become_spaces(own: Path) -> None:
    own.write_text(GOOD.replace("morphology with large", "morphology\n      with large"))
    text = load_background("MM", file=own).statements("slides", "high")[0].text
    assert text == "Plasmablastic morphology with large nucleoli marks aggressive myeloma."


def test_all_faults_of_a_file_are_named_at_once_with_their_fields(own: Path) -> None:
    text = (
        GOOD.replace("reviewed_by_clinicians: true", "reviewd_by_clinicians: true")
        .replace("date: 2026-01-31", "date: yesterday")
        .replace("  low:\n    - Mature", "  low: Mature")
        .replace('"Deletion of 17p with TP53 loss: short survival."', "TP53 loss: short survival.")
    )
    message = faults_of(own, text)
    assert "5 faults in the input" in message
    assert "author.date: a date is needed. Write it as year-month-day, such as 2026-01-31." in message
    assert "reviewed_by_clinicians: the field is missing. Add it" in message
    assert "reviewd_by_clinicians: there is no such field" in message
    assert "did you mean 'reviewed_by_clinicians'?" in message
    assert "slides.low: a list of sentences is needed" in message
    assert "genes.high, statement 1: text is needed, not a mapping" in message


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("code: MM", "code: 001", "code: text is needed, not a number. Put it in quotes"),
        ("high:\n    - Plasmablastic", "hgh:\n    - Plasmablastic", "slides.hgh: there is no such field"),
        (
            "    - Mature plasma cells with clumped chromatin suggest a slower course.\n",
            "    []\n",
            "slides.low: at least one statement is needed",
        ),
        (
            "- Mature plasma cells with clumped chromatin suggest a slower course.",
            "- ' '",
            "slides.low, statement 1: it is empty",
        ),
        (
            "Mature plasma cells with clumped",
            "Mature\u200b plasma cells with clumped",
            "slides.low, statement 1: it has an invisible character",
        ),
        (
            "Mature plasma cells",
            "Mature plasma cells " * 40,
            "characters, more than 400; split it",
        ),
        (
            "Mature plasma cells with clumped chromatin suggest a slower course.",
            "Hyperdiploidy without high-risk translocation is favourable.",
            "this statement is written more than once: 'hyperdiploidy",
        ),
        (
            "high:\n    - Plasmablastic",
            "high:\n    -\n    - Plasmablastic",
            "statement 1: text is needed, not nothing",
        ),
        (
            "author: {kind: pathologist, name: A. Reader, date: 2026-01-31}",
            "author: A. Reader",
            "author: fields of its own are needed, not one piece of text",
        ),
        ("author:", "prompt: question.md\nauthor:", "prompt and prompt_sha256 go together"),
        ("author:", "prompt_sha256: abc\nauthor:", "prompt_sha256: String should match pattern"),
    ],
)
def test_each_wrong_field_is_named_with_what_is_wrong(own: Path, old: str, new: str, expected: str) -> None:
    assert GOOD.count(old) == 1
    assert expected in faults_of(own, GOOD.replace(old, new))


def test_a_file_without_any_statement_is_refused(own: Path) -> None:
    assert "give slides, genes or both" in faults_of(own, GOOD[: GOOD.index("slides:")])


def test_a_field_written_twice_is_refused_for_yaml_would_drop_the_first(own: Path) -> None:
    message = faults_of(own, GOOD + GOOD[GOOD.index("genes:") :])
    assert "line 16: the field 'genes' is written twice" in message


def test_a_file_about_another_cancer_is_refused(own: Path) -> None:
    message = faults_of(own, GOOD, cancer_type="KIRC")
    assert "the file is about MM (Multiple myeloma), not about 'KIRC'" in message
    assert "add 'KIRC' to its aliases" in message


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.mkdir", "!!python/object/apply:os.system"])
def test_a_tag_that_would_run_code_is_refused_and_nothing_is_run(own: Path, tmp_path: Path, tag: str) -> None:
    trace = tmp_path / "trace"
    message = faults_of(own, GOOD.replace("code: MM", f"code: {tag} ['mkdir {trace}']"))
    assert f"line 1: the YAML tag 'tag:yaml.org,2002:{tag.removeprefix('!!')}' is refused" in message
    assert "nothing in it is ever run" in message
    assert not trace.exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a list\n", "a background file is a mapping of fields, but this holds a list"),
        ("# only a comment\n", "a background file is a mapping of fields, but this holds nothing"),
        ("code: [MM\n", "line 2: did not find expected ',' or ']'|line 2: expected ',' or ']'"),
        ("code: MM: myeloma\n", "line 1: mapping values are not allowed"),
        ("date: 2026-13-45\n", "not readable as YAML .month must be in 1..12"),
        ("[" * 50_000, "exceeded maximum nesting depth|recursion depth"),
        ("a: &a {b: c}\nd: {<<: *a}\n", r"line 2: a merge key \(<<\) has no place here"),
        ("code: " + "M" * 2**20 + "\n", "characters are more than the 1,048,576 a background may have"),
    ],
)
def test_text_that_is_no_background_says_where_and_why(own: Path, text: str, expected: str) -> None:
    assert re.search(expected, faults_of(own, text))


def test_a_missing_file_is_named(own: Path) -> None:
    with pytest.raises(InputError, match=r"myeloma\.yaml: there is no such file"):
        load_background("MM", file=own)


def test_a_picture_is_not_taken_for_a_background(own: Path) -> None:
    own.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    with pytest.raises(InputError, match="expected a background file, YAML in UTF-8, but this is a PNG"):
        load_background("MM", file=own)


def test_the_prompt_beside_an_own_file_is_checked_against_its_hash(own: Path) -> None:
    question = own.with_name("question.md")
    question.write_text("Which features mark high risk?\n")
    sha256 = hashlib.sha256(question.read_bytes()).hexdigest()
    own.write_text(f"prompt: question.md\nprompt_sha256: {sha256}\n" + GOOD)
    assert load_background("MM", file=own).prompt_sha256 == sha256
    question.write_text("Another question.\n")
    with pytest.raises(InvalidInput, match=r"prompt_sha256: question\.md has another hash"):
        load_background("MM", file=own)


def test_a_prompt_outside_the_folder_of_the_file_is_not_opened(own: Path) -> None:
    own.write_text(f"prompt: ../../secret.md\nprompt_sha256: {'a' * 64}\n" + GOOD)
    with pytest.raises(PolicyError, match="points outside"):
        load_background("MM", file=own)


def test_the_file_that_the_documentation_shows_loads(own: Path) -> None:
    blocks = re.findall(r"```yaml\n(code: .*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    own.write_text(blocks[0], encoding="utf-8")
    assert load_background("multiple myeloma", file=own).code == "MM"


def test_the_documentation_lists_what_is_shipped() -> None:
    rows = re.findall(r"^\| ([A-Z]{2,4}) \| (.+?) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == {one.code: one.name for one in cancer_types()}
