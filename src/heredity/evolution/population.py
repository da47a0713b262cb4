"""The fold: how each event changes the state of a study.

The rules of this file: nothing is folded unchecked; what comes out depends on the events and on
nothing else, however they are split into blocks. Opening a study is folding its log. It draws no
random number, asks no algorithm, and knows no store and no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from heredity.evolution import events as ev
from heredity.evolution.check import Check, check
from heredity.evolution.rounds import expand
from heredity.evolution.state import Confirmation, Ended, Injection, State
from heredity.evolution.transitions import may_retry
from heredity.evolution.trial import Checkpoint, Proposal, Status


class Population(State):
    """The state of a study as a fold of its events."""

    @classmethod
    def fold(cls, events: Sequence[ev.Event]) -> Population:
        """The state that a log leaves behind."""
        population = cls()
        population.replay(events)
        return population

    def apply(self, events: Sequence[ev.Event], *, checked: bool = False) -> None:
        """Fold a block. `IllegalEvent` if any of it is not possible now; then nothing changed.

        Args:
            checked: `check` passed for just this state and block.
        """
        if not checked:
            check(self, events)
        for event in events:
            self._fold(event)

    def replay(self, events: Iterable[ev.Event]) -> None:
        """Fold what is written already, of any length. After `IllegalEvent`, for which a log must
        be corrupt or of a later version, the state is that before the illegal event."""
        rules = Check(self)
        for event in events:
            rules.verify(event)
            self._fold(event)

    def foresee(self, events: Sequence[ev.Event]) -> None:
        """Fold parts of a round that is not in the log yet; it is written later as one
        `RoundFinished`, of which `wrote` takes note."""
        check(self, events, in_round=True)
        for event in events:
            _FOLD[type(event)](self, event)

    def wrote(self, events: Sequence[ev.Event]) -> None:
        """Take note of a block that is in the log now: rounds, whose trials were foreseen, and
        releases."""
        for event in events:
            if isinstance(event, ev.RoundFinished):
                self._note_saved(event)
            else:
                _FOLD[type(event)](self, event)
            self.seq += 1

    def _fold(self, event: ev.Event) -> None:
        _FOLD[type(event)](self, event)
        self.seq += 1

    def _created(self, event: ev.StudyCreated) -> None:
        definition = event.definition
        self.status, self.definition, self.code = "running", definition, event.code
        self.budget = event.budget
        self.lanes = int(definition["population"])
        objectives = definition["objectives"]
        self.names = tuple(o["name"] for o in objectives)
        self.signs = np.array([1.0 if o["direction"] == "maximize" else -1.0 for o in objectives])
        self.average = _average(definition["algorithm"])
        self._allocate(self.lanes, len(objectives))

    def _proposed(self, event: ev.TrialProposed) -> None:
        trial, p = event.trial, event.proposal
        self.proposed.append(event)
        self.outcomes.append(None)
        self.workers.append("")
        self.statuses.append("proposed")
        self.attempts.append(-1)
        self.member.append(p.member)
        self.stop.append(p.stop)
        self.source.append(-1 if p.weights_from is None else p.weights_from)
        for column in (self.below, self.kept, self.scores, self.means):
            column.extend()
        self.open[trial] = p.member
        self.waiting.append(trial)
        if p.kind == "train":
            self._take_turn(trial, p)
        elif p.weights_from is not None:
            self.evaluated.add(p.weights_from)

    def _take_turn(self, trial: int, p: Proposal) -> None:
        previous = int(self.last[p.member])
        self.open_trial[p.member] = trial
        self.turns[p.member] += 1
        taken_over = self._takes_over(p)
        self.exploits += taken_over
        if taken_over or (p.turn and p.weights_from != previous):
            self.taken_at[p.member] = self.spent[p.member]
        if p.injection is not None:
            self.injections = deque(i for i in self.injections if i.number != p.injection)

    def _takes_over(self, p: Proposal) -> bool:
        sources = p.hparams_from if p.weights_from is None else (p.weights_from, *p.hparams_from)
        return any(self.member[source] != p.member for source in sources)

    def _round(self, event: ev.RoundFinished) -> None:
        for part in expand(event):
            _FOLD[type(part)](self, part)
        self._note_saved(event)
        self.left_on_device(event.first, event.count)

    def left_on_device(self, first: int, count: int) -> None:
        """A round ended: its trials' states are on the device, in place of those before."""
        trials = np.arange(first, first + count)
        self.vectorized = True
        self.resident[self.member[trials]] = trials

    def _note_saved(self, event: ev.RoundFinished) -> None:
        if event.checkpoint is None:
            return
        share = event.checkpoint.size_bytes // max(1, len(event.saved))
        for trial, row in zip(event.saved, event.rows, strict=True):
            saved = replace(event.checkpoint, size_bytes=share, row=row)
            if self.kept[trial]:
                self._let_go(trial)
            self.blocks[trial] = saved
            self._hold(trial, saved)
            if np.isfinite(self.scores[trial][0]):
                self._compete(trial, self.proposal_of(trial).member)

    def _chunk_chosen(self, event: ev.ChunkChosen) -> None:
        self.chunk = event.chunk

    def _started(self, event: ev.TrialStarted) -> None:
        self.statuses[event.trial] = "running"
        self.attempts[event.trial] = event.attempt
        self.workers[event.trial] = event.worker
        self.waiting.remove(event.trial)
        self.measured.pop(event.trial, None)

    def _measured(self, event: ev.TrialMeasured) -> None:
        self.measured.setdefault(event.trial, []).append(event)

    def _stop_requested(self, event: ev.TrialStopRequested) -> None:
        self.stops.add(event.trial)

    def _finished(self, event: ev.TrialFinished) -> None:
        self._end(event, "finished", self.proposal_of(event.trial))

    def _stopped(self, event: ev.TrialStopped) -> None:
        p = self.proposal_of(event.trial)
        if p.kind == "train":
            self.stop[event.trial] = event.reached
        self._end(event, "stopped", p)

    def _diverged(self, event: ev.TrialDiverged) -> None:
        self._close(event.trial, "diverged", event)
        p = self.proposal_of(event.trial)
        if p.kind == "train":
            self.diverged += 1
            self.scores[event.trial] = -np.inf
            self.means[event.trial] = -np.inf
            self._charge(event.trial, p)
            self._enter(event.trial, p.member)

    def _end(self, event: ev.TrialFinished | ev.TrialStopped, status: Status, p: Proposal) -> None:
        trial = event.trial
        self._close(trial, status, event)
        self.failures_in_a_row.clear()
        if p.kind == "evaluate":
            self._confirm(p, event)
            return
        if event.checkpoint is not None:
            self._hold(trial, event.checkpoint)
        self._charge(trial, p)
        if event.score is not None:
            self._score(trial, event)
            self._enter(trial, p.member)
            self._compete(trial, p.member)

    def _hold(self, trial: int, checkpoint: Checkpoint) -> None:
        self.kept[trial] = True
        self.held.add(trial)
        self.bytes_kept += checkpoint.size_bytes

    def _confirm(self, p: Proposal, event: ev.TrialFinished | ev.TrialStopped) -> None:
        assert p.weights_from is not None
        if event.score is not None:
            confirmation = Confirmation(event.score, event.metrics, p.evaluations)
            self.confirmed[p.weights_from] = confirmation

    def _close(self, trial: int, status: Status, outcome: Ended | ev.TrialFailed) -> None:
        if self.statuses[trial] == "failed" and trial in self.waiting:
            self.waiting.remove(trial)
        self.statuses[trial] = status
        self.outcomes[trial] = outcome
        self.measured.pop(trial, None)
        self.stops.discard(trial)
        member = self.open.pop(trial)
        if self.open_trial[member] == trial:
            self.open_trial[member] = -1

    def _charge(self, trial: int, p: Proposal) -> None:
        self.spent[p.member] += self.stop[trial] - p.start
        self.last[p.member] = trial
        self.ended_count += 1

    def _score(self, trial: int, event: ev.TrialFinished | ev.TrialStopped) -> None:
        others = [event.metrics.get(name, np.nan) for name in self.names[1:]]
        self.scores[trial] = (event.score, *others) * self.signs
        if self.average == 1:
            self.means[trial] = self.scores[trial]
        else:
            rows = list(self.measured_lineage(trial, self.average))
            self.means[trial] = self.scores[rows].mean(axis=0)
        mean, peak = self.means[trial, 0], self.peak
        if peak is None or (mean, -trial) > (self.means[peak, 0], -peak):
            self.peak = trial

    def _enter(self, trial: int, lane: int) -> None:
        """Put a measured trial into its lane's list, which falls by `stop`; later ones first."""
        stop, above, row = self.stop[trial], -1, self.top[lane]
        while row >= 0 and self.stop[row] > stop:
            above, row = row, self.below[row]
        self.below[trial] = row
        if above < 0:
            self.top[lane] = trial
        else:
            self.below[above] = trial
        self.newest[lane] = trial

    def _compete(self, trial: int, lane: int) -> None:
        holder = self.champion[lane]
        vacant = holder < 0 or not self.kept[holder]
        if self.kept[trial] and (vacant or self.means[trial, 0] > self.means[holder, 0]):
            self.champion[lane] = trial

    def _failed(self, event: ev.TrialFailed) -> None:
        trial = event.trial
        self.outcomes[trial] = event
        self.statuses[trial] = "failed"
        self.failures += 1
        if event.failure != "lost":
            self.errors[trial] = self.errors.get(trial, 0) + 1
            self.failures_in_a_row.append(event)
        if may_retry(self.errors.get(trial, 0), self.attempts[trial]):
            self.waiting.appendleft(trial)
        else:
            self._give_up(trial, event)

    def _give_up(self, trial: int, event: ev.TrialFailed) -> None:
        self._close(trial, "failed", event)
        p = self.proposal_of(trial)
        if p.kind == "train":
            self.last[p.member] = trial
            self.stop[trial] = p.start

    def _released(self, event: ev.CheckpointsReleased) -> None:
        for trial in event.trials:
            self._let_go(trial)

    def _let_go(self, trial: int) -> None:
        self.kept[trial] = False
        self.held.discard(trial)
        checkpoint = self._saved(trial)
        self.bytes_kept -= checkpoint.size_bytes if checkpoint else 0
        self.blocks.pop(trial, None)

    def _pinned(self, event: ev.CheckpointPinned) -> None:
        self.pins.add(event.trial)

    def _unpinned(self, event: ev.CheckpointUnpinned) -> None:
        self.pins.discard(event.trial)

    def _budget_changed(self, event: ev.BudgetChanged) -> None:
        self.budget = event.budget
        self.status = "running" if self.status == "ended" else self.status

    def _bounds_changed(self, event: ev.BoundsChanged) -> None:
        self.bounds[event.name] = (event.low, event.high)

    def _injected(self, event: ev.TrialInjected) -> None:
        self.injections.append(Injection(event.injection, event.hparams, event.weights_from))
        self.injected += 1

    def _paused(self, event: ev.StudyPaused) -> None:
        self.status, self.reason = "paused", event.reason

    def _resumed(self, event: ev.StudyResumed) -> None:
        self.status, self.reason, self.stopped = "running", "", False
        self.failures_in_a_row.clear()

    def _study_stop_requested(self, event: ev.StudyStopRequested) -> None:
        self.status, self.reason, self.stopped = "stopping", event.reason, True

    def _ended(self, event: ev.StudyEnded) -> None:
        self.status, self.reason = "ended", event.reason


def _average(algorithm: Mapping[str, Any]) -> int:
    """How many scores make a lineage's mean: said by the algorithm, or by the one in it."""
    while "algorithm" in algorithm:
        algorithm = algorithm["algorithm"]
    return int(algorithm.get("average", 1))


_FOLD: dict[type, Callable[[Population, Any], None]] = {
    ev.StudyCreated: Population._created,
    ev.TrialProposed: Population._proposed,
    ev.TrialStarted: Population._started,
    ev.TrialMeasured: Population._measured,
    ev.TrialFinished: Population._finished,
    ev.TrialDiverged: Population._diverged,
    ev.TrialFailed: Population._failed,
    ev.TrialStopRequested: Population._stop_requested,
    ev.TrialStopped: Population._stopped,
    ev.RoundFinished: Population._round,
    ev.ChunkChosen: Population._chunk_chosen,
    ev.CheckpointsReleased: Population._released,
    ev.CheckpointPinned: Population._pinned,
    ev.CheckpointUnpinned: Population._unpinned,
    ev.BudgetChanged: Population._budget_changed,
    ev.BoundsChanged: Population._bounds_changed,
    ev.TrialInjected: Population._injected,
    ev.StudyPaused: Population._paused,
    ev.StudyResumed: Population._resumed,
    ev.StudyStopRequested: Population._study_stop_requested,
    ev.StudyEnded: Population._ended,
}
"""One way to fold each event of the union."""
