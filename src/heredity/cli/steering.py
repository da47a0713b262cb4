"""Commands by which a person takes a hand: pause, resume, stop, inject, pin, unpin, bounds.

They need the study's log and not its code. Whoever runs the study reads them within about a second.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heredity.cli.output import say
from heredity.cli.studies import FOLDER, Storage, StudyName, names, the_study
from heredity.errors import NotFound, UsageError, did_you_mean

if TYPE_CHECKING:
    from heredity.log import Log

Required = Annotated[str, typer.Argument(metavar="STUDY", help="The study's name.")]
Reason = Annotated[str, typer.Option("--reason", help="Shown to others, and kept in the log.")]
OfStudy = Annotated[str, typer.Argument(metavar="[STUDY] TRIAL", help="The trial's number.")]
Second = Annotated[str | None, typer.Argument(hidden=True)]


def pause(
    study: StudyName = None, reason: Reason = "by a person", storage: Storage = FOLDER
) -> None:
    """Start nothing new until it is resumed; what runs is finished."""
    from heredity import hands

    with _log(study, storage) as log:
        hands.pause(log, reason)
        say(f"paused study {log.study!r}; to go on: heredity resume {log.study}")


def resume(study: StudyName = None, storage: Storage = FOLDER) -> None:
    """Go on with a study that is paused, or was stopped."""
    from heredity import hands

    with _log(study, storage) as log:
        hands.resume(log)
        say(f"resumed study {log.study!r}{_idle(log)}")


def stop(
    study: StudyName = None, reason: Reason = "stopped by a person", storage: Storage = FOLDER
) -> None:
    """End a study: what runs is finished, finalists measured again."""
    from heredity import hands

    with _log(study, storage) as log:
        hands.stop(log, reason)
        if log.population.status == "ended":
            say(f"study {log.study!r} has ended already: {log.population.reason}")
        else:
            say(f"study {log.study!r} ends when what runs is finished{_idle(log)}")


def pin(study: OfStudy, trial: Second = None, storage: Storage = FOLDER) -> None:
    """Keep a trial's checkpoint until the pin is taken off."""
    from heredity import hands

    name, number = _trial(study, trial)
    with _log(name, storage) as log:
        hands.pin(log, number)
        say(f"the checkpoint of trial {number} is kept")


def unpin(study: OfStudy, trial: Second = None, storage: Storage = FOLDER) -> None:
    """Take the pin off a trial's checkpoint."""
    from heredity import hands

    name, number = _trial(study, trial)
    with _log(name, storage) as log:
        hands.unpin(log, number)
        say(f"the checkpoint of trial {number} goes when nothing else wants it")


def bounds(
    study: Required,
    hparam: Annotated[str, typer.Argument(metavar="HPARAM", help="The hparam's name.")],
    low: Annotated[
        float, typer.Argument(metavar="LOW", help="Its least value; a negative one after `--`.")
    ],
    high: Annotated[float, typer.Argument(metavar="HIGH", help="Its greatest.")],
    storage: Storage = FOLDER,
) -> None:
    """Draw and move one hparam within other bounds from here on."""
    from heredity import hands

    with _log(study, storage) as log:
        hands.change_bounds(log, hparam, low, high)
        say(f"{hparam} moves between {low:g} and {high:g} from here on")


def inject(
    study: Required,
    values: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE…", help="All hparams, such as lr=0.1.")
    ],
    weights_from: Annotated[
        int | None, typer.Option(help="The trial whose weights it begins from; or from scratch.")
    ] = None,
    storage: Storage = FOLDER,
) -> None:
    """Ask for a trial with these hparams.

    The weakest of the next members to start runs it.
    """
    from heredity import hands

    hparams = dict(_hparam(text) for text in values)
    with _log(study, storage) as log:
        hands.inject(log, hparams, weights_from)
        told = ", ".join(f"{name}={value}" for name, value in hparams.items())
        say(
            f"the next member to start in study {log.study!r} runs a trial with {told}, unless the "
            f"study ends before{_idle(log)}"
        )


def _idle(log: Log) -> str:
    """What to do where nobody would see to what was asked for."""
    from heredity.live.runners import runners_of

    if log.population.status == "ended" or runners_of(log):
        return ""
    return ".\nNobody is at work on it now: start its command again, or a worker of its service"


def _hparam(text: str) -> tuple[str, Any]:
    """A name and a value: a number, true, false or null; what is nothing of these is text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"an hparam is given as NAME=VALUE, such as lr=0.1; got {text!r}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _trial(study: str, trial: str | None) -> tuple[str | None, int]:
    """The study, if it was named, and the trial's number."""
    name, number = (None, study) if trial is None else (study, trial)
    if not number.isdigit():
        raise UsageError(f"TRIAL is a trial's number, not {number!r}; `heredity trials` lists them")
    return name, int(number)


@contextmanager
def _log(name: str | None, storage: str) -> Iterator[Log]:
    """The study's log, to be written to; nothing is made where there is nothing."""
    from heredity.log import Log
    from heredity.stores import open_store, shown

    study, known = the_study(name, storage), names(storage)
    if study not in known:
        where = shown(storage)
        raise NotFound(f"there is no study {study!r} in {where!r}.{did_you_mean(study, known)}")
    store = open_store(storage)
    try:
        yield Log(store, study)
    finally:
        store.close()
