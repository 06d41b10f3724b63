"""Finds the background knowledge on a cancer type: shipped with kemm, or in a file of the study's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

from kemm.core.errors import Fault, IntegrityError, InvalidInput, UnknownName
from kemm.core.files import read_text, resolve
from kemm.modalities.background.reading import parse_background
from kemm.modalities.background.record import Background

PROMPT = "prompts/prognostic_background.md"
"""The question put to the language model that wrote the shipped files."""


_BRING_ONE = (
    "For a cancer type that is not shipped, bring a file of your own: `background.file: my-cancer.yaml` "
    "in study.yaml, with the fields code, name, author {kind, name, date}, reviewed_by_clinicians, "
    "slides {high, low} and genes {high, low} (docs/background.md shows one)."
)


class CancerType(NamedTuple):
    """A cancer type with shipped background knowledge."""

    code: str
    name: str
    aliases: tuple[str, ...]


class UnknownCancerType(UnknownName):
    """No shipped background knowledge answers to this name; says how to bring one's own."""

    def __init__(self, name: str, known: Iterable[str], codes: Iterable[str]) -> None:
        names = list(known)
        similar = get_close_matches(name.lower(), [candidate.lower() for candidate in names], n=1)
        super().__init__("cancer type", name, names if similar else codes)
        self.args = (f"{self.args[0]} {_BRING_ONE}",)


def load_background(cancer_type: str, *, file: Path | None = None) -> Background:
    """The background knowledge on a cancer type.

    `cancer_type` is a TCGA code ("KIRC", "TCGA-KIRC"), a full name or an alias ("ccRCC"), in any
    case. `file`, where given, is read instead of what is shipped, and must be about that type.

    Raises:
        UnknownCancerType: Nothing is shipped under that name, and no file is given.
        InvalidInput: The file is not a background, or is about another cancer type.
        InputError: The file cannot be read as text.
        IntegrityError: A shipped file and its prompt no longer belong together.
    """
    if file is not None:
        return _load_own(cancer_type, file)
    code = _find(cancer_type)
    if code is None:
        types = cancer_types()
        known = [name for one in types for name in (one.code, one.name, *one.aliases)]
        raise UnknownCancerType(cancer_type, known, [one.code for one in types])
    return _load_shipped(code)


def cancer_types() -> tuple[CancerType, ...]:
    """Every cancer type that has shipped background knowledge, sorted by code."""
    shipped = (_load_shipped(code) for code in _shipped_codes())
    return tuple(CancerType(one.code, one.name, one.aliases) for one in shipped)


def background_prompt(cancer_type: str) -> str:
    """The question that was put to the author, for any cancer type: to have one's own file written."""
    return prompt_template().replace("{cancer_type}", cancer_type)


def prompt_template() -> str:
    """The question with its place for the cancer type; its hash is kept with every answer."""
    return (_package() / PROMPT).read_text(encoding="utf-8")


def find_cancer_type(name: str) -> CancerType | None:
    """The shipped cancer type of that code, name or alias, if there is one."""
    code = _find(name)
    return next((one for one in cancer_types() if one.code == code), None) if code else None


def _package() -> Traversable:
    return files("kemm.modalities.background")


@cache
def _shipped_codes() -> tuple[str, ...]:
    names = (entry.name for entry in (_package() / "data").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


@cache
def _load_shipped(code: str) -> Background:
    background = parse_background(
        (_package() / "data" / f"{code}.yaml").read_text(encoding="utf-8"), f"{code}.yaml (shipped with kemm)"
    )
    if background.prompt is not None:
        prompt = (_package() / background.prompt).read_text(encoding="utf-8")
        if _sha256(prompt) != background.prompt_sha256:
            raise IntegrityError(
                f"the shipped background knowledge on {code} was written for another prompt than "
                f"{background.prompt} now holds. Install kemm again; a changed prompt needs its answers anew."
            )
    return background


def _load_own(cancer_type: str, file: Path) -> Background:
    background = parse_background(read_text(file, expected="a background file, YAML in UTF-8"), str(file))
    code = _find(cancer_type)
    asked = {_plain(cancer_type)} | (_plain_names(_load_shipped(code)) if code else set())
    faults = []
    if not asked & _plain_names(background):
        faults.append(
            Fault(
                file=str(file),
                problem=f"the file is about {background.code} ({background.name}), not about {cancer_type!r}",
                remedy=f"Name the file for {cancer_type!r}, or add {cancer_type!r} to its aliases.",
            )
        )
    if background.prompt is not None:
        prompt = read_text(resolve(background.prompt, file.parent))
        if _sha256(prompt) != background.prompt_sha256:
            faults.append(
                Fault(
                    file=str(file),
                    problem=f"prompt_sha256: {background.prompt} has another hash, {_sha256(prompt)}",
                    remedy="Restore the prompt, or put its hash here if the statements answer it.",
                )
            )
    if faults:
        raise InvalidInput(faults)
    return background


def _find(cancer_type: str) -> str | None:
    """The code of the shipped type of that code, name or alias."""
    wanted = _plain(cancer_type)
    # A code is found by the name of its file: the other 32 need not be opened.
    for code in _shipped_codes():
        if _plain(code) == wanted:
            return code
    for code in _shipped_codes():
        if wanted in _plain_names(_load_shipped(code)):
            return code
    return None


def _plain_names(background: Background) -> set[str]:
    return {_plain(name) for name in (background.code, background.name, *background.aliases)}


def _plain(name: str) -> str:
    """A name without case, punctuation, British "ou" and the prefix of TCGA project names."""
    words = re.sub(r"[\W_]+", " ", name.casefold()).strip().replace("tumour", "tumor")
    return words.removeprefix("tcga ")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
