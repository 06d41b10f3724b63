"""The command line: one typed function a command; parse, call, print. Heavy imports wait."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kemm.core.errors import KemmError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as Bars

    from kemm.results.records import Evaluation

app = typer.Typer(
    name="kemm",
    help="Knowledge-enhanced multimodal cancer survival prediction, evaluated honestly.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

StudyFolder = Annotated[
    Path, typer.Argument(help="Folder of the study, or its study.yaml.", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change a setting for this run: section.key=value. May be repeated.",
        metavar="KEY=VALUE",
    ),
]
RunName = Annotated[str, typer.Option("--name", help="The run's name: results go to runs/NAME.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Processes to train with; by default one a core.", show_default=False),
]
INTERRUPTED = 130


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of expected errors, too.")] = False,
) -> None:
    if debug:
        os.environ["KEMM_DEBUG"] = "1"


@app.command()
def init(folder: StudyFolder) -> None:
    """Write a commented study.yaml, filled in from the tables found in the folder."""
    from kemm.scaffold import init_study

    for line in init_study(folder):
        typer.echo(f"- {line}")
    typer.echo(f"\nwritten: {folder / 'study.yaml'}\nnext: look it through, then run `kemm check {folder}`")


@app.command()
def check(study: StudyFolder, set_: Overrides = None) -> None:
    """Read every input, tell all faults at once, and summarise the cohort."""
    from kemm.config import Study
    from kemm.pipeline import check as check_study

    console = _console()
    inputs, faults = check_study(Study.load(study, set_ or ()))
    if inputs is not None:
        _print_inputs(console, inputs)
    for warning in faults.warnings:
        console.print(f"[yellow]warning[/] {_plain(str(warning))}", highlight=False)
    faults.raise_if_any()
    console.print(f"[green]no faults.[/] next: `kemm run {_plain(str(study))}`", highlight=False)


@app.command()
def run(
    study: StudyFolder,
    name: RunName = "latest",
    workers: Workers = None,
    set_: Overrides = None,
) -> None:
    """Prepare, train, evaluate and report. Goes on where it was stopped; skips what is done."""
    from kemm.config import Study
    from kemm.pipeline import run as run_study

    with _bars() as bars:
        result = run_study(Study.load(study, set_ or ()), name=name, workers=workers, progress=bars)
    _print_table(result.evaluation)
    typer.echo(f"\nreport: {result.report}")


@app.command()
def report(study: StudyFolder, name: RunName = "latest") -> None:
    """Make the HTML report of a finished run again."""
    from kemm.config import Study
    from kemm.pipeline import rebuild_report

    typer.echo(f"report: {rebuild_report(Study.load(study), name)}")


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to write the made-up study.")] = Path("demo-study"),
    cases: Annotated[int, typer.Option(help="How many patients.")] = 200,
    seed: Annotated[int, typer.Option(help="Another seed, another cohort.")] = 0,
) -> None:
    """Write a made-up cohort with a known truth, to try everything on."""
    from kemm.demo import make_demo_study

    made = make_demo_study(folder, cases=cases, seed=seed)
    typer.echo(f"written: {made}\nnext: `kemm run {folder}`")


@app.command()
def doctor() -> None:
    """Versions, device, and optional parts: there, or how to get them."""
    from kemm.diagnosis import diagnose

    for line in diagnose():
        typer.echo(line)


def main() -> None:
    """Run a command; print an expected error in one paragraph and end with its exit code."""
    # A terminated run ends as an interrupted one does: workers are stopped and scratch files removed.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app(standalone_mode=False)
    except KemmError as error:
        if os.environ.get("KEMM_DEBUG"):
            raise
        sys.stderr.write(f"kemm: {error}\n")
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("kemm: interrupted. What was finished is kept; run again to go on.\n")
        sys.exit(INTERRUPTED)
    except typer.Exit as leaving:
        sys.exit(leaving.exit_code)
    except typer_usage_error() as error:
        error.show()
        sys.exit(2)


def typer_usage_error() -> type[Exception]:
    """What the parser raises for a wrong command line."""
    import click

    return click.UsageError


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


class _Step:
    def __init__(self, bars: Bars, task: object) -> None:
        self._bars, self._task = bars, task

    def advance(self, note: str = "") -> None:
        self._bars.update(self._task, advance=1, note=note)  # type: ignore[arg-type]


class _Progress:
    """Bars with time left, on a terminal; a line a stage, elsewhere."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars

    @contextmanager
    def stage(self, name: str, total: int) -> Iterator[_Step]:
        task = self._bars.add_task(name, total=total, note="")
        yield _Step(self._bars, task)
        self._bars.update(task, note="")
        self._bars.stop_task(task)

    def say(self, line: str) -> None:
        self._bars.console.print(_plain(line), highlight=False, soft_wrap=True)


@contextmanager
def _bars() -> Iterator[_Progress]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[note]}"),
    )
    with Progress(*columns, console=_console(), refresh_per_second=4) as bars:
        yield _Progress(bars)


def _console() -> Console:
    from rich.console import Console

    return Console()


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _print_inputs(console: Console, inputs) -> None:  # type: ignore[no-untyped-def]
    from rich.table import Table

    from kemm.pipeline import describe

    console.print(_plain(inputs.first_line), highlight=False, soft_wrap=True)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    cases = len(inputs.cohort)
    for name, count in inputs.modalities.items():
        table.add_row(f"with {name}", f"{count:,} of {cases:,} ({count / cases:.0%})")
    for name, count in inputs.missing.items():
        if count:
            table.add_row(f"without {_plain(name)}", f"{count:,} ({count / cases:.0%})")
    for reason, count in inputs.dropped.items():
        table.add_row("left out", f"{count:,} cases: {_plain(reason)}")
    for name, fact in describe(inputs).items():
        table.add_row(_plain(name), _plain(fact))
    console.print(table)


def _print_table(evaluation: Evaluation) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("model")
    for name in ("C", "95 % interval", "SD over folds", "skill", "cases", "events"):
        table.add_column(name, justify="right")
    for model in evaluation.models:
        c, skill = model.metrics["harrell_c"], model.metrics["ibs_skill"]
        table.add_row(
            _plain(model.title),
            _number(c.value),
            f"{_number(c.low)} to {_number(c.high)}" if c.low is not None else "-",
            _number(c.sd),
            _number(skill.value),
            str(c.cases),
            str(c.events),
        )
    console = _console()
    console.print(table)
    if evaluation.headline is not None:
        line = evaluation.headline
        console.print(
            f"\n{_plain(line.model)} minus {_plain(line.baseline)}: {line.value:+.3f} "
            f"({line.low:+.3f} to {line.high:+.3f}), {line.cases} cases, folds {_plain(evaluation.fold_kind)}",
            highlight=False,
        )
    if evaluation.truth is not None:
        console.print(f"C of the true hazard: {evaluation.truth.true_c:.3f}", highlight=False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


if __name__ == "__main__":
    main()
