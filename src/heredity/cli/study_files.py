"""Commands about study files: init, check, schema."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heredity.cli.output import print_json, say
from heredity.cli.running import File, Workers, found, try_out
from heredity.errors import UsageError

if TYPE_CHECKING:
    from heredity.study import Study
    from heredity.study_files.preview import Preview
    from heredity.workshop import AnyExecutor


def init(
    path: Annotated[Path, typer.Argument(metavar="[PATH]", help="The file to write.")] = Path(
        "study.toml"
    ),
) -> None:
    """Write a study file to begin with, which runs as it is."""
    text = resources.files("heredity.study_files").joinpath("example.toml").read_text("utf-8")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(
            f"{str(path)!r} is there already: name a file that is to be made"
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    name = shlex.quote(str(path))
    say(f"wrote {path}; next:\n  heredity check {name}\n  heredity run {name}")


def check(
    file: File,
    workers: Workers = None,
    attempt: Annotated[
        bool, typer.Option("--try", help="Also train a few steps, and measure time and disk.")
    ] = False,
) -> None:
    """Say what a study would do, without training anything."""
    from heredity.study_files.preview import preview

    study, executor = found(file)
    slots = workers or _slots(study, executor)
    print("\n".join(_lines(study, preview(study, slots), slots)))
    if attempt:
        print()
        try_out(study, workers)


def schema() -> None:
    """Print the JSON Schema of study files, for editors."""
    from heredity.study_files.shape import schema

    print_json(schema())


def _slots(study: Study, executor: AnyExecutor | None) -> int:
    """How many trials would run at once."""
    from heredity.executors.processes import Processes

    if study.vector is not None and executor is None:
        return study.definition.population
    slots: int = getattr(executor or Processes(), "slots", study.definition.population)
    return slots


def _lines(study: Study, seen: Preview, slots: int) -> list[str]:
    from heredity.live.words import plural

    d = study.definition
    items = {
        "members": f"{d.population}, in trials of {plural(d.interval, 'step')}, {slots} at once",
        "trials": "until the budget is used" if seen.trials is None else f"{seen.trials:,}",
        "exploits": _exploits(seen),
        "checkpoints": f"{_checkpoints(study, seen)} in {study.folder}{_free(study)}",
        "first trial": _hparams(seen.first.hparams),
    }
    if seen.command is not None:
        items["runs"] = seen.command
    width = max(map(len, items))
    told = [f"{word:<{width}}  {text}" for word, text in items.items()]
    return [f"study {study.name}: {_objectives(study)}", "", *told]


def _objectives(study: Study) -> str:
    return ", ".join(f"{o.direction} {o.name}" for o in study.definition.objectives)


def _exploits(seen: Preview) -> str:
    if seen.exploits is None:
        return f"in about {seen.exploits_share:.0%} of trials, by a rehearsal"
    return f"about {seen.exploits:,}, by a rehearsal with made-up scores"


def _checkpoints(study: Study, seen: Preview) -> str:
    if study.vector is not None:
        return "all members in one file, every few seconds,"
    return f"up to {seen.checkpoints:,} at once"


def _free(study: Study) -> str:
    from heredity.live.words import size

    free_bytes = study.checkpoints.free_bytes()
    return "" if free_bytes is None else f" ({size(free_bytes)} free)"


def _hparams(hparams: Mapping[str, Any]) -> str:
    from heredity.live.words import short

    return ", ".join(f"{name}={short(value)}" for name, value in hparams.items())
