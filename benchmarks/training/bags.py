"""Where the baseline's patch features come from: a file a slide, as the field keeps them, or memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.training.cohort import Cohort

Bags = Callable[[int], Float[Tensor, "patch feature"]]
"""Patch features of a patient, all slides end to end, from its place in the cohort."""


def write_slide_files(cohort: Cohort, folder: Path) -> Path:
    """One `.pt` file of fp32 features a slide; the folder they are in. What is whole already is left alone."""
    whole = folder / f"{cohort.work.key}-pt"
    if whole.is_dir():
        return whole
    scratch = folder / f"{whole.name}.part"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    for case in range(len(cohort)):
        for slide, features in enumerate(cohort.draw_slides(case)):
            # A part of an array would be saved with all of it.
            torch.save(features.clone(), _slide_file(cohort, scratch, case, slide))
    return scratch.rename(whole)


def from_slide_files(cohort: Cohort, folder: Path) -> Bags:
    """Reads a patient's files each time it is asked for."""

    def read(case: int) -> Tensor:
        slides = range(len(cohort.slides[case]))
        files = (_slide_file(cohort, folder, case, slide) for slide in slides)
        return torch.cat([torch.load(path, weights_only=True) for path in files])

    return read


def from_memory(cohort: Cohort, device: torch.device) -> Bags:
    """Draws all bags once and keeps them on the device, as fp32."""
    kept = [cohort.draw_bag(case).to(device) for case in range(len(cohort))]
    return kept.__getitem__


def _slide_file(cohort: Cohort, folder: Path, case: int, slide: int) -> Path:
    return folder / f"{cohort.names[case]}-slide-{slide}.pt"
