"""Finding a cancer type by the names people use, and saying what to do where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from pydantic import ValidationError

from kemm.core.errors import IntegrityError, UnknownName
from kemm.modalities.background import load_background, loader


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ("KIRC", "KIRC"),
        ("kirc", "KIRC"),
        (" TCGA-KIRC ", "KIRC"),
        ("ccRCC", "KIRC"),
        ("Kidney Renal Clear Cell Carcinoma", "KIRC"),
        ("clear-cell renal cell carcinoma", "KIRC"),
        ("breast cancer", "BRCA"),
        ("HCC", "LIHC"),
        ("acute myeloid leukaemia", "LAML"),
        ("Acute Myeloid Leukemia", "LAML"),
        ("testicular germ cell tumour", "TGCT"),
        ("oesophageal carcinoma", "ESCA"),
        ("endometrial cancer", "UCEC"),
        ("head-and-neck squamous cell carcinoma", "HNSC"),
    ],
)
def test_a_cancer_type_is_found_by_code_name_or_alias_in_any_case(asked: str, code: str) -> None:
    assert load_background(asked).code == code


def test_a_misspelt_cancer_type_gets_the_nearest_name_and_the_way_out() -> None:
    with pytest.raises(UnknownName) as caught:
        load_background("glioblastome")
    message = str(caught.value)
    assert "no cancer type is called 'glioblastome'; did you mean 'glioblastoma'?" in message
    assert "`background.file: my-cancer.yaml` in study.yaml" in message
    assert "slides {high, low} and genes {high, low} (docs/background.md shows one)" in message
    assert caught.value.exit_code == 2


def test_a_name_like_no_other_gets_the_list_of_codes() -> None:
    with pytest.raises(UnknownName, match=r"no cancer type is called 'xyzzy'; choose from: ACC, BLCA, BRCA"):
        load_background("xyzzy")


@pytest.mark.parametrize("asked", ["", "  ", "../data/KIRC", "KIRC.yaml", "/etc/passwd", "TCGA-"])
def test_a_name_is_never_taken_for_a_path(asked: str) -> None:
    with pytest.raises(UnknownName):
        load_background(asked)


@pytest.mark.parametrize("asked", ["kidney cancer", "lung cancer", "colorectal cancer", "RCC"])
def test_a_name_that_two_cancer_types_share_belongs_to_neither(asked: str) -> None:
    with pytest.raises(UnknownName):
        load_background(asked)


def test_identities_differ_between_types_and_stay_between_processes() -> None:
    kirc, luad = load_background("KIRC"), load_background("LUAD")
    assert kirc.identity != luad.identity
    command = "from kemm.modalities.background import load_background as l; print(l('KIRC').identity)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"}
    answer = subprocess.run(
        [sys.executable, "-c", command], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == kirc.identity


def test_identity_changes_with_a_word_with_the_prompt_and_with_the_author() -> None:
    content = load_background("KIRC").model_dump()
    identity = load_background("KIRC").identity
    kind = type(load_background("KIRC"))
    word = content | {"slides": {"high": ["Necrosis marks high risk."], "low": ["None marks low risk."]}}
    prompt = content | {"prompt_sha256": "0" * 64}
    author = content | {"author": content["author"] | {"name": "Someone else"}}
    changed = [kind.model_validate(one).identity for one in (word, prompt, author)]
    assert len({identity, *changed}) == 4


def test_a_background_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_background("KIRC").code = "LUAD"  # type: ignore[misc]


def test_a_shipped_file_whose_prompt_was_edited_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = files("kemm.modalities.background")
    for folder, name in (("data", "KIRC.yaml"), ("prompts", "prognostic_background.md")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text((shipped / folder / name).read_text(encoding="utf-8"))
    with (tmp_path / "prompts" / "prognostic_background.md").open("a") as prompt:
        prompt.write("One more wish.\n")
    monkeypatch.setattr(loader, "_package", lambda: tmp_path)
    loader._load_shipped.cache_clear()
    with pytest.raises(IntegrityError, match="on KIRC was written for another prompt"):
        loader._load_shipped("KIRC")
    loader._load_shipped.cache_clear()


def test_windows_line_ends_in_the_prompt_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = files("kemm.modalities.background")
    for folder, name in (("data", "KIRC.yaml"), ("prompts", "prognostic_background.md")):
        (tmp_path / folder).mkdir()
        text = (shipped / folder / name).read_text(encoding="utf-8")
        (tmp_path / folder / name).write_bytes(text.replace("\n", "\r\n").encode())
    identity = load_background("KIRC").identity
    monkeypatch.setattr(loader, "_package", lambda: tmp_path)
    loader._load_shipped.cache_clear()
    assert loader._load_shipped("KIRC").identity == identity
    loader._load_shipped.cache_clear()


def test_one_type_is_read_without_opening_the_other_files(monkeypatch: pytest.MonkeyPatch) -> None:
    loader._load_shipped.cache_clear()
    opened: list[str] = []
    parse = loader.parse_background

    def counting(text: str, place: str) -> object:
        opened.append(place)
        return parse(text, place)

    monkeypatch.setattr(loader, "parse_background", counting)
    load_background("LUAD")
    load_background("LUAD")
    assert opened == ["LUAD.yaml (shipped with kemm)"]
