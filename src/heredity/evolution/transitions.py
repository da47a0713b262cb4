"""What may happen next: the tables of legal transitions. What is in no table is illegal.

Pure data, and one rule for what a failure leads to. `check` holds events against it.
"""

from __future__ import annotations

from heredity.evolution import events as ev

TRIAL: dict[tuple[str | None, type], str] = {
    (None, ev.TrialProposed): "proposed",
    ("proposed", ev.TrialStarted): "running",
    ("failed", ev.TrialStarted): "running",
    ("running", ev.TrialMeasured): "running",
    ("running", ev.TrialStopRequested): "running",
    ("running", ev.TrialFinished): "finished",
    ("running", ev.TrialDiverged): "diverged",
    ("running", ev.TrialStopped): "stopped",
    ("running", ev.TrialFailed): "failed",
    # A completion counts from any attempt, as long as the trial is still wanted.
    ("failed", ev.TrialFinished): "finished",
    ("failed", ev.TrialDiverged): "diverged",
    ("failed", ev.TrialStopped): "stopped",
}
"""A trial's next status, by its present one (None: it does not exist) and the event. Of failed
trials, only those that will be tried again have one."""

STUDY: dict[tuple[str | None, type], str] = {
    (None, ev.StudyCreated): "running",
    ("running", ev.StudyPaused): "paused",
    ("running", ev.StudyStopRequested): "stopping",
    ("running", ev.StudyEnded): "ended",
    ("paused", ev.StudyResumed): "running",
    ("paused", ev.StudyStopRequested): "stopping",
    ("stopping", ev.StudyPaused): "paused",
    ("stopping", ev.StudyEnded): "ended",
    ("ended", ev.StudyResumed): "running",
    ("running", ev.BudgetChanged): "running",
    ("paused", ev.BudgetChanged): "paused",
    ("stopping", ev.BudgetChanged): "stopping",
    ("ended", ev.BudgetChanged): "running",
    ("running", ev.RoundFinished): "running",
    ("stopping", ev.RoundFinished): "stopping",
    ("paused", ev.RoundFinished): "paused",
    ("running", ev.ChunkChosen): "running",
    ("paused", ev.ChunkChosen): "paused",
    ("stopping", ev.ChunkChosen): "stopping",
    ("running", ev.BoundsChanged): "running",
    ("paused", ev.BoundsChanged): "paused",
    ("ended", ev.BoundsChanged): "ended",
    ("running", ev.TrialInjected): "running",
    ("paused", ev.TrialInjected): "paused",
}
"""A study's next status, by its present one (None: it does not exist) and the event."""

OPENS = {"train": ("running",), "evaluate": ("running", "stopping")}
"""The study's statuses in which a trial of each kind may be proposed."""

ATTEMPTS_AFTER_ERROR = 2
"""A trial that fails by itself is tried this often; then its lane gets a new start."""

ATTEMPTS_IN_ALL = 10
"""A trial that is lost with its worker is issued again, but not for ever."""


def may_retry(errors: int, attempt: int) -> bool:
    """Whether a trial is tried again after so many errors of its own and this attempt, from 0."""
    return errors < ATTEMPTS_AFTER_ERROR and attempt + 1 < ATTEMPTS_IN_ALL
