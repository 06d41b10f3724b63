"""What pathologists write: several wordings of each finding, as a sentence and as the value of a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kemm.demo.hazard import LYMPHOVASCULAR, NECROSIS

ROMAN = ("I", "II", "III", "IV")


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How a finding that is there or not is put."""

    labels: Sequence[str]
    """In checklists and tables."""
    present: Sequence[str]
    """Sentences; {percent} is filled in."""
    absent: Sequence[str]


YES = ("Present", "Identified", "Yes", "Present, focal")
NO = ("Absent", "Not identified", "No", "Not present")

FINDINGS: Mapping[str, Wording] = {
    LYMPHOVASCULAR: Wording(
        labels=("Lymphovascular invasion", "Angiolymphatic invasion", "Lymph-vascular invasion", "LVI"),
        present=(
            "Lymphovascular invasion is identified.",
            "There is angiolymphatic invasion at the edge of the tumor.",
            "Several foci of lymphovascular invasion are noted.",
            "Tumor cells lie within lymphovascular spaces.",
            "Small vessel invasion is present.",
        ),
        absent=(
            "No lymphovascular invasion is identified.",
            "Lymphovascular invasion is not seen.",
            "There is no evidence of angiolymphatic invasion.",
            "Sections are negative for lymphovascular invasion.",
        ),
    ),
    NECROSIS: Wording(
        labels=("Necrosis", "Tumor necrosis", "Coagulative necrosis"),
        present=(
            "Coagulative necrosis makes up about {percent}% of the tumor.",
            "Tumor necrosis is present.",
            "Areas of geographic necrosis are seen.",
            "Microscopic tumor necrosis is noted in several sections.",
        ),
        absent=(
            "No tumor necrosis is identified.",
            "Necrosis is absent.",
            "The tumor shows no necrosis.",
            "There is no coagulative necrosis.",
        ),
    ),
    "sarcomatoid": Wording(
        labels=("Sarcomatoid features", "Sarcomatoid differentiation"),
        present=(
            "Sarcomatoid differentiation is present in {percent}% of the tumor.",
            "Areas with sarcomatoid features are seen.",
        ),
        absent=("No sarcomatoid differentiation is seen.", "Sarcomatoid features are not identified."),
    ),
    "extrarenal_extension": Wording(
        labels=("Perinephric fat invasion", "Perirenal fat invasion", "Extracapsular extension"),
        present=(
            "Tumor extends into the perinephric fat.",
            "The carcinoma invades through the capsule into perinephric adipose tissue.",
            "There is invasion of the renal sinus fat.",
        ),
        absent=(
            "The perinephric fat is free of tumor.",
            "No invasion of the perinephric fat is seen.",
            "There is no extracapsular extension.",
        ),
    ),
    "renal_vein_invasion": Wording(
        labels=("Renal vein invasion", "Renal vein involvement"),
        present=(
            "Tumor extends into the renal vein.",
            "Renal vein invasion is present.",
            "The renal vein is involved by tumor.",
        ),
        absent=(
            "The renal vein is free of tumor.",
            "No renal vein invasion is identified.",
            "Renal vein invasion is not present.",
        ),
    ),
    "margins": Wording(
        labels=("Surgical margins", "Margins", "Resection margins"),
        present=(
            "Carcinoma is present at the inked resection margin.",
            "The surgical margin is positive for tumor.",
        ),
        absent=(
            "The surgical margins are free of tumor.",
            "All resection margins are negative.",
            "Margins of resection are uninvolved by carcinoma.",
        ),
    ),
    "multifocal": Wording(
        labels=("Multifocality",),
        present=("The tumor is multifocal.", "Multifocal tumor is found in the specimen."),
        absent=("The tumor is unifocal.", "A single tumor mass is found."),
    ),
}

TYPES = (
    "clear cell renal cell carcinoma",
    "renal cell carcinoma, clear cell type",
    "renal cell carcinoma, conventional (clear cell) type",
)
GRADES = (
    "Fuhrman nuclear grade {number} of 4",
    "Fuhrman grade {roman}",
    "nuclear grade (Fuhrman) {number}/4",
    "ISUP grade {number}",
)
GRADE_LABELS = ("Histologic grade (Fuhrman)", "Fuhrman nuclear grade", "Nuclear grade", "ISUP grade")
SIZES = (
    "The tumor measures {size} cm.",
    "The mass is {size} cm in greatest dimensions.",
    "A tumor measuring {size} cm is found in the {pole}.",
)
HISTORIES = (
    "{age} year old {person} with a {side} renal mass found on imaging.",
    "{age}-year-old {person}. {Side} kidney mass.",
    "Incidental {side} renal mass in a {age} year old {person}.",
    "Renal mass, {side}. Patient is a {person} aged {age}.",
)
CUT_SURFACES = (
    "The cut surface is golden yellow and lobulated with a thin fibrous rim.",
    "Sectioning shows a bright yellow, soft, bulging lesion with small cysts.",
    "The lesion is variegated, yellow to tan, with scattered hemorrhage.",
    "On section the mass is orange-yellow and well demarcated from the cortex.",
)
MICROSCOPIES = (
    "Sections show nests of cells with optically clear cytoplasm in a delicate capillary network.",
    "The tumor is made of clear cells in alveolar and acinar arrangement.",
    "Microscopically there are polygonal cells with abundant clear cytoplasm and distinct borders.",
    "The lesion consists of clear and focally granular cells separated by thin-walled sinusoids.",
)
NEUTRAL = (
    "The uninvolved renal parenchyma shows mild arteriosclerosis and scattered sclerosed glomeruli.",
    "The remaining cortex contains two simple cysts lined by flattened epithelium.",
    "The ureter and pelvis are lined by unremarkable urothelium.",
    "An attached adrenal gland has no significant abnormality.",
    "There is patchy chronic inflammation of the non-neoplastic interstitium.",
    "The capsule strips with ease from a smooth cortical surface.",
    "Immunohistochemical stains for CAIX and PAX8 are reactive in the lesional cells; CK7 is not.",
    "The specimen was received fresh and photographed before sectioning.",
    "Corticomedullary differentiation is preserved away from the lesion.",
    "Tissue was set aside for the research protocol with the consent of the patient.",
    "The pelvicalyceal system is not dilated and contains no stones.",
)
BLOCKS = (
    "Block summary: A1 ureter and vessels; A2 hilum; A3-A{last} lesion; A{next} cortex away from the lesion.",
    "Sections are submitted as follows: 1 - hilar structures, 2 to {last} - lesion with capsule, {next} - random cortex.",
)
REMARKS = (
    "These findings were discussed with the surgical team.",
    "Clinical correlation is advised.",
    "The slides were reviewed at the departmental conference, which concurs.",
    "Staging follows the seventh edition of the AJCC manual.",
)
