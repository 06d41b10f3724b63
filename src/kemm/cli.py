"""The command line: one typed function a command; parse, call, print. Heavy imports wait."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kemm.core.errors import KemmError

if TYPE_CHECKING:
    from rich.console import Console

    from kemm.pipeline import Progress

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
Engine = Annotated[
    str | None,
    typer.Option(
        help="Where tasks run: processes (of this machine), ray or slurm; see docs/clusters.md.",
        show_default=False,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Of networks: auto (a CUDA GPU where there is one), cpu, cuda or mps.", show_default=False
    ),
]
Precision = Annotated[
    str | None, typer.Option(help="Of patches: auto (bf16 on a GPU), fp32 or bf16.", show_default=False)
]
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes to work with, or tasks at once on a cluster; by default one a core.",
        show_default=False,
    ),
]
Backend = Annotated[
    str | None,
    typer.Option(
        help="Who reads: rules (here, no model), openai (any server that speaks its protocol) or transformers.",
        show_default=False,
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model", help="The language model: its name at the server, or a folder.", show_default=False
    ),
]
BaseUrl = Annotated[
    str | None,
    typer.Option("--base-url", help="The server, such as http://localhost:8000/v1.", show_default=False),
]
AllowHost = Annotated[
    str | None,
    typer.Option(help="Permit texts to be sent to this one other machine.", show_default=False),
]
INTERRUPTED = 130
WRONG_COMMAND_LINE: type[Exception] = typer.BadParameter.__bases__[0]
"""The parser's UsageError. Asked for in this way because newer typers bring a click of their own."""


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
    from kemm.terminal import print_inputs

    console = _console()
    inputs, faults = check_study(Study.load(study, set_ or ()))
    if inputs is not None:
        print_inputs(console, inputs)
    for warning in faults.warnings:
        console.print(f"[yellow]warning:[/] {_plain(str(warning))}", highlight=False)
    faults.raise_if_any()
    console.print(f"[green]no faults.[/] next: `kemm run {_plain(str(study))}`", highlight=False)


@app.command()
def run(
    study: StudyFolder,
    name: RunName = "latest",
    on: Engine = None,
    workers: Workers = None,
    device: Device = None,
    precision: Precision = None,
    set_: Overrides = None,
) -> None:
    """Prepare, train, evaluate and report. Goes on where it was stopped; skips what is done."""
    from kemm.pipeline.unchanged import unchanged_run
    from kemm.terminal import print_models

    settings = [*_where(on, device, precision), *(set_ or ())]
    unchanged = unchanged_run(study, name, settings)
    with _progress() as progress:
        if unchanged is not None:
            result = unchanged.result
            for line in unchanged.said:
                progress.say(line)
        else:
            from kemm.config import Study
            from kemm.pipeline import run as run_study

            result = run_study(Study.load(study, settings), name=name, workers=workers, progress=progress)
    print_models(_console(), result.evaluation)
    typer.echo(f"\nreport: {result.report}")


@app.command()
def compare(
    studies: Annotated[
        list[Path], typer.Argument(help="Folders of one or several studies.", show_default=False)
    ],
    models: Annotated[
        str | None,
        typer.Option(
            help="Names with commas between: kemm,abmil,mcat,clinical-cox; by default all that the inputs allow.",
            show_default=False,
        ),
    ] = None,
    ablate: Annotated[
        bool, typer.Option("--ablate", help="Also KEMM without each of its parts, one at a time.")
    ] = False,
    subsets: Annotated[
        bool, typer.Option("--subsets", help="Also KEMM on every set of the modalities.")
    ] = False,
    controls: Annotated[
        bool,
        typer.Option(
            "--controls", help="Also exchanged outcomes, a planted signal, noise, the hospital alone."
        ),
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, help="Train each network so many times; by default training.seeds.", show_default=False
        ),
    ] = None,
    repeats: Annotated[
        int, typer.Option(min=1, help="Divide the cohort so many times, for KEMM and the clinical model.")
    ] = 1,
    name: RunName = "latest",
    on: Engine = None,
    workers: Workers = None,
    device: Device = None,
    precision: Precision = None,
    set_: Overrides = None,
) -> None:
    """Hold models against each other on the same folds: the field's networks, Cox models, KEMM and its ablations."""
    from kemm.config import Study
    from kemm.pipeline.comparing import Asked
    from kemm.pipeline.comparing import compare as compare_studies
    from kemm.terminal_comparison import print_comparison

    said = [f"training.seeds={list(range(seeds))}"] if seeds is not None else []
    settings = [*_where(on, device, precision), *said, *(set_ or ())]
    names = tuple(one.strip() for one in models.split(",") if one.strip()) if models is not None else None
    asked = Asked(models=names, ablate=ablate, subsets=subsets, controls=controls, repeats=repeats)
    with _progress() as progress:
        result = compare_studies(
            [Study.load(study, settings) for study in studies],
            asked=asked,
            name=name,
            workers=workers,
            progress=progress,
        )
    print_comparison(_console(), result.comparison)
    typer.echo(f"\npage: {result.page}")


def _where(on: str | None, device: str | None, precision: str | None) -> list[str]:
    """The options on where and how is computed, as settings."""
    said = {"execution.engine": on, "training.device": device, "training.precision": precision}
    return [f"{name}={value}" for name, value in said.items() if value is not None]


@app.command()
def refine(
    study: StudyFolder,
    backend: Backend = None,
    model: ModelName = None,
    base_url: BaseUrl = None,
    allow_host: AllowHost = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Send nothing: answer from the journal of earlier calls only.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be sent, where, and its cost; send nothing.")
    ] = False,
    workers: Workers = None,
    set_: Overrides = None,
) -> None:
    """Refine the reports, and write what they state as tables."""
    from kemm.config import Study
    from kemm.pipeline import plan_refining, refine_study
    from kemm.terminal import print_plan, print_refined

    asked = _llm_settings(backend, model, base_url, allow_host, offline)
    loaded = Study.load(study, [*asked, *(set_ or ())])
    if dry_run:
        print_plan(_console(), plan_refining(loaded))
        return
    with _progress() as progress:
        result = refine_study(loaded, workers=workers, progress=progress)
    print_refined(_console(), result)
    for path in result.paths:
        typer.echo(f"written: {path}")


def _llm_settings(
    backend: str | None,
    model: str | None,
    base_url: str | None,
    allow_host: str | None,
    offline: bool,
) -> list[str]:
    """The options of one command as settings; naming a model, a server or a backend asks for it."""
    if backend == "rules":
        return ["reports.refiner=rules"]
    given = {"backend": backend, "model": model, "base_url": base_url, "allow_host": allow_host}
    settings = [f"llm.{name}={value}" for name, value in given.items() if value is not None]
    settings += ["llm.offline=true"] if offline else []
    return ["reports.refiner=llm", *settings] if settings else []


@app.command()
def background(
    cancer_type: Annotated[str, typer.Option(help="A TCGA code, or any name: 'Merkel cell carcinoma'.")],
    study: Annotated[Path, typer.Argument(help="Folder of the study, or any folder.")] = Path("."),
    backend: Backend = None,
    model: ModelName = None,
    base_url: BaseUrl = None,
    allow_host: AllowHost = None,
    set_: Overrides = None,
) -> None:
    """Have a language model write the background knowledge on a cancer type, into a file of your own."""
    from kemm.config import llm_settings
    from kemm.pipeline import write_background_file

    asked = [
        one for one in _llm_settings(backend, model, base_url, allow_host, False) if one.startswith("llm.")
    ]
    config = llm_settings(study, [*asked, *(set_ or ())])
    file, written = write_background_file(study, cancer_type, config)
    for modality, risk, statements in written.lists():
        typer.echo(f"{modality}, {risk} risk:")
        for one in statements:
            typer.echo(f"  - {one.text}")
    typer.echo(
        f"\nwritten: {file}\nby {written.author.name}; not reviewed by clinicians. Read it, then set "
        f"`background: {{file: {file.relative_to(study)}}}` in study.yaml."
    )


@app.command()
def audit(
    study: StudyFolder,
    cases: Annotated[int, typer.Option(min=1, help="Show at most so many cases.")] = 200,
    workers: Workers = None,
    set_: Overrides = None,
) -> None:
    """Refine the reports, and write one HTML page to check the reading against them."""
    from kemm.config import Study
    from kemm.pipeline import audit_study

    loaded = Study.load(study, set_ or ())
    with _progress() as progress:
        result = audit_study(loaded, cases=cases, workers=workers, progress=progress)
    left_out = f", {result.left_out} left out (--cases)" if result.left_out else ""
    typer.echo(f"{result.shown} cases{left_out}. It contains patient text.\npage: {result.page}")


@app.command()
def slides(
    study: StudyFolder,
    encoder: Annotated[
        str | None,
        typer.Option(help="What makes features of tiles: colour-texture, uni2, ...", show_default=False),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Where it computes: auto, cpu, cuda or mps.", show_default=False)
    ] = None,
    workers: Workers = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Only write an HTML page with each slide, its tissue and tiles.")
    ] = False,
    import_: Annotated[
        Path | None,
        typer.Option(
            "--import", help="Take over features that CLAM, TRIDENT or STAMP made.", show_default=False
        ),
    ] = None,
    set_: Overrides = None,
) -> None:
    """Make patch features of the slides. Skips what is done; what failed is named and tried again next time."""
    from kemm.config import Study
    from kemm.core.errors import UsageError
    from kemm.pipeline import extract_slides, import_slides, preview_slides

    if preview and import_ is not None:
        raise UsageError("--preview and --import are two things. Ask for one of them.")
    named = {"name": encoder, "device": device}
    asked = [f"slides.encoder.{key}={value}" for key, value in named.items() if value is not None]
    loaded = Study.load(study, [*asked, *(set_ or ())])
    with _progress() as progress:
        if preview:
            page = preview_slides(loaded, workers=workers, progress=progress)
        elif import_ is not None:
            result = import_slides(loaded, import_.expanduser(), progress=progress)
        else:
            result = extract_slides(loaded, workers=workers, progress=progress)
    if preview:
        typer.echo(f"It contains pictures of patients' tissue.\npage: {page}")
        return
    typer.echo(
        f"{len(result.done):,} slides done, {result.tiles:,} tiles; {result.kept:,} were done before\n"
        f"features: {result.folder}"
    )
    result.raise_if_failed()


@app.command()
def report(study: StudyFolder, name: RunName = "latest") -> None:
    """Make the HTML report of a finished run again."""
    from kemm.config import Study
    from kemm.pipeline import rebuild_report

    typer.echo(f"report: {rebuild_report(Study.load(study), name)}")


@app.command()
def heatmap(
    study: StudyFolder,
    case: Annotated[str, typer.Argument(help="Id of the case.", show_default=False)],
    name: RunName = "latest",
    of: Annotated[
        str | None,
        typer.Option(
            help="attention: where the network looked; or risk: what each patch adds to the linear part of the risk. "
            "By default attention, or risk where the network gave slides no weight.",
            metavar="attention|risk",
            show_default=False,
        ),
    ] = None,
    statement: Annotated[
        str | None,
        typer.Option(
            help="Whose attention: a kind of statement, such as grade; by default all.", show_default=False
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where the files go; by default heatmaps/ in the run's folder.", show_default=False
        ),
    ] = None,
) -> None:
    """Draw where a finished run's model looked on a case's slides, or what it made of each patch: PNG, and GeoJSON."""
    from kemm.config import Study
    from kemm.core.errors import UsageError
    from kemm.pipeline import draw_case

    if of not in (None, "attention", "risk"):
        raise UsageError(f"--of cannot be {of!r}; choose from: attention, risk")
    result = draw_case(
        Study.load(study),
        case,
        name=name,
        of=of,  # type: ignore[arg-type]
        statement=statement,
        out=out,
    )
    for path in result.paths:
        typer.echo(f"written: {path}")
    for path in result.without:
        typer.echo(f"left out, its file does not say where its patches lie: {path}")
    for note in result.notes:
        typer.echo(note)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where to write the made-up study.")] = Path("demo-study"),
    cases: Annotated[int, typer.Option(help="How many patients.")] = 300,
    seed: Annotated[int, typer.Option(help="Another seed, another cohort.")] = 0,
    images: Annotated[
        bool, typer.Option("--images", help="Whole-slide images instead of patch features.")
    ] = False,
) -> None:
    """Write a made-up cohort with a known truth, to try everything on."""
    from kemm.demo import make_demo_study

    made = make_demo_study(folder, cases=cases, seed=seed, slides="images" if images else "features")
    first = f"`kemm slides {folder}`, then " if images else ""
    typer.echo(f"written: {made}\nnext: {first}`kemm run {folder}`")


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
        code = app(standalone_mode=False, prog_name="kemm") or 0
    except KemmError as error:
        if os.environ.get("KEMM_DEBUG"):
            traceback.print_exc()
        sys.stderr.write(f"kemm: {error}\n")
        code = error.exit_code
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except WRONG_COMMAND_LINE as error:
        error.show()  # type: ignore[attr-defined]
        code = error.exit_code  # type: ignore[attr-defined]
    # Newer typers answer Ctrl-C with this code, older ones with Abort.
    if code == INTERRUPTED:
        sys.stderr.write("kemm: interrupted. What was finished is kept; run again to go on.\n")
    sys.exit(code)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _progress() -> Iterator[Progress]:
    """Bars with time left, on a terminal; lines, in a log."""
    from kemm.terminal import Lines, bars

    console = _console()
    if not console.is_terminal:
        yield Lines(console)
        return
    with bars(console) as progress:
        yield progress


def _console() -> Console:
    from rich.console import Console

    return Console()


def _plain(text: str) -> str:
    from rich.markup import escape

    return escape(text)


if __name__ == "__main__":
    main()
