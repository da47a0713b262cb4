"""Commands that train: run and demo."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from heredity.cli.output import INTERRUPTED, say
from heredity.cli.studies import FOLDER, Storage
from heredity.errors import UsageError

if TYPE_CHECKING:
    from heredity.executors.base import Executor
    from heredity.result import Result
    from heredity.study import Study
    from heredity.workshop import AnyExecutor

File = Annotated[
    str, typer.Argument(metavar="FILE", help="study.toml, study.py, or study.py:NAME of several.")
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="Worker processes; by default one a GPU, or else one a core."),
]
MOST_DEMO_WORKERS = 8
"""Starting more of them takes longer than they save."""


def run(
    file: File,
    workers: Workers = None,
    inline: Annotated[
        bool, typer.Option("--inline", help="Train in this process, for a debugger.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only try whether it can work, with a few steps.")
    ] = False,
) -> None:
    """Run the study that a file defines, or go on with it."""
    study, executor = found(file)
    if check:
        try_out(study, workers)
        return
    result = study.run(_executor(workers, inline) or executor)
    _report(result, f"heredity run {shlex.quote(file)}", study)


def found(file: str) -> tuple[Study, AnyExecutor | None]:
    """The study that a file defines, and where it is to run if the file says so."""
    if file.endswith(".toml"):
        from heredity import study_files

        described = study_files.read(file)
        return described.study, described.executor
    from heredity.cli.script import study_in

    return study_in(file), None


def try_out(study: Study, workers: int | None) -> None:
    """Train a few steps and say whether the study can work."""
    report = study.check(workers=workers)
    print(report)
    if not report.ok:
        raise typer.Exit(1)


def _executor(workers: int | None, inline: bool) -> Executor | None:
    """What the options ask for; None if they leave it to the study."""
    if inline:
        from heredity.executors.inline import Inline

        return Inline()
    if workers is None:
        return None
    from heredity.executors.processes import Processes

    return Processes(workers)


def _report(result: Result, again: str, study: Study) -> None:
    """The summary of a study that ended; of one that was stopped, how to go on."""
    from heredity.cli.summary import model_lines, schedule_lines

    kept = str(study.storage) != ":memory:"
    if result.population.best is not None:
        print("\n".join([*model_lines(result, kept), "", *schedule_lines(result)]))
    _require_ended(result, again)
    if not kept:
        return
    where = _where(str(study.storage))
    print(
        f"\nNext:\n"
        f"  heredity best {study.name}{where} --copy model    keep its checkpoint\n"
        f"  heredity trials {study.name}{where}               every trial"
    )


def _where(storage: str) -> str:
    from heredity.stores import shown

    return "" if storage == FOLDER else f" --storage {shlex.quote(shown(storage))}"


def _require_ended(result: Result, again: str) -> None:
    if result.status != "ended":
        say(f"stopped after {result.population.ended_count:,} trials; to go on: {again}")
        raise typer.Exit(INTERRUPTED)


def demo(
    processes: Annotated[
        bool,
        typer.Option("--processes", help="Fewer networks, in worker processes, for comparison."),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="How many; by default one a core, up to 8.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all randomness.")] = 0,
    storage: Storage = FOLDER,
) -> None:
    """Watch networks learn to read digits, for half a minute."""
    if workers is not None and not processes:
        raise UsageError("--workers is for worker processes: add --processes")
    from heredity.demo import ONE_PROGRAM, PROCESSES, Demo

    the_demo = Demo.of(storage, seed, PROCESSES if processes else ONE_PROGRAM)
    if the_demo.begin():
        say("going on with the demo that was interrupted")
    found, baseline = the_demo.run(_demo_executor(processes, workers))
    again = _demo_command(processes, seed, storage)
    _require_ended(found, again)
    assert baseline is not None
    _require_ended(baseline, again)
    _compare(found, baseline)
    _say_next(found.name, _where(storage), processes)


def _demo_command(processes: bool, seed: int, storage: str) -> str:
    """What to type to go on with the very same demo."""
    options = (" --processes" if processes else "") + (f" --seed {seed}" if seed else "")
    return f"heredity demo{options}{_where(storage)}"


def _demo_executor(processes: bool, workers: int | None) -> AnyExecutor:
    if not processes:
        from heredity.executors.vectorized import Vectorized

        return Vectorized()
    from heredity.executors.hardware import cores
    from heredity.executors.processes import Processes

    return Processes(workers or min(cores(), MOST_DEMO_WORKERS))


def _compare(found: Result, baseline: Result) -> None:
    from heredity.cli.output import print_table
    from heredity.cli.summary import schedule_lines

    p = found.population
    print(f"\nThe best of {p.lanes} networks, {p.spent.max():,} training steps each:\n")
    rows = [("PBT", *_scores(found)), ("random search", *_scores(baseline))]
    print_table(("", "score", "confirmed", "held out", "time"), rows)
    print(
        f"\n"
        f"  score      the accuracy that selected it, among {p.ended_count:,} trials\n"
        f"  confirmed  the mean of fresh evaluations\n"
        f"  held out   the same on images that selected nothing\n"
    )
    print("\n".join(schedule_lines(found)))


def _say_next(name: str, where: str, processes: bool) -> None:
    other = (
        {f"heredity demo{where}": "four times as many, as one program"}
        if processes
        else {f"heredity demo --processes{where}": "a quarter of them, in worker processes"}
    )
    commands = {
        f"heredity status {name}{where}": "every member",
        f"heredity trials {name}{where}": "every trial",
        f"heredity best {name}{where} --copy digits": "keep the weights",
        **other,
    }
    width = max(map(len, commands))
    print("\nNext:")
    print("\n".join(f"  {command:<{width}}    {text}" for command, text in commands.items()))
    print("and the README shows how to train a model of your own.")


def _scores(result: Result) -> tuple[str, ...]:
    from heredity.live.words import duration, number

    best = result.best
    metrics = best.metrics if best.confirmation is None else best.confirmation.metrics
    scores = best.score, best.confirmed, metrics["test_accuracy"]
    return (*map(number, scores), duration(result.seconds))
