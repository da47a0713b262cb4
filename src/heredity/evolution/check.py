"""The check of events before they are folded, against the tables of legal transitions.

The rules of this file: a check changes nothing; of a block, each event is held against what its
predecessors would leave behind; what passes here must fold without an error. What a block would
change is kept as differences from the state, in the words of the state.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from heredity.errors import IllegalEvent
from heredity.evolution import events as ev
from heredity.evolution.rounds import expand
from heredity.evolution.state import Ended, State
from heredity.evolution.transitions import OPENS, STUDY, TRIAL, may_retry
from heredity.evolution.trial import Proposal


def check(state: State, events: Sequence[ev.Event], in_round: bool = False) -> None:
    """Raise `IllegalEvent` unless the whole block may follow the state.

    Args:
        in_round: the events are parts of a round, whose trials may begin from the states that the
            round before left on the device.
    """
    block = Check(state, in_round)
    for event in events:
        block.verify(event)
        block.note(event)


class Check:
    """A state, and the differences that a block of events would make to it."""

    def __init__(self, state: State, in_round: bool = False) -> None:
        self._state = state
        self._in_round = in_round
        self._study: str | None = None
        self._lanes: int | None = None
        self._ahead: list[Proposal] = []
        self._statuses: dict[int, str] = {}
        self._attempts: dict[int, int] = {}
        self._errors: dict[int, int] = {}
        self._closed: set[int] = set()
        self._open_in: dict[int, int] = {}
        self._turns: dict[int, int] = {}
        self._kept: dict[int, bool] = {}
        self._pins: dict[int, bool] = {}
        self._injected: set[int] = set()
        self._carried_out: set[int] = set()
        self._on_device: dict[int, int] = {}

    def verify(self, event: ev.Event) -> None:
        """Raise `IllegalEvent` unless the event may follow."""
        _RULES[type(event)](self, event)

    def note(self, event: ev.Event) -> None:
        """Take the effect of a legal event into account."""
        effect = _EFFECTS.get(type(event))
        if effect is not None:
            effect(self, event)

    # ------------------------------------------------------------------ rules

    def _study_may(self, event: ev.Event) -> None:
        if (self._study_status(), type(event)) not in STUDY:
            raise IllegalEvent(
                f"{type(event).__name__} is not possible in a study that is {self._study_status()}"
            )

    def _may_end(self, event: ev.StudyEnded) -> None:
        self._study_may(event)
        if count := len(self._open()):
            raise IllegalEvent(f"a study cannot end while {count} trials are open")

    def _may_inject(self, event: ev.TrialInjected) -> None:
        self._study_may(event)
        if event.injection != self._state.injected + len(self._injected):
            raise IllegalEvent(f"injection {event.injection} is out of order")

    def _trial_may(self, event: Any) -> None:
        trial, now = event.trial, self._status(event.trial)
        if (now, type(event)) not in TRIAL or self._study_status() in (None, "ended"):
            raise IllegalEvent(
                f"{type(event).__name__} is not possible for trial {trial}, which is "
                f"{now or 'unknown'}, in a study that is {self._study_status()}"
            )
        if now == "failed" and not self._is_open(trial):
            raise IllegalEvent(f"trial {trial} failed for good; its lane has moved on")

    def _may_start(self, event: ev.TrialStarted) -> None:
        self._trial_may(event)
        expected = self._attempt(event.trial) + 1
        if event.attempt != expected:
            raise IllegalEvent(
                f"trial {event.trial} starts as attempt {event.attempt}; it is "
                f"{self._status(event.trial)} and its next attempt is {expected}"
            )

    def _attempt_may(self, event: ev.TrialMeasured | ev.TrialFailed) -> None:
        self._trial_may(event)
        if event.attempt != self._attempt(event.trial):
            raise IllegalEvent(
                f"{type(event).__name__} of attempt {event.attempt} of trial {event.trial}, whose "
                f"attempt {self._attempt(event.trial)} is running"
            )

    def _may_finish(self, event: ev.TrialFinished | ev.TrialStopped) -> None:
        self._trial_may(event)
        if event.score is not None and not math.isfinite(event.score):
            raise IllegalEvent(
                f"trial {event.trial} ended with the score {event.score}; what is not finite is "
                f"recorded as TrialDiverged"
            )

    def _may_stop(self, event: ev.TrialStopped) -> None:
        self._may_finish(event)
        p = self._proposal(event.trial)
        if not p.start <= event.reached <= p.stop:
            raise IllegalEvent(
                f"trial {event.trial} stopped at step {event.reached}, not in {p.start} to {p.stop}"
            )

    def _may_propose(self, event: ev.TrialProposed) -> None:
        self._trial_may(event)
        p = event.proposal
        if event.trial != self._count():
            raise IllegalEvent(f"trial {event.trial} is not the next number, {self._count()}")
        if self._study_status() not in OPENS[p.kind] and not self._in_round:
            raise IllegalEvent(
                f"no {p.kind} trial can be proposed in a study that is {self._study_status()}"
            )
        if not 0 <= p.member < self._lane_count():
            raise IllegalEvent(
                f"there is no member {p.member} in a population of {self._lane_count()}"
            )
        self._sources_may(event.trial, p)
        if p.kind == "train":
            self._lane_may(event.trial, p)
        elif p.weights_from is None or p.start != p.stop:
            raise IllegalEvent(
                f"trial {event.trial} is an evaluation: it needs weights and no steps"
            )
        if p.injection is not None and not self._injection_waits(p.injection):
            raise IllegalEvent(f"injection {p.injection} is not waiting")

    def _sources_may(self, trial: int, p: Proposal) -> None:
        if p.weights_from is not None and not self._can_give(p.weights_from):
            raise IllegalEvent(
                f"trial {trial} begins from trial {p.weights_from}, which has no checkpoint"
            )
        for source in p.hparams_from:
            if not 0 <= source < self._count():
                raise IllegalEvent(f"trial {trial} takes hparams from trial {source}: no such")

    def _lane_may(self, trial: int, p: Proposal) -> None:
        if self._open_in.get(p.member, self._state.open_in(p.member)) >= 0:
            raise IllegalEvent(f"lane {p.member} already has an open trial")
        if p.turn != self._turn(p.member):
            raise IllegalEvent(f"trial {trial} takes turn {p.turn} of lane {p.member} out of order")
        if p.stop <= p.start:
            raise IllegalEvent(f"trial {trial} trains no step: {p.start} to {p.stop}")
        if p.weights_from is None and p.start != 0:
            raise IllegalEvent(f"trial {trial} starts at step {p.start} from no weights")

    def _may_release(self, event: ev.CheckpointsReleased) -> None:
        wanted = {self._proposal(trial).weights_from for trial in self._open()}
        for trial in event.trials:
            if not self._has_checkpoint(trial):
                raise IllegalEvent(f"trial {trial} has no checkpoint to release")
            if trial in wanted or self._is_pinned(trial):
                raise IllegalEvent(f"trial {trial}'s checkpoint is still needed")
        if len(set(event.trials)) < len(event.trials):
            raise IllegalEvent(f"a checkpoint is released twice: {event.trials}")

    def _may_pin(self, event: ev.CheckpointPinned) -> None:
        if not self._has_checkpoint(event.trial):
            raise IllegalEvent(f"trial {event.trial} has no checkpoint to pin")
        if self._is_pinned(event.trial):
            raise IllegalEvent(f"trial {event.trial} is already pinned")

    def _may_unpin(self, event: ev.CheckpointUnpinned) -> None:
        if not self._is_pinned(event.trial):
            raise IllegalEvent(f"trial {event.trial} is not pinned")

    def _round_may(self, event: ev.RoundFinished) -> None:
        """A round may follow if its trials' own events may, one after the other."""
        self._study_may(event)
        ahead = self._copy()
        ahead._in_round = True
        for part in expand(event):
            ahead.verify(part)
            ahead.note(part)
        for trial in event.saved:
            if trial not in ahead._statuses and self._status(trial) != "finished":
                raise IllegalEvent(f"trial {trial}, which was saved, is not of a finished round")

    def _copy(self) -> Check:
        copied = Check(self._state)
        for name, value in vars(self).items():
            if name != "_state":
                setattr(copied, name, copy(value))
        return copied

    # ------------------------------------------------------------------ effects

    def _note_study(self, event: ev.Event) -> None:
        self._study = STUDY[self._study_status(), type(event)]

    def _note_created(self, event: ev.StudyCreated) -> None:
        self._note_study(event)
        self._lanes = int(event.definition["population"])

    def _note_injected(self, event: ev.TrialInjected) -> None:
        self._injected.add(event.injection)

    def _note_proposed(self, event: ev.TrialProposed) -> None:
        p = event.proposal
        self._ahead.append(p)
        self._statuses[event.trial] = "proposed"
        self._attempts[event.trial] = -1
        if p.kind == "train":
            self._turns[p.member] = p.turn + 1
            self._open_in[p.member] = event.trial
        if p.injection is not None:
            self._carried_out.add(p.injection)

    def _note_started(self, event: ev.TrialStarted) -> None:
        self._statuses[event.trial] = "running"
        self._attempts[event.trial] = event.attempt

    def _note_ended(self, event: Ended) -> None:
        p = self._proposal(event.trial)
        self._statuses[event.trial] = TRIAL["running", type(event)]
        if p.kind == "train":
            self._kept[event.trial] = getattr(event, "checkpoint", None) is not None
        self._close(event.trial, p)

    def _note_round(self, event: ev.RoundFinished) -> None:
        for part in expand(event):
            self.note(part)
        self._kept.update(dict.fromkeys(event.saved, True))
        for trial in range(event.first, event.first + event.count):
            self._on_device[self._proposal(trial).member] = trial

    def _note_failed(self, event: ev.TrialFailed) -> None:
        trial = event.trial
        self._statuses[trial] = "failed"
        before = self._errors.get(trial, self._state.errors.get(trial, 0))
        self._errors[trial] = before + (event.failure != "lost")
        if not may_retry(self._errors[trial], self._attempt(trial)):
            self._close(trial, self._proposal(trial))

    def _close(self, trial: int, p: Proposal) -> None:
        self._closed.add(trial)
        if p.kind == "train":
            self._open_in[p.member] = -1

    def _note_released(self, event: ev.CheckpointsReleased) -> None:
        self._kept.update(dict.fromkeys(event.trials, False))

    def _note_pin(self, event: ev.CheckpointPinned | ev.CheckpointUnpinned) -> None:
        self._pins[event.trial] = isinstance(event, ev.CheckpointPinned)

    # ------------------------------------------------------------------ what holds after the block

    def _study_status(self) -> str | None:
        return self._study or self._state.status

    def _lane_count(self) -> int:
        return self._state.lanes if self._lanes is None else self._lanes

    def _count(self) -> int:
        return len(self._state) + len(self._ahead)

    def _proposal(self, trial: int) -> Proposal:
        known = len(self._state)
        return self._state.proposal_of(trial) if trial < known else self._ahead[trial - known]

    def _status(self, trial: int) -> str | None:
        return self._statuses.get(trial) or self._state.status_of(trial)

    def _attempt(self, trial: int) -> int:
        found = self._attempts.get(trial)
        return self._state.attempt_of(trial) if found is None else found

    def _is_open(self, trial: int) -> bool:
        return trial not in self._closed and (
            trial >= len(self._state) or self._state.is_open(trial)
        )

    def _open(self) -> list[int]:
        ahead = range(len(self._state), self._count())
        return [trial for trial in (*self._state.open, *ahead) if trial not in self._closed]

    def _turn(self, member: int) -> int:
        found = self._turns.get(member)
        return self._state.turn_of(member) if found is None else found

    def _has_checkpoint(self, trial: int) -> bool:
        found = self._kept.get(trial)
        return self._state.has_checkpoint(trial) if found is None else found

    def _can_give(self, trial: int) -> bool:
        return self._has_checkpoint(trial) or (self._in_round and self._is_on_device(trial))

    def _is_on_device(self, trial: int) -> bool:
        if not 0 <= trial < self._count():
            return False
        found = self._on_device.get(self._proposal(trial).member)
        return self._state.is_on_device(trial) if found is None else found == trial

    def _is_pinned(self, trial: int) -> bool:
        found = self._pins.get(trial)
        return self._state.is_pinned(trial) if found is None else found

    def _injection_waits(self, injection: int) -> bool:
        known = injection in self._injected or self._state.injection_waiting(injection)
        return known and injection not in self._carried_out


_RULES: dict[type, Callable[[Check, Any], None]] = {
    ev.StudyCreated: Check._study_may,
    ev.TrialProposed: Check._may_propose,
    ev.TrialStarted: Check._may_start,
    ev.TrialMeasured: Check._attempt_may,
    ev.TrialFinished: Check._may_finish,
    ev.TrialDiverged: Check._trial_may,
    ev.TrialFailed: Check._attempt_may,
    ev.TrialStopRequested: Check._trial_may,
    ev.TrialStopped: Check._may_stop,
    ev.RoundFinished: Check._round_may,
    ev.ChunkChosen: Check._study_may,
    ev.CheckpointsReleased: Check._may_release,
    ev.CheckpointPinned: Check._may_pin,
    ev.CheckpointUnpinned: Check._may_unpin,
    ev.BudgetChanged: Check._study_may,
    ev.BoundsChanged: Check._study_may,
    ev.TrialInjected: Check._may_inject,
    ev.StudyPaused: Check._study_may,
    ev.StudyResumed: Check._study_may,
    ev.StudyStopRequested: Check._study_may,
    ev.StudyEnded: Check._may_end,
}
"""What must hold for each event of the union."""

_EFFECTS: dict[type, Callable[[Check, Any], None]] = {
    ev.StudyCreated: Check._note_created,
    ev.TrialProposed: Check._note_proposed,
    ev.TrialStarted: Check._note_started,
    ev.TrialFinished: Check._note_ended,
    ev.TrialDiverged: Check._note_ended,
    ev.TrialFailed: Check._note_failed,
    ev.TrialStopped: Check._note_ended,
    ev.RoundFinished: Check._note_round,
    ev.CheckpointsReleased: Check._note_released,
    ev.CheckpointPinned: Check._note_pin,
    ev.CheckpointUnpinned: Check._note_pin,
    ev.BudgetChanged: Check._note_study,
    ev.TrialInjected: Check._note_injected,
    ev.StudyPaused: Check._note_study,
    ev.StudyResumed: Check._note_study,
    ev.StudyStopRequested: Check._note_study,
    ev.StudyEnded: Check._note_study,
}
"""What each event changes of that which another event's rule asks for."""
