"""Whether a report from outside may be recorded: what it says must fit the trial it is about.

A worker elsewhere is believed in what it measured, and in nothing that the service can see for
itself. This file changes nothing and knows no HTTP.
"""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

from heredity.checkpoints.manifest import MANIFEST
from heredity.errors import UsageError
from heredity.evolution.trial import Checkpoint, Trial
from heredity.executors.base import Completed, Failed
from heredity.service.studies import OpenStudy
from heredity.service.wire import Heartbeat


def check_completed(study: OpenStudy, report: Completed) -> None:
    """`UsageError` if this cannot have come of the trial; `NotFound` if there is no such trial.

    Of a trial that has ended, any checkpoint is welcome: it will not be recorded again.
    """
    trial = _known(study, report)
    if not study.log.population.is_open(report.trial):
        return
    if report.checkpoint is not None:
        _check_saved(study.checkpoints.root, trial, report.attempt, report.checkpoint)
    elif _needs_checkpoint(trial, report, study.definition.objectives[0].name):
        raise UsageError(
            f"attempt {report.attempt} of trial {trial.id} trained, and names no checkpoint: other "
            f"trials are to begin from it. Send what it saved before the report, to "
            f"checkpoints/{trial.id}-{report.attempt}, or report that it failed"
        )


def check_failed(study: OpenStudy, report: Failed) -> None:
    """`UsageError` if this cannot have come of the trial; `NotFound` if there is no such trial."""
    _known(study, report)


def check_measured(study: OpenStudy, beat: Heartbeat) -> None:
    """`UsageError` if something cannot have been measured in the trial; `NotFound` if there is no
    such trial."""
    trial = study.log.population.trial(beat.trial)
    for measured in beat.measured:
        if not trial.start <= measured.step <= trial.stop:
            raise UsageError(
                f"trial {trial.id} goes from step {trial.start} to {trial.stop}; nothing can have "
                f"been measured at step {measured.step}"
            )


def _known(study: OpenStudy, report: Completed | Failed) -> Trial:
    """The trial, one of whose attempts the report is about."""
    population = study.log.population
    if not 0 <= report.trial < len(population) or _is_news(study, report):
        study.log.refresh()
    trial = population.trial(report.trial)
    if not 0 <= report.attempt <= population.attempt_of(report.trial):
        raise UsageError(f"trial {trial.id} has had no attempt {report.attempt}")
    if not (math.isfinite(report.elapsed_s) and report.elapsed_s >= 0):
        raise UsageError(f"elapsed_s is a time in seconds, not {report.elapsed_s}")
    return trial


def _is_news(study: OpenStudy, report: Completed | Failed) -> bool:
    """Whether another process must have started this attempt."""
    return report.attempt > study.log.population.attempt_of(report.trial)


def _needs_checkpoint(trial: Trial, report: Completed, metric: str) -> bool:
    """A trial that trained saves, unless it diverged, or was stopped before it could."""
    score = report.metrics.get(metric)
    if score is None:
        return trial.kind == "train" and report.reached == trial.stop
    return trial.kind == "train" and math.isfinite(score)


def _check_saved(root: Path, trial: Trial, attempt: int, saved: Checkpoint) -> None:
    """The checkpoint is where this attempt saves, and is what the report says."""
    if saved.uri != f"{trial.id}-{attempt}" or saved.row is not None or trial.kind != "train":
        raise UsageError(f"{saved.uri[:80]!r} is not where attempt {attempt} of {trial.id} saves")
    try:
        text = (root / saved.uri / MANIFEST).read_bytes()
    except OSError:
        raise UsageError(
            f"there is no checkpoint {saved.uri} at the service: send it before the report"
        ) from None
    if hashlib.sha256(text).hexdigest() != saved.digest or saved.size_bytes < len(text):
        raise UsageError(f"the checkpoint {saved.uri} at the service is not the one reported")
