"""Compares all models and ablations on the synthetic cohort, whose truth is known, and writes docs/results-demo.md.

python scripts/demo_results.py
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from kemm import Asked, Study, compare, run
from kemm.core.provenance import environment
from kemm.demo import make_demo_study
from kemm.execution import usable_cores
from kemm.results.comparison.controls_record import Control
from kemm.results.comparison.records import StudyComparison
from kemm.results.records import Truth
from kemm.terminal import Lines
from kemm.terminal_comparison import print_comparison
from results import ROOT, claim, shown, signed


def table(study: StudyComparison) -> list[str]:
    """A row a model: C, skill, the difference from the main model, and cost."""
    cost = {each.model: each for each in study.costs}
    less = {each.baseline: each for each in study.differences}
    part = {each.model: each for each in study.ablation_differences}
    lines = [
        "| model | C (95 %) | skill | main model minus it | core s | memory GB | parameters |",
        "|---|---|--:|---|--:|--:|--:|",
    ]
    for model in study.evaluation.models:
        difference = "-"
        if model.name in less:
            one = less[model.name]
            difference = signed(one.value, one.simultaneous_low, one.simultaneous_high)
        elif model.name in part:  # those are the model minus the main one
            one = part[model.name]
            difference = signed(-one.value, -one.simultaneous_high, -one.simultaneous_low)
        spent = cost.get(model.name)
        seconds = f"{spent.core_seconds:.0f}" if spent else "-"
        memory = f"{spent.peak_bytes / 1e9:.2f}" if spent and spent.peak_bytes else "-"
        size = f"{spent.parameters:,}" if spent and spent.parameters else "-"
        c, skill = model.metrics.get("harrell_c"), model.metrics.get("ibs_skill")
        lines.append(
            f"| {model.title} | {shown(c, interval=True)} | {shown(skill)} | {difference} | {seconds} | {memory} | {size} |"
        )
    return lines


def planted(truth: Truth) -> list[str]:
    """What was put into the cohort, and whether the main model found it."""
    lines = [
        "| planted | in | true effect | estimated effect (standard error) | found |",
        "|---|---|--:|--:|---|",
    ]
    for one in truth.planted:
        estimate = "-" if one.estimated_effect is None else f"{one.estimated_effect:+.3f} ({one.error:.3f})"
        lines.append(
            f"| {one.name} | {one.modality} | {one.true_effect:+.2f} | {estimate} | {'yes' if one.found else 'no'} |"
        )
    return lines


def controlled(controls: list[Control]) -> list[str]:
    """A row a control."""
    lines = ["| control | model | must hold | value (95 %) | passed |", "|---|---|---|---|---|"]
    for one in controls:
        value = "-" if one.value is None else f"{one.value:.3f}"
        if one.low is not None and one.high is not None:
            value += f" ({one.low:.3f} to {one.high:.3f})"
        passed = {True: "yes", False: "no", None: "not decided"}[one.passed]
        note = f": {one.note}" if one.note else ""
        lines.append(f"| {one.name} | {one.model} | {one.criterion} | {value} | {passed}{note} |")
    return lines


def main() -> None:
    """Compare everything, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--set", action="append", default=[], help="a setting of the study")
    parser.add_argument("--controls", action="store_true", help="also the controls, timed apart")
    parser.add_argument("--write", type=Path, default=ROOT / "docs" / "results-demo.md")
    options = parser.parse_args()
    from rich.console import Console

    console = Console()
    with tempfile.TemporaryDirectory() as scratch:
        study = Study.load(make_demo_study(Path(scratch) / "demo"), options.set)
        began = time.perf_counter()
        done = compare(
            study,
            asked=Asked(ablate=True),
            workers=options.workers,
            progress=Lines(console),
        )
        minutes = (time.perf_counter() - began) / 60
        print_comparison(console, done.comparison)
        found = done.comparison.studies[0]
        # What a risk stands on is asked by `run`, of the same networks.
        truth = run(study, workers=options.workers, progress=Lines(console)).evaluation.truth
        assert truth is not None
        controls = []
        if options.controls:
            began = time.perf_counter()
            done = compare(
                study,
                asked=Asked(ablate=True, controls=True),
                workers=options.workers,
                progress=Lines(console),
            )
            more = (time.perf_counter() - began) / 60
            controls = [
                "",
                "## Controls",
                "",
                f"`kemm compare demo --ablate --controls`, another {more:.1f} minutes:",
                "",
                *controlled(done.comparison.studies[0].controls.controls),
            ]
    versions, cohort = environment(), found.evaluation.cohort
    titles = {model.name: model.title for model in found.evaluation.models}
    training = study.config.training
    page = [
        "# Results on the synthetic cohort",
        "",
        f"Made on {datetime.now(UTC):%Y-%m-%d} by `python scripts/demo_results.py"
        f"{' --controls' if options.controls else ''}`, on {usable_cores()} cores, "
        f"{platform.machine()}, Python {versions['python']}, torch {versions['torch']}. The cohort is that of `kemm demo`: "
        f"{cohort.cases} cases, {cohort.events} events, five site-disjoint folds, {len(training.seeds)} seeds, all networks of one width.",
        "",
        f"`kemm compare demo --ablate` took {minutes:.1f} minutes, from reading the inputs to the page: "
        f"{len(found.evaluation.models)} models on every fold.",
        "",
        f"The truth is known here: the hazard that outcomes were drawn from has a C of {truth.true_c:.3f}, and no model can be "
        "expected to do better. What was planted has the shape that kemm looks for, so that this page shows whether kemm works, and not "
        "that it would win on real patients: for those, see [results.md](results.md).",
        "",
        *(f"- {claim(one, titles, 'Demo')}" for one in found.added_value),
        "",
        *table(found),
        "",
        "Differences are in C over pairs, with 95 % intervals that hold for all models (or for all ablations) at once.",
        "",
        "## Was it found?",
        "",
        f"Effects are log hazard ratios a standard deviation, of {titles[found.main]}.",
        "",
        *planted(truth),
        *controls,
    ]
    options.write.write_text("\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
