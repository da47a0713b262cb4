"""Commands that read: ls, status, doctor, best, trials, logs, schedule, export."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from heredity.cli import shapes
from heredity.cli.output import print_json, print_table, say
from heredity.cli.studies import FOLDER, AsJson, Storage, StudyName, names, opened, the_study
from heredity.errors import UsageError

if TYPE_CHECKING:
    from heredity.evolution.events import Event
    from heredity.evolution.trial import Trial
    from heredity.live.facts import Facts
    from heredity.result import Result


def ls(storage: Storage = FOLDER, as_json: AsJson = False) -> None:
    """List the studies, oldest first."""
    from heredity.live.words import number
    from heredity.stores import shown

    known = [_facts(opened(name, storage)) for name in names(storage)]
    if as_json:
        print_json([shapes.summary(facts) for facts in known])
    elif not known:
        say(f"there are no studies in {shown(storage)!r} yet; `heredity demo` makes one")
    else:
        rows = [
            (
                f.name,
                f"{f.population.status} {f.by}".rstrip(),
                f.progress.text,
                number(f.best_score),
            )
            for f in known
        ]
        print_table(("study", "status", "progress", "best"), rows)


def status(study: StudyName = None, storage: Storage = FOLDER, as_json: AsJson = False) -> None:
    """Show how a study stands, member by member."""
    facts = _facts(opened(study, storage))
    if as_json:
        print_json(shapes.study(facts))
        return
    from rich.console import Console

    from heredity.live.picture import picture

    console = Console(highlight=False)
    fancy = console.encoding == "utf-8"
    height = facts.population.lanes + 12
    console.print(picture(facts, None, console.width, height, fancy=fancy))


def doctor(study: StudyName = None, storage: Storage = FOLDER, as_json: AsJson = False) -> None:
    """Say what in a study deserves a look, and the setting to change."""
    from dataclasses import asdict

    from heredity.analysis.health import findings
    from heredity.analysis.records import read

    result = opened(study, storage)
    found = findings(read(result.population))
    if as_json:
        print_json([asdict(finding) for finding in found])
    elif not found:
        ended = result.population.ended_count
        print(f"nothing deserves a look after {ended:,} trials, as far as so many can tell")
    else:
        told = (f"{f.severity}: {f.kind}\n  {f.evidence}\n  → {f.advice}" for f in found)
        print("\n\n".join(told))


def best(
    study: StudyName = None,
    copy: Annotated[Path | None, typer.Option(help="Copy its checkpoint to this folder.")] = None,
    storage: Storage = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Show the best model so far, or copy its checkpoint."""
    from heredity.cli.summary import model_lines

    result = opened(study, storage)
    if copy is not None:
        if copy.exists():
            raise UsageError(f"{str(copy)!r} is there already: name a folder that is to be made")
        with result.best.opened() as folder:
            shutil.copytree(folder, copy)
        say(f"copied to {copy}")
    if as_json:
        print_json(shapes.best(result))
    else:
        print("\n".join(model_lines(result)))


def trials(study: StudyName = None, storage: Storage = FOLDER, as_json: AsJson = False) -> None:
    """List every trial, in order of proposal."""
    from heredity.live.words import number

    records = opened(study, storage).trials
    if as_json:
        print_json([shapes.trial(record) for record in records])
        return
    rows = [
        (
            str(t.id),
            str(t.member),
            t.kind,
            f"{t.start:,}–{t.stop:,}",
            t.status,
            number(t.score),
            "scratch" if t.weights_from is None else str(t.weights_from),
            _listed(t),
        )
        for t in records
    ]
    print_table(
        ("trial", "member", "kind", "steps", "status", "score", "weights from", "hparams"), rows
    )


def _listed(trial: Trial) -> str:
    from heredity.live.words import short

    return ", ".join(f"{name}={short(value)}" for name, value in trial.hparams.items())


def logs(
    study: Annotated[str, typer.Argument(metavar="[STUDY] TRIAL", help="The trial's number.")],
    trial: Annotated[str | None, typer.Argument(hidden=True)] = None,
    storage: Storage = FOLDER,
) -> None:
    """Print what a trial wrote, and how it failed if it did."""
    from heredity.executors.output import trial_log
    from heredity.stores import folder_of

    name, number = (None, study) if trial is None else (study, trial)
    if not number.isdigit():
        raise UsageError(f"TRIAL is a trial's number, not {number!r}; `heredity trials` lists them")
    result = opened(name, storage)
    record = result.population.trial(int(number))
    log = trial_log(folder_of(result.name, storage) / "logs", record.id)
    if log is not None and log.exists():
        print(log.read_text(errors="replace"), end="")
    else:
        say(f"trial {record.id} wrote nothing")
    if record.error:
        outcome = result.population.outcomes[record.id]
        say(f"{getattr(outcome, 'traceback', '')}\n{record.status}: {record.error}".strip())


def schedule(
    study: StudyName = None,
    trial: Annotated[
        int | None, typer.Option(help="The trial whose weights; the best one's by default.")
    ] = None,
    storage: Storage = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Show which hparams trained a model, from which step to which."""
    found = opened(study, storage).schedule(trial)
    if as_json:
        print_json(found.as_dicts())
    else:
        print(found)


def export(
    study: StudyName = None,
    out: Annotated[Path | None, typer.Option(help="The file; standard output by default.")] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="One row a trial instead of one line an event.")
    ] = False,
    storage: Storage = FOLDER,
) -> None:
    """Write the log, one JSON object a line, or a table of trials."""
    name = the_study(study, storage)
    with _written(out) as file:
        if as_csv:
            _write_csv(opened(name, storage).trials, file)
        else:
            for line in _lines(opened(name, storage).events):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


def _lines(events: Iterable[Event]) -> Iterator[dict[str, Any]]:
    from heredity.stores.codec import encode

    for seq, event in enumerate(events, 1):
        kind, format_, text = encode(event)
        yield {"seq": seq, "type": kind, "format": format_, "event": json.loads(text)}


def _write_csv(records: Iterable[Trial], file: TextIO) -> None:
    rows = [_flat(record) for record in records]
    titles = dict.fromkeys(title for row in rows for title in row)
    writer = csv.DictWriter(file, list(titles), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _flat(record: Trial) -> dict[str, Any]:
    row = shapes.trial(record)
    for name in ("hparams", "metrics", "checkpoint", "ramp_from"):
        row |= {f"{name}.{key}": value for key, value in (row.pop(name) or {}).items()}
    for name in ("hparams_from", "evidence"):
        row[name] = " ".join(map(str, row[name]))
    return row


@contextmanager
def _written(out: Path | None) -> Iterator[TextIO]:
    if out is None:
        yield sys.stdout
        return
    try:
        with out.open("w", encoding="utf-8", newline="") as file:
            yield file
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from error


def _facts(result: Result) -> Facts:
    from heredity.live.facts import facts_of

    return facts_of(result.name, result.population, result.seconds, result.runners)
