"""Write a made-up study to a folder, ready to run, with its truth beside it."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path
from typing import Any, Literal, get_args

import h5py
import numpy as np
import pandas as pd

from kemm.core.errors import InputError, UsageError
from kemm.core.files import read_json, write_frame, write_json, write_text, writing
from kemm.demo.expression import PANEL, draw_genomics
from kemm.demo.hazard import MODALITIES, Modality
from kemm.demo.patches import PATTERNS, Slide, draw_slides
from kemm.demo.patients import SITES, Patients, draw_patients, stream
from kemm.demo.prose import STYLES, Patient, Writer
from kemm.demo.scanning import HABITS, HOSPITALS, header, scan
from kemm.demo.slides import draw_pattern_map, require_slide_writer, write_slide
from kemm.demo.textures import textures
from kemm.demo.truth import truth_record, truth_table
from kemm.execution import usable_cores
from kemm.modalities.genomics import default_groups

TAB = "\t"
FORMAT = 1
"""Changes whenever the same settings could give another cohort."""
FEWEST_CASES, MOST_CASES = 40, 9999

SlideKind = Literal["features", "images"]
IMAGE_SUFFIX = ".tif"
FEATURES_LINE = "  folder: features                  # one file of patch features a slide\n"
IMAGES_LINE = (
    "  images: slides                    # whole-slide images; `kemm slides` makes patch features of them\n"
)

COVARIATE_MISSING = {"age": 0.02, "stage": 0.04, "grade": 0.06}
STAGES = ("Stage I", "Stage II", "Stage III", "Stage IV")


def make_demo_study(
    folder: Path,
    *,
    cases: int = 300,
    seed: int = 0,
    planted: Sequence[Modality] = MODALITIES,
    slides: SlideKind = "features",
) -> Path:
    """A made-up kidney cancer cohort with all modalities and a known hazard, written to `folder`.

    The folder gets study.yaml, clinical.csv, reports/, genomics.parquet, groups.gmt and features/, and the truth:
    truth.csv (each case's true log hazard, its parts and the planted values), truth.json (what was
    planted and what is noise) and truth_patches.parquet (the pattern each patch shows). The same
    arguments give the same bytes. The folder appears whole or not at all; where it already holds a demo
    made with these arguments, it is left as it is.

    Args:
        folder: must not exist, or be empty.
        cases: 40 to 9,999 patients, half of whom die within follow-up.
        planted: modalities that carry a signal; the others are drawn alike, but tell nothing about the outcome.
        slides: "features" gives bags of patch features; "images" whole-slide images in slides/ instead, to tile
            and encode. truth_patches.parquet then says which pattern is where on each.

    Returns:
        The folder.

    Raises:
        InputError: The folder holds something else.
        UsageError: An argument makes no sense.
    """
    unknown = sorted(set(planted) - set(MODALITIES))
    if unknown:
        raise UsageError(f"nothing can be planted in {unknown[0]!r}; choose from: {', '.join(MODALITIES)}")
    if not FEWEST_CASES <= cases <= MOST_CASES:
        raise UsageError(f"a demo of {cases} cases cannot be made; ask for {FEWEST_CASES} to {MOST_CASES:,}.")
    if seed < 0:
        raise UsageError(f"seed {seed} is negative; give 0 or more.")
    if slides not in get_args(SlideKind):
        raise UsageError(f"slides cannot be {slides!r}; choose from: {', '.join(get_args(SlideKind))}")
    folder = folder.resolve()
    settings: dict[str, Any] = {"format": FORMAT, "cases": cases, "seed": seed, "planted": sorted(planted)}
    if slides == "images":
        settings["slides"] = slides
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            _require_same(folder, settings)
            return folder
        if slides == "images":
            require_slide_writer()
        patients = draw_patients(cases, seed, planted)
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
        try:
            _write(scratch, patients, seed, planted, settings)
            _move(scratch, folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    except OSError as error:
        raise InputError(
            f"{folder}: the demo cannot be written there ({error.strerror}). Name another folder, or mend its permissions."
        ) from error
    return folder


def _move(scratch: Path, folder: Path) -> None:
    if not folder.exists():
        scratch.chmod(0o755)
        scratch.replace(folder)
        return
    # An empty folder may be the one a person stands in, so it stays. truth.json last: it says that all is there.
    for path in sorted(scratch.iterdir(), key=lambda path: path.name == "truth.json"):
        path.replace(folder / path.name)


def _require_same(folder: Path, settings: dict[str, Any]) -> None:
    truth = folder / "truth.json"
    found = read_json(truth).get("settings") if folder.is_dir() and truth.is_file() else None
    if found is None:
        raise InputError(f"{folder}: there is something else in this place. Name a new folder for the demo.")
    if found != settings:
        raise InputError(
            f"{folder}: holds a demo made with other settings ({json.dumps(found)}). "
            "Delete it, or name a new folder."
        )


def _write(
    folder: Path, patients: Patients, seed: int, planted: Sequence[Modality], settings: dict[str, Any]
) -> None:
    template = (resources.files("kemm.demo") / "study.yaml").read_text(encoding="utf-8")
    if settings.get("slides") == "images":
        template = template.replace(FEATURES_LINE, IMAGES_LINE)
        slides = _write_images(folder, patients, seed)
    else:
        slides = _write_slides(folder, patients, seed)
    write_text(folder / "study.yaml", template)
    write_frame(folder / "clinical.csv", _clinical(patients, seed, slides))
    _write_reports(folder / "reports", patients, seed)
    groups = {name: default_groups()[name] for name in PANEL}
    write_text(
        folder / "groups.gmt", "".join(f"{name}\t\t{TAB.join(genes)}\n" for name, genes in groups.items())
    )
    genomics = draw_genomics(patients.ids, patients.programmes, groups, stream(seed, "genomics"))
    write_frame(folder / "genomics.parquet", genomics[~patients.missing["genes"]])
    write_frame(folder / "truth.csv", truth_table(patients))
    write_json(folder / "truth.json", truth_record(patients, planted, settings, groups))


def _clinical(patients: Patients, seed: int, slides: dict[str, list[str]]) -> pd.DataFrame:
    random = stream(seed, "clinical")
    outcomes = patients.outcomes
    event = outcomes.event.astype(int).astype(str)
    disease = outcomes.disease_event.astype(int).astype(str)
    months = [f"{value:.2f}" for value in outcomes.months]
    table = pd.DataFrame(
        {
            "case_id": patients.ids,
            "site_code": [SITES[place] for place in patients.site],
            "os_months": months,
            "os_event": event,
            "dss_months": months,
            "dss_event": np.where(outcomes.cause_known, disease, ""),
            "age": patients.age.astype(str),
            "sex": np.where(patients.male, "male", "female"),
            "stage": [STAGES[tumour.stage - 1] for tumour in patients.tumours],
            "grade": [f"G{tumour.grade}" for tumour in patients.tumours],
            "slide_ids": [";".join(slides.get(case, [])) for case in patients.ids],
        }
    )
    for name, share in COVARIATE_MISSING.items():
        table.loc[random.random(len(table)) < share, name] = ""
    return table


def _write_reports(folder: Path, patients: Patients, seed: int) -> None:
    random = stream(seed, "reports")
    for row, case in enumerate(patients.ids):
        site = patients.site[row]
        habit = HABITS[site]
        patient = Patient(
            age=int(patients.age[row]), male=bool(patients.male[row]), tumour=patients.tumours[row]
        )
        style = random.choice(list(habit.styles), p=list(habit.styles.values()))
        body = STYLES[str(style)](Writer(patient, random))
        # The registry's barcode, as it is printed on the scans: the id within its own scheme.
        top = header(case.replace("DEMO", "TCGA"), HOSPITALS[site], random)
        text = scan(f"{top}\n\n{body}", habit, random)
        if not patients.missing["report"][row]:
            write_text(folder / f"{case}.txt", text)


def _write_slides(folder: Path, patients: Patients, seed: int) -> dict[str, list[str]]:
    """Write the slides and which pattern each patch shows; the slide ids by case."""
    names: dict[str, list[str]] = {}
    shown: list[pd.DataFrame] = []
    for row, name, slide in _drawn(patients, seed):
        with writing(folder / "features" / f"{name}.h5") as scratch, h5py.File(scratch, "w") as handle:
            handle.create_dataset("features", data=slide.features)
        names.setdefault(patients.ids[row], []).append(name)
        patterns = np.array(PATTERNS)[slide.pattern]
        shown.append(
            pd.DataFrame({"slide_id": name, "patch": np.arange(len(slide.pattern)), "pattern": patterns})
        )
    write_frame(folder / "truth_patches.parquet", pd.concat(shown, ignore_index=True))
    return names


def _write_images(folder: Path, patients: Patients, seed: int) -> dict[str, list[str]]:
    """Render the same slides as images, and write which pattern is where; the slide ids by case."""
    names: dict[str, list[str]] = {}
    textures()  # made once, before threads ask for them

    def write(drawn: tuple[int, str, Slide]) -> pd.DataFrame:
        row, name, slide = drawn
        random = stream(seed, f"image of {name}")
        where = draw_pattern_map(slide.pattern, random)
        write_slide(folder / "slides" / f"{name}{IMAGE_SUFFIX}", where, int(patients.site[row]), random)
        return where.frame(name)

    everything = list(_drawn(patients, seed))
    for row, name, _ in everything:
        names.setdefault(patients.ids[row], []).append(name)
    # Threads: most of the time goes into numpy and the codec, which let others run.
    with ThreadPoolExecutor(usable_cores()) as pool:
        shown = list(pool.map(write, everything))
    write_frame(folder / "truth_patches.parquet", pd.concat(shown, ignore_index=True))
    return names


def _drawn(patients: Patients, seed: int) -> Iterator[tuple[int, str, Slide]]:
    """(row, slide id, slide) of every case that has slides."""
    random = stream(seed, "slides")
    for row, case in enumerate(patients.ids):
        drawn = draw_slides(float(patients.solid_share[row]), int(patients.site[row]), random)
        if not patients.missing["slides"][row]:
            for number, slide in enumerate(drawn, start=1):
                yield row, f"{case}-DX{number}", slide
