"""Pathology reports of made-up tumours, in the four forms in which laboratories write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kemm.demo import phrases
from kemm.demo.hazard import LYMPHOVASCULAR, NECROSIS
from kemm.demo.tumours import Tumour

ALWAYS_STATED = frozenset({LYMPHOVASCULAR, NECROSIS, "grade"})
STATED_SHARE = 0.85
"""Of reports, for each of the other findings: not every laboratory speaks of everything."""


@dataclass(frozen=True, kw_only=True)
class Patient:
    """What the requisition says, beside the tumour."""

    age: int
    male: bool
    tumour: Tumour


class Writer:
    """Chooses the words of one report."""

    def __init__(self, patient: Patient, random: np.random.Generator) -> None:
        self.patient = patient
        self.tumour = patient.tumour
        self.random = random
        self.present: Mapping[str, bool] = {
            LYMPHOVASCULAR: self.tumour.lymphovascular_invasion,
            NECROSIS: self.tumour.necrosis,
            "sarcomatoid": self.tumour.sarcomatoid,
            "extrarenal_extension": self.tumour.fat_invasion,
            "renal_vein_invasion": self.tumour.vein_invasion,
            "margins": self.tumour.margin_involved,
            "multifocal": self.tumour.multifocal,
        }
        self.stated = [
            name for name in self.present if name in ALWAYS_STATED or random.random() < STATED_SHARE
        ]

    def one_of(self, wordings: Sequence[str]) -> str:
        """One of several wordings."""
        return wordings[int(self.random.integers(len(wordings)))]

    def some_of(self, wordings: Sequence[str], fewest: int, most: int) -> list[str]:
        """A few of them, each once."""
        chosen = self.random.permutation(len(wordings))[: self.random.integers(fewest, most + 1)]
        return [wordings[place] for place in chosen]

    def sentence(self, finding: str) -> str:
        """A finding as a sentence."""
        wording = phrases.FINDINGS[finding]
        text = self.one_of(wording.present if self.present[finding] else wording.absent)
        return text.format(percent=5 * int(self.random.integers(1, 9)))

    def labelled(self, finding: str) -> tuple[str, str]:
        """A finding as a label and its value."""
        label = self.one_of(phrases.FINDINGS[finding].labels)
        if finding == "margins":
            return label, self.one_of(
                ("Positive",) if self.present[finding] else ("Negative", "Free of tumor")
            )
        return label, self.one_of(phrases.YES if self.present[finding] else phrases.NO)

    @property
    def size(self) -> str:
        """The three dimensions: "5.2 x 4.8 x 4.1"."""
        return " x ".join(f"{side:.1f}" for side in self.tumour.size_cm)

    def grade(self) -> str:
        """The grade as a phrase."""
        return self.one_of(phrases.GRADES).format(
            number=self.tumour.grade, roman=phrases.ROMAN[self.tumour.grade - 1]
        )

    @property
    def procedure(self) -> str:
        """What was taken out."""
        return f"{self.tumour.side} {'partial' if self.tumour.partial else 'radical'} nephrectomy"

    def history(self) -> str:
        """The clinical line of the requisition."""
        return self.one_of(phrases.HISTORIES).format(
            age=self.patient.age,
            person="man" if self.patient.male else "woman",
            side=self.tumour.side,
            Side=self.tumour.side.capitalize(),
        )

    @property
    def category(self) -> str:
        """The pTNM as printed at the end: "pT1b pNX pMX"."""
        return f"p{self.tumour.t} p{self.tumour.n} pMX"

    @property
    def nodes(self) -> str:
        """The lymph nodes in a sentence; empty where there were none."""
        examined, positive = self.tumour.nodes_examined, self.tumour.nodes_positive
        if not examined:
            return ""
        nodes = "lymph node" if examined == 1 else "lymph nodes"
        if positive:
            return f"Metastatic carcinoma in {positive} of {examined} hilar {nodes} ({positive}/{examined})."
        return f"{examined} hilar {nodes}, negative for carcinoma (0/{examined})."

    def gross(self) -> list[str]:
        """The specimen as it came, with measures that are not the tumour's."""
        rim = self.random.uniform(0.4, 1.2, 3) if self.tumour.partial else self.random.uniform(1.0, 6.0, 3)
        extent = (
            np.maximum(self.tumour.size_cm, (0, 0, 0) if self.tumour.partial else (8.0, 4.0, 3.0)) + rim
        ).round(1)
        weight = round(25 + 0.7 * float(extent.prod()) * self.random.uniform(0.7, 1.1))
        last = int(self.random.integers(5, 12))
        return [
            f"Received is a {self.procedure} specimen of {weight} g, {' x '.join(map(str, extent))} cm in extent.",
            self.one_of(phrases.SIZES).format(size=self.size, pole=self.tumour.pole),
            self.one_of(phrases.CUT_SURFACES),
            self.one_of(phrases.BLOCKS).format(last=last, next=last + 1),
        ]

    def table(self) -> list[tuple[str, str]]:
        """All that is stated as label and value, in the order of a protocol."""
        tumour = self.tumour
        rows = [
            ("Procedure", self.procedure.capitalize()),
            ("Specimen laterality", tumour.side.capitalize()),
            ("Tumor site", tumour.pole.capitalize()),
            ("Tumor size", f"{self.size} cm"),
            ("Histologic type", self.one_of(phrases.TYPES).capitalize()),
            (
                self.one_of(phrases.GRADE_LABELS),
                self.one_of(("G{}", "Grade {}", "{} of 4")).format(tumour.grade),
            ),
            *(self.labelled(finding) for finding in self.stated),
        ]
        if tumour.nodes_examined:
            rows.append(("Lymph nodes examined", str(tumour.nodes_examined)))
            rows.append(("Lymph nodes involved", str(tumour.nodes_positive)))
        rows.append(("Pathologic stage", self.category))
        return rows


def write_prose(writer: Writer) -> str:
    """Paragraphs, as a letter to the surgeon."""
    findings = [writer.sentence(finding) for finding in writer.random.permutation(writer.stated)]
    return "\n\n".join(
        [
            writer.history(),
            " ".join(writer.gross()),
            " ".join(
                [
                    writer.one_of(phrases.MICROSCOPIES),
                    f"The lesion is a {writer.one_of(phrases.TYPES)}, {writer.grade()}.",
                    *findings,
                    *writer.some_of(phrases.NEUTRAL, 1, 4),
                ]
            ),
            " ".join(
                filter(
                    None,
                    [writer.nodes, f"Pathologic stage {writer.category}.", writer.one_of(phrases.REMARKS)],
                )
            ),
        ]
    )


def write_checklist(writer: Writer) -> str:
    """A diagnosis in a line, then one finding a line."""
    mark = writer.one_of(("- ", "* ", ""))
    lines = [f"{mark}{label}: {value}" for label, value in writer.table()]
    return "\n".join(
        [
            f"Diagnosis: {writer.one_of(phrases.TYPES)}, {writer.tumour.side} kidney.",
            "",
            "Renal cancer checklist",
            *lines,
            "",
            "Comment: " + " ".join([*writer.some_of(phrases.NEUTRAL, 1, 3), writer.one_of(phrases.REMARKS)]),
            "Gross: " + " ".join(writer.gross()),
        ]
    )


def write_table(writer: Writer) -> str:
    """A synoptic table in two columns, as laboratory systems print it."""
    separator = writer.one_of((" | ", ":   "))
    table = writer.table()
    width = max(len(label) for label, _ in table) if "|" in separator else 0
    rows = [f"{label.ljust(width)}{separator}{value}" for label, value in table]
    return "\n".join(
        [
            "SYNOPTIC REPORT - KIDNEY, NEPHRECTOMY",
            *rows,
            "",
            "GROSS DESCRIPTION:",
            *writer.gross(),
            "",
            "CLINICAL HISTORY:",
            writer.history(),
            *writer.some_of(phrases.NEUTRAL, 0, 2),
        ]
    )


def write_dictation(writer: Writer) -> str:
    """Sections under headings; the diagnosis in capitals, point by point."""
    points = [
        f"{writer.tumour.side} kidney, {writer.procedure}:",
        f"  - {writer.one_of(phrases.TYPES)}, {writer.grade()}.",
        f"  - tumor size {writer.size} cm.",
        *(f"  - {writer.sentence(finding)}" for finding in writer.stated),
        *([f"  - {writer.nodes}"] if writer.nodes else []),
        f"  - {writer.category}.",
    ]
    return "\n".join(
        [
            "CLINICAL HISTORY:",
            writer.history(),
            "",
            "GROSS DESCRIPTION:",
            " ".join(writer.gross()),
            "",
            "MICROSCOPIC DESCRIPTION:",
            " ".join([writer.one_of(phrases.MICROSCOPIES), *writer.some_of(phrases.NEUTRAL, 1, 3)]),
            "",
            "FINAL DIAGNOSIS:",
            # Only the p of pT stays small: "PT1B" is how the capitals of a typist look.
            *(point.upper() for point in points),
            "",
            f"COMMENT: {writer.one_of(phrases.REMARKS)}",
        ]
    )


STYLES: Mapping[str, Callable[[Writer], str]] = {
    "prose": write_prose,
    "checklist": write_checklist,
    "table": write_table,
    "dictation": write_dictation,
}
