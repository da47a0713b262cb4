"""Commands that hand a schedule on: export-schedule and fit-schedule."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from heredity.cli.output import print_json, print_table, say
from heredity.cli.studies import FOLDER, AsJson, Storage, StudyName, opened
from heredity.errors import UsageError

TrialNumber = Annotated[
    int | None, typer.Option("--trial", help="The trial whose weights; the best one's by default.")
]


def export_schedule(
    study: StudyName = None,
    trial: TrialNumber = None,
    form: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="FORM",
            help="torch or optax: code to train by; table: a row a change; csv or json: segments.",
        ),
    ] = "table",
    smooth: Annotated[
        int | None,
        typer.Option(metavar="STEPS", help="Take the moving average over so many steps."),
    ] = None,
    every: Annotated[
        int | None,
        typer.Option(metavar="STEPS", help="Of a table: a row each so many steps."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The file; standard output by default.")] = None,
    storage: Storage = FOLDER,
) -> None:
    """Write the hparams by step for other programs: as tables, or as code for torch and optax."""
    from heredity.analysis.export import exported, smoothed, table
    from heredity.analysis.records import read

    if every is not None and form != "table":
        raise UsageError(f"--every is for --as table, not for --as {form}")
    result = opened(study, storage)
    schedule = result.schedule(trial)
    if smooth is not None:
        schedule = smoothed(schedule, read(result.population).space, smooth)
    _write(exported(schedule, form) if every is None else table(schedule, every), out)


def fit_schedule(
    study: StudyName = None,
    trial: TrialNumber = None,
    storage: Storage = FOLDER,
    as_json: AsJson = False,
) -> None:
    """Fit simple shapes to each hparam's schedule: how much each explains, and its formula."""
    from heredity.analysis.fit import fits
    from heredity.analysis.records import read

    result = opened(study, storage)
    found = fits(result.schedule(trial), read(result.population).space)
    rows = [(name, fit) for name, ranked in found.items() for fit in ranked]
    if as_json:
        print_json([_fit(name, fit) for name, fit in rows])
    elif rows:
        titles = ("hparam", "shape", "explains", "code")
        print_table(titles, [(n, f.shape, f"{f.explained:.1%}", f.code) for n, f in rows])
    else:
        say("no hparam of this study is a number or an ordered choice, so there is none to fit")


def _fit(name: str, fit: Any) -> dict[str, Any]:
    return {"hparam": name, "shape": fit.shape, "explained": fit.explained, "code": fit.code}


def _write(text: str, out: Path | None) -> None:
    if out is None:
        print(text, end="")
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from error
