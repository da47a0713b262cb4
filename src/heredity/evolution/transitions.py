"""What may happen next: the tables of legal transitions, and the check of a block of events.

The rules of this file: a transition that is not in a table is illegal; a check changes nothing; a
block is checked whole, each event against the state its predecessors in the block would leave.
"""

from __future__ import annotations

from collections.abc import Sequence

from heredity.errors import IllegalEvent
from heredity.evolution import events as ev
from heredity.evolution.state import State
from heredity.evolution.trial import Proposal

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
"""A trial's next status, by its present one (None: it does not exist) and the event."""

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
    ("running", ev.BoundsChanged): "running",
    ("paused", ev.BoundsChanged): "paused",
    ("ended", ev.BoundsChanged): "ended",
    ("running", ev.TrialInjected): "running",
    ("paused", ev.TrialInjected): "paused",
}
"""A study's next status, by its present one (None: it does not exist) and the event."""

OPENS = {"train": ("running",), "evaluate": ("running", "stopping")}
"""The study's statuses in which a trial of each kind may be proposed."""


class Check:
    """The state that a block would leave behind, as differences from the fold's."""

    __slots__ = ("_ahead", "_released", "_state", "_statuses", "_study")

    def __init__(self, state: State) -> None:
        self._state = state
        self._study = state.status
        self._statuses: dict[int, str] = {}
        self._ahead: list[ev.TrialProposed] = []
        self._released: set[int] = set()

    def step(self, event: ev.Event) -> None:
        """Check one event and take its effect into account."""
        kind = type(event)
        if kind in _STUDY_EVENTS:
            self._step_study(event)
        elif isinstance(event, ev.CheckpointsReleased):
            self._step_release(event)
        elif isinstance(event, ev.CheckpointPinned | ev.CheckpointUnpinned):
            self._step_pin(event)
        else:
            self._step_trial(event)  # type: ignore[arg-type]

    def _step_study(self, event: ev.Event) -> None:
        after = STUDY.get((self._study, type(event)))
        if after is None:
            raise IllegalEvent(
                f"{type(event).__name__} is not possible in a study that is {self._study}"
            )
        if isinstance(event, ev.StudyEnded) and self._open_count():
            raise IllegalEvent(f"a study cannot end while {self._open_count()} trials are open")
        if isinstance(event, ev.TrialInjected) and event.injection != self._state.next_injection():
            raise IllegalEvent(f"injection {event.injection} is out of order")
        self._study = after

    def _step_trial(self, event: ev.TrialProposed | ev.TrialStarted | ev.TrialFinished) -> None:
        trial, now = event.trial, self._status_of(event.trial)
        after = TRIAL.get((now, type(event)))
        if after is None or self._study in (None, "ended"):
            raise IllegalEvent(
                f"{type(event).__name__} is not possible for trial {trial}, which is "
                f"{now or 'unknown'}, in a study that is {self._study}"
            )
        if isinstance(event, ev.TrialProposed):
            self._check_proposed(event)
            self._ahead.append(event)
        elif now == "failed" and not self._state.is_open(trial):
            raise IllegalEvent(f"trial {trial} failed for good; its lane has moved on")
        elif isinstance(event, ev.TrialStarted):
            self._check_started(event, now)
        self._statuses[trial] = after

    def _check_proposed(self, event: ev.TrialProposed) -> None:
        p = event.proposal
        if event.trial != len(self._state) + len(self._ahead):
            raise IllegalEvent(f"trial {event.trial} is not the next number")
        if self._study not in OPENS[p.kind]:
            raise IllegalEvent(
                f"no {p.kind} trial can be proposed in a study that is {self._study}"
            )
        if p.weights_from is not None:
            self._check_source(event.trial, p.weights_from)
        if p.kind == "train":
            self._check_lane(event.trial, p)
        elif p.weights_from is None or p.start != p.stop:
            raise IllegalEvent(
                f"trial {event.trial} is an evaluation: it needs weights and no steps"
            )
        if p.injection is not None and not self._state.injection_waiting(p.injection):
            raise IllegalEvent(f"injection {p.injection} is not waiting")

    def _check_lane(self, trial: int, p: Proposal) -> None:
        ahead = any(
            e.proposal.member == p.member for e in self._ahead if e.proposal.kind == "train"
        )
        if ahead or self._state.open_in(p.member) >= 0:
            raise IllegalEvent(f"lane {p.member} already has an open trial")
        if p.turn != self._state.turn_of(p.member):
            raise IllegalEvent(f"trial {trial} takes turn {p.turn} of lane {p.member} out of order")
        if p.stop <= p.start:
            raise IllegalEvent(f"trial {trial} trains no step: {p.start} to {p.stop}")
        if p.weights_from is None and p.start != 0:
            raise IllegalEvent(f"trial {trial} starts at step {p.start} from no weights")

    def _check_source(self, trial: int, source: int) -> None:
        if source in self._released or not self._state.has_checkpoint(source):
            raise IllegalEvent(f"trial {trial} begins from trial {source}, which has no checkpoint")

    def _check_started(self, event: ev.TrialStarted, now: str | None) -> None:
        expected = 0 if event.trial >= len(self._state) else self._state.attempt_of(event.trial) + 1
        if event.attempt != expected:
            raise IllegalEvent(
                f"trial {event.trial} starts as attempt {event.attempt}; it is {now} and "
                f"its next attempt is {expected}"
            )

    def _step_release(self, event: ev.CheckpointsReleased) -> None:
        for trial in event.trials:
            wanted = any(e.proposal.weights_from == trial for e in self._ahead)
            if trial in self._released or not self._state.has_checkpoint(trial):
                raise IllegalEvent(f"trial {trial} has no checkpoint to release")
            if wanted or self._state.is_source(trial) or self._state.is_pinned(trial):
                raise IllegalEvent(f"trial {trial}'s checkpoint is still needed")
            self._released.add(trial)

    def _step_pin(self, event: ev.CheckpointPinned | ev.CheckpointUnpinned) -> None:
        pinned = isinstance(event, ev.CheckpointPinned)
        if event.trial in self._released or not self._state.has_checkpoint(event.trial):
            raise IllegalEvent(f"trial {event.trial} has no checkpoint to pin or unpin")
        if pinned == self._state.is_pinned(event.trial):
            raise IllegalEvent(f"trial {event.trial} is {'already' if pinned else 'not'} pinned")

    def _status_of(self, trial: int) -> str | None:
        return self._statuses.get(trial) or self._state.status_of(trial)

    def _open_count(self) -> int:
        ended = sum(
            status in ("finished", "diverged", "stopped") for status in self._statuses.values()
        )
        return self._state.open_count() + len(self._ahead) - ended


_STUDY_EVENTS = frozenset(kind for _, kind in STUDY)


def check(state: State, events: Sequence[ev.Event]) -> None:
    """Raise `IllegalEvent` unless the whole block may follow the state."""
    block = Check(state)
    for event in events:
        block.step(event)
