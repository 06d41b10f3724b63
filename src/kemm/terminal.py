"""What a person sees in the terminal: bars with time left, the summary of the inputs, the table of models."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TaskID, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column, Table
from rich.text import Text

from kemm.results.document.numbers import memory

if TYPE_CHECKING:
    from kemm.pipeline import Inputs, Plan, RefineResult
    from kemm.results.records import Evaluation
    from kemm.training.under_way import Training

NAME_WIDTH = 19
SECONDS_A_LINE = 30
"""In a log, a stage tells this often how far it is."""
SECONDS_A_TRAINING_LINE = 300
"""In a log, and of what is under way."""
MOST_UNDER_WAY = 4
"""So many units that train have a line of their own."""
LEGEND = (
    "C: concordance, 0.5 is chance; interval: bootstrap of patients; SD: over folds; "
    "skill: of the survival curve against Kaplan-Meier, 0 or less is none."
)


# --- how far a run is --------------------------------------------------------------------------


class _TimeLeft(ProgressColumn):
    """ "0:12, 3:40 left", and only the first once the stage is done."""

    def render(self, task: Task) -> Text:
        text = duration(task.elapsed or 0.0)
        if not task.finished and task.time_remaining is not None:
            text += f", {duration(task.time_remaining)} left"
        return Text(text)


class _BarsAndLines(RichProgress):
    """Bars, and below them what is under way."""

    lines: Sequence[str] = ()

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        for line in self.lines:
            yield Text(f"  {line}", style="dim", no_wrap=True, overflow="ellipsis")


class _Bar:
    def __init__(self, bars: _BarsAndLines, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def advance(self, note: str = "", count: int = 1) -> None:
        self._bars.update(self._task, advance=count, note=escape(note))

    def under_way(self, those: Sequence[Training]) -> None:
        """A line each, as they are now."""
        self._bars.lines = training_lines(those)


class Bars:
    """A bar a stage."""

    def __init__(self, bars: _BarsAndLines) -> None:
        self._bars = bars

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[_Bar]:
        """The bar stays when the stage has ended."""
        # What was done before says nothing about the time that is left.
        task = self._bars.add_task(name, total=total, completed=done, note="")
        try:
            yield _Bar(self._bars, task)
        finally:
            self._bars.lines = ()
            self._bars.update(task, note="")
            self._bars.stop_task(task)

    def say(self, line: str) -> None:
        """A line above the bars."""
        self._bars.console.print(escape(line), highlight=False)


@contextmanager
def bars(console: Console) -> Iterator[Bars]:
    """Bars on a terminal, as long as the context lasts."""
    columns = (
        TextColumn(f"{{task.description:<{NAME_WIDTH}}}"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        _TimeLeft(table_column=Column(no_wrap=True)),
        TextColumn("[dim]{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    with _BarsAndLines(*columns, console=console, refresh_per_second=4) as progress:
        yield Bars(progress)


class _Count:
    def __init__(self, console: Console, name: str, total: int, done: int) -> None:
        self._console, self._name, self._total, self._done = console, name, total, done
        self._started = self._told = self._told_training = time.monotonic()
        # Results and what is under way come by threads of their own.
        self._lock = threading.Lock()

    def advance(self, note: str = "", count: int = 1) -> None:
        with self._lock:
            self._done += count
            now = time.monotonic()
            if self._done == self._total or now - self._told >= SECONDS_A_LINE:
                self._told = self._told_training = now
                self._say(f"{self._name}: {self._done} of {self._total} in {duration(now - self._started)}")

    def under_way(self, those: Sequence[Training]) -> None:
        """Where nothing was finished for long: that something goes on."""
        with self._lock:
            now = time.monotonic()
            if those and now - self._told_training >= SECONDS_A_TRAINING_LINE:
                self._told_training = now
                self._say(f"{self._name}: {self._done} of {self._total}; {'; '.join(training_lines(those))}")

    def _say(self, line: str) -> None:
        self._console.print(escape(line), highlight=False, soft_wrap=True)


class Lines:
    """Lines in a log: where output goes to a file, bars would be written all at once, at the end."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[_Count]:
        """Tells some times how far the stage is."""
        if done:
            self.say(f"{name}: {done} of {total} were done before")
        yield _Count(self._console, name, total, done)

    def say(self, line: str) -> None:
        """One line, whatever its length."""
        self._console.print(escape(line), highlight=False, soft_wrap=True)


def training_lines(those: Sequence[Training]) -> list[str]:
    """How far each is; many share the last line."""
    lines = [training_line(one) for one in those[:MOST_UNDER_WAY]]
    more = len(those) - MOST_UNDER_WAY
    return [*lines, f"and {more} more"] if more > 0 else lines


def training_line(one: Training) -> str:
    """ "kemm, fold 2: epoch 12 of at most 40, 1:40 left, 210 cases/s, 1.2 GB"."""
    parts = [
        {
            "begins": "reads and fits",
            "trains": f"epoch {min(one.epoch + 1, one.epochs)} of at most {one.epochs}",
            "predicts": f"trained {one.epoch} epochs, predicts",
        }[one.phase]
    ]
    if one.phase == "trains" and one.seconds_left is not None and one.cases_a_second is not None:
        speed = one.cases_a_second
        parts += [
            f"{duration(one.seconds_left)} left",
            f"{speed:,.0f} cases/s" if speed >= 10 else f"{speed:.1f} cases/s",
        ]
    if one.peak_bytes is not None:
        parts.append(memory(one.peak_bytes))
    return f"{one.model}, fold {one.fold}: {', '.join(parts)}"


def duration(seconds: float) -> str:
    """ "0:05", "12:40", "3:00:00"."""
    text = str(timedelta(seconds=round(seconds)))
    return text.removeprefix("0:0") if text.startswith("0:0") else text.removeprefix("0:")


# --- tables ------------------------------------------------------------------------------------


def print_inputs(console: Console, inputs: Inputs) -> None:
    """The summary a person wants to see before a run: who has what, and what is missing."""
    from kemm.pipeline import describe

    console.print(escape(inputs.first_line), highlight=False, soft_wrap=not console.is_terminal)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    cases = len(inputs.cohort)
    for name, count in inputs.modalities.items():
        table.add_row(f"with {name}", f"{count:,} of {cases:,} ({count / cases:.0%})")
    for name, count in inputs.missing.items():
        if count:
            table.add_row(f"without {escape(name)}", f"{count:,} ({count / cases:.0%})")
    for reason, count in inputs.dropped.items():
        table.add_row("left out", f"{count:,} case{'' if count == 1 else 's'}: {escape(reason)}")
    for name, fact in describe(inputs).items():
        table.add_row(escape(name), escape(fact))
    console.print(table, highlight=False)


def print_plan(console: Console, plan: Plan) -> None:
    """What refining would send, and where."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column()
    table.add_row("reports", f"{plan.reports:,}, of which {plan.refined:,} are refined already")
    table.add_row("leaves this machine", f"masked reports, to {plan.host}" if plan.host else "nothing")
    if plan.estimate is not None:
        one = plan.estimate
        table.add_row(
            "questions", f"{one.questions:,}; {one.known:,} more are in the journal and cost nothing"
        )
        table.add_row("characters", f"{one.characters:,}, instructions and form included")
        table.add_row("tokens", f"about {one.tokens_in:,} asked, at most {one.tokens_out_most:,} answered")
        cost = (
            "unknown: set llm.price_in and llm.price_out"
            if one.money_most is None
            else f"{one.money_most:.2f}"
        )
        table.add_row("costs at most", f"{cost}; a question that is answered wrongly is asked a second time")
    console.print(table, highlight=False)
    console.print("Nothing was sent.", highlight=False)


def print_refined(console: Console, result: RefineResult) -> None:
    """What was read from the reports, and how many of them state each field."""
    from kemm.pipeline.refining import facts_of

    counts = result.counts
    facts = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    facts.add_column(no_wrap=True)
    facts.add_column()
    facts.add_row("reports", f"{counts.reports:,}")
    for name, fact in facts_of(counts).items():
        facts.add_row(escape(name), escape(fact))
    fields = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    fields.add_column("field", no_wrap=True)
    for name in ("stated", "share", "absent", "not assessable", "dropped"):
        fields.add_column(name, justify="right", no_wrap=True)
    silent = [row.field for row in result.coverage if not (row.stated or row.dropped)]
    for row in result.coverage:
        if row.field in silent:
            continue
        fields.add_row(
            escape(row.field),
            f"{row.stated:,}",
            f"{row.stated / max(counts.reports, 1):.0%}",
            *(f"{count:,}" if count else "-" for count in (row.absent, row.cannot_be_assessed, row.dropped)),
        )
    console.print(facts, highlight=False)
    console.print()
    console.print(fields, highlight=False)
    if silent:
        number = f"{len(silent)} further field{' is' if len(silent) == 1 else 's are'}"
        console.print(f"[dim]{number} stated by no report[/]", highlight=False)
    console.print()


def print_models(console: Console, evaluation: Evaluation) -> None:
    """One row a model, and the difference that answers the question."""
    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("model", no_wrap=True, overflow="ellipsis")
    for name in ("C", "95 % interval", "SD", "skill", "cases", "events"):
        table.add_column(name, justify="right", no_wrap=True)
    for model in evaluation.models:
        c, skill = model.metrics["harrell_c"], model.metrics["ibs_skill"]
        table.add_row(
            escape(model.title),
            _number(c.value),
            f"{_number(c.low)} to {_number(c.high)}" if c.low is not None else "-",
            _number(c.sd),
            _number(skill.value),
            str(c.cases),
            str(c.events),
        )
    console.print()
    console.print(table, highlight=False)
    console.print(f"[dim]{LEGEND}[/]", highlight=False)
    if evaluation.headline is not None:
        line = evaluation.headline
        titles = {model.name: model.title for model in evaluation.models}
        console.print(
            f"\nC of {escape(titles.get(line.model, line.model))} minus "
            f"{escape(titles.get(line.baseline, line.baseline))}: "
            f"[bold]{line.value:+.3f}[/] (95 % interval {line.low:+.3f} to {line.high:+.3f}), "
            f"{line.cases} cases, {escape(evaluation.fold_kind)} folds",
            highlight=False,
        )
    if evaluation.truth is not None:
        console.print(f"C of the true hazard: {evaluation.truth.true_c:.3f}", highlight=False)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
