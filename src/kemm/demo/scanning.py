"""What a scanner and a registry do to a report: headers full of identifiers, broken lines, misread letters."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Habit:
    """How one hospital's reports look."""

    styles: Mapping[str, float]
    """Forms of report by how often they are used; shares that add up to 1."""
    misread: float = 0.0
    """Misread letters and digits, for each character of the text."""
    columns: int | None = None
    """Lines are broken at this width."""
    bars: float = 0.0
    """Share of lines with a stray bar, from the edge of a form."""
    dotted_lines: bool = False
    """Ends of lines come out as full stops."""
    british: bool = False


# A different mix at each site: what tells the hospital must not be taken for what tells the outcome.
HABITS: Sequence[Habit] = (
    Habit(styles={"table": 0.6, "prose": 0.4}, misread=0.0015, columns=80),
    Habit(styles={"dictation": 0.8, "checklist": 0.2}, misread=0.003, columns=72, bars=0.04),
    Habit(styles={"checklist": 0.7, "prose": 0.3}),
    Habit(styles={"prose": 1.0}, misread=0.0025, columns=66, dotted_lines=True),
    Habit(styles={"table": 0.5, "dictation": 0.5}, misread=0.003, bars=0.08),
    Habit(styles={"dictation": 0.5, "prose": 0.5}, misread=0.0015, columns=90, british=True),
    Habit(styles={"checklist": 1.0}, misread=0.004, columns=76),
    Habit(styles={"prose": 0.5, "table": 0.5}, misread=0.001),
    Habit(styles={"dictation": 1.0}, misread=0.006, columns=60, bars=0.03),
    Habit(styles={"checklist": 0.5, "table": 0.5}, misread=0.003, columns=84, bars=0.05),
)

HOSPITALS = (
    "Larkmoor General Hospital",
    "Saint Orban Medical Center",
    "Westhollow University Hospital",
    "Fernbridge Clinic",
    "Quillpoint Regional Hospital",
    "Tarnside Infirmary",
    "Dunmere Community Hospital",
    "Alderquay Cancer Center",
    "Mossgate Memorial Hospital",
    "Copperfell Medical Center",
)
DOCTORS = (
    "Dr. H. Ambleford",
    "Dr. R. Castellow",
    "Dr. Imre Toldane",
    "Dr. P. Winterbourne",
    "Dr. Sanna Okelund",
)

_ALIKE = {"l": "1", "1": "l", "O": "0", "0": "O", "i": "l", "e": "c", "m": "rn", "h": "b", "S": "5", "t": "f"}


def header(barcode: str, hospital: str, random: np.random.Generator) -> str:
    """Made-up identifiers of every kind that must be hidden: barcode, UUID, numbers, dates, people, places."""
    digits = random.integers(0, 16, 32)
    letters = "".join(f"{digit:X}" for digit in digits)
    uuid = "-".join([letters[:8], letters[8:12], letters[12:16], letters[16:20], letters[20:]])
    year, month, day = (int(random.integers(*span)) for span in ((2001, 2013), (1, 13), (1, 26)))
    doctor = DOCTORS[int(random.integers(len(DOCTORS)))]
    lines = [
        hospital,
        f"UUID:{uuid}",
        f"{barcode}-01A-PR",
        f"Accession No: S{year % 100:02d}-{random.integers(1000, 99999)}   MRN: {random.integers(10**6, 10**7)}",
        f"Collected: {month:02d}/{day:02d}/{year}   Reported: {month:02d}/{day + 3:02d}/{year}",
        f"Submitting physician: {doctor}",
    ]
    kept = [line for line in lines if random.random() < 0.75]
    return "\n".join(random.permutation(kept)) if kept else lines[1]


def scan(text: str, habit: Habit, random: np.random.Generator) -> str:
    """The report as it comes out of the scanner."""
    if habit.british:
        for american, british in (
            ("tumor", "tumour"),
            ("Tumor", "Tumour"),
            ("TUMOR", "TUMOUR"),
            ("hemorr", "haemorr"),
        ):
            text = text.replace(american, british)
    lines = text.split("\n")
    if habit.columns is not None:
        lines = [part for line in lines for part in textwrap.wrap(line, habit.columns) or [""]]
    if habit.bars:
        lines = [_with_bar(line, random) if line and random.random() < habit.bars else line for line in lines]
    if habit.dotted_lines:
        text = ". ".join(line.rstrip(".") for line in lines if line)
    else:
        text = "\n".join(lines)
    return _misread(text, habit.misread, random) + "\n"


def _with_bar(line: str, random: np.random.Generator) -> str:
    return f"| {line}" if random.random() < 0.5 else f"{line} |"


def _misread(text: str, rate: float, random: np.random.Generator) -> str:
    letters = list(text)
    places = {seen: [at for at, letter in enumerate(letters) if letter == seen] for seen in _ALIKE}
    confusable = [seen for seen in _ALIKE if places[seen]]
    # First the letter, then the place: else nearly all misreadings would be of the commonest letter.
    for _ in range(round(rate * len(letters))):
        seen = confusable[int(random.integers(len(confusable)))]
        letters[places[seen][int(random.integers(len(places[seen])))]] = _ALIKE[seen]
    return "".join(letters)
