"""The driver of vectorized populations: the same decisions, taken for a whole round at once.

    round    decide → start → fold what is proposed → finish → fold what came out

The device waits from `finish` to the next `start`; whatever need not be done then is done while it
works.

Rounds are provisional until their block is durable (see `blocks`): folded and shown, but not in the
log. A crash goes back to the last block and takes the same decisions again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from heredity.blocks import Blocks, Trained
from heredity.checkpoints.base import CheckpointStore
from heredity.crash import crash_point
from heredity.driver import lost_with_driver, paused
from heredity.errors import Conflict, HeredityError
from heredity.evolution import events as ev
from heredity.evolution.decide import next_events
from heredity.evolution.definition import Definition, trial_seed
from heredity.evolution.rounds import Outcome
from heredity.evolution.trial import Checkpoint, Proposal
from heredity.executors.base import Completed
from heredity.executors.program import VectorTrainable, setting_of
from heredity.executors.vectorized import Measurement, Vectorized
from heredity.log import Log
from heredity.outcomes import as_event, finite
from heredity.pulse import EVERY_S, Pulse
from heredity.settings import Settings
from heredity.upkeep import over_limit, sweep


class RoundDriver:
    """Drives one study on one vectorized executor, like `Driver`; waits, too, while a person has
    it paused.

    Attributes:
        stopping: set by `stop`: no round begins, and `run` returns when all is in the log.
    """

    unverified: tuple[str, ...] = ()

    def __init__(
        self,
        log: Log,
        definition: Definition,
        executor: Vectorized,
        checkpoints: CheckpointStore,
        settings: Settings,
        show: Callable[[Any], None] = lambda driver: None,
        new_best: Callable[[Checkpoint], None] = lambda checkpoint: None,
    ) -> None:
        self.log = log
        self.definition = definition
        self.executor = executor
        self.checkpoints = checkpoints
        self.settings = settings
        self.stopping = False
        self._gave_up = False
        self._show = show
        self._pulse = Pulse(log.store, log.study)
        self._blocks = Blocks(log, executor, checkpoints, settings.keep, new_best)

    @property
    def seconds(self) -> float:
        """How long drivers have been alive, this one included."""
        return self._pulse.seconds

    def stop(self) -> None:
        """Begin no round; `run` returns when what was trained is in the log."""
        self.stopping = True

    def open(self, trainable: VectorTrainable) -> None:
        """Build the program, with the chunk that was chosen when the study began."""
        population = self.log.population
        chunk = self.executor.open(trainable, setting_of(self.definition), population.chunk)
        if population.chunk is None:
            self._append(ev.ChunkChosen(chunk, "chosen when the study began"))

    def run(self) -> None:
        """Go on from the log until the study ends or pauses, or `stop` is called."""
        try:
            self._recover()
            going_on = True
            while going_on and not self.stopping:
                going_on = self._next() or self._wait()
            self._blocks.flush()
            self._pulse.beat()
            self._show(self)
        finally:
            self._blocks.close()

    # ------------------------------------------------------------------ rounds

    def _next(self) -> bool:
        """One turn: a round, or what is to be done between rounds. False when there is no more."""
        if self.log.population.status == "paused":
            return False
        if reason := over_limit(self.log.population, self.settings):
            self._blocks.flush()
            self._pause(reason)
            return False
        if training := _trains(self._decide()):
            self._round(training)
            return True
        self._blocks.flush()
        self.log.refresh()
        events = self._decide()
        if not _trains(events):
            with suppress(Conflict):
                self.log.append(events)
                self._gave_up = paused(events)
            for trial in list(self.log.population.waiting):
                self._evaluate(trial)
        return bool(events) and self.log.population.status in ("running", "stopping")

    def _pause(self, reason: str) -> None:
        pausing = [ev.StudyPaused(reason)]
        self.log.append_after_others(lambda p: pausing if p.status == "running" else [])
        self._gave_up = True

    def _wait(self) -> bool:
        """While a person has the study paused, look again now and then. False if that is not so."""
        if self.log.population.status != "paused" or self._gave_up:
            return False
        self._blocks.flush()
        self._pulse.beat()
        self._show(self)
        time.sleep(EVERY_S)
        self.log.refresh()
        return True

    def _decide(self) -> list[ev.Event]:
        d, finals = self.definition, self.settings.finals
        return next_events(self.log.population, d, d.population, self.seconds, finals)

    def _round(self, proposed: list[ev.TrialProposed]) -> None:
        """Train one round, and fold what is proposed and what comes out."""
        population = self.log.population
        proposed = _by_member(proposed)
        crash_point("launch.before")
        self.executor.start(self._all_rows(proposed), self._row_of)
        crash_point("launch.after")
        population.foresee([*proposed, *(ev.TrialStarted(e.trial, 0) for e in proposed)])
        self._while_it_trains(proposed)
        rows, elapsed_s = self.executor.finish()
        outcomes = [
            self._outcome(event, rows[event.proposal.member], elapsed_s) for event in proposed
        ]
        population.foresee(outcomes)
        population.left_on_device(proposed[0].trial, len(proposed))
        self._keep_best(proposed[0].trial)
        self._blocks.add(Trained(proposed, outcomes, elapsed_s))

    def _while_it_trains(self, proposed: Sequence[ev.TrialProposed]) -> None:
        """Everything that is not needed to begin the next round."""
        self._blocks.catch_up()
        for event in proposed:  # of the next round; they are remembered
            trial_seed(self.definition.seed, event.proposal.member, event.proposal.turn + 1)
        if self._blocks.at_rest and self._pulse.due:
            self._pulse.beat()
            self.log.refresh()
        self._show(self)

    def _all_rows(self, proposed: Sequence[ev.TrialProposed]) -> list[Proposal]:
        """A proposal for every row. In a last round that is not full the other rows train too, and
        are not looked at; so what they hold is saved first."""
        if len({event.proposal.stop - event.proposal.start for event in proposed}) > 1:
            raise HeredityError("members of a vectorized population must train equally many steps")
        if len(proposed) == self.definition.population:
            return [event.proposal for event in proposed]
        self._blocks.flush()
        given = {event.proposal.member: event.proposal for event in proposed}
        idle = proposed[0].proposal
        return [
            given.get(m) or replace(idle, member=m, weights_from=None, start=0, evaluations=0)
            for m in range(self.definition.population)
        ]

    def _row_of(self, trial: int) -> int:
        return int(self.log.population.member[trial])

    def _outcome(self, event: ev.TrialProposed, row: Measurement, elapsed_s: float) -> Outcome:
        metric = self.definition.objectives[0].name
        metrics = finite(row.metrics)
        if not row.finite:
            value = row.metrics.get(metric, np.nan)
            seen = f"{metric} is {value}" if metric not in metrics else "the state is not finite"
            return ev.TrialDiverged(event.trial, 0, seen, metrics, elapsed_s)
        score = metrics.get(metric) if event.proposal.evaluations else None
        return ev.TrialFinished(event.trial, 0, score, metrics, None, elapsed_s)

    def _keep_best(self, first: int) -> None:
        """Have the program remember the best row so far, if it is of the round that begins with
        trial `first`: it has no checkpoint yet."""
        peak = self.log.population.peak
        if peak is not None and peak >= first:
            self.executor.program.keep(self._row_of(peak))

    # ------------------------------------------------------------------ evaluations, recovery

    def _evaluate(self, trial: int) -> None:
        """Measure a saved state again: an ordinary trial with events of its own."""
        population = self.log.population
        attempt = population.attempt_of(trial) + 1
        self._append(ev.TrialStarted(trial, attempt, "vectorized"))
        self._show(self)
        record = population.trial(trial)
        assert record.weights_from is not None
        checkpoint = population.trial(record.weights_from).checkpoint
        assert checkpoint is not None
        assert checkpoint.row is not None
        began = time.perf_counter()
        with self.checkpoints.open(checkpoint) as folder:
            metrics = self.executor.program.evaluate(
                folder, checkpoint.row, record.hparams, record.seed, record.evaluations
            )
        done = Completed(trial, attempt, record.stop, metrics, None, time.perf_counter() - began)
        metric = self.definition.objectives[0].name
        self._append(as_event(done, record, metric, "vectorized"))

    def _recover(self) -> None:
        """Take the last block's state back to the device; what came after it is done again."""
        sweep(self.log, self.checkpoints)
        population = self.log.population
        first, end = population.resident
        block = next((c for t in range(first, end) if (c := population.blocks.get(t))), None)
        if block is not None:
            with self.checkpoints.open(replace(block, row=None)) as folder:
                self.executor.program.load(folder)
        lost = [t for t in sorted(population.open) if population.status_of(t) == "running"]
        self._append(*(lost_with_driver(population, trial) for trial in lost))

    def _append(self, *events: ev.Event) -> None:
        """Append what holds whatever others append meanwhile."""
        self.log.append_after_others(lambda population: events)


def _trains(events: Sequence[ev.Event]) -> list[ev.TrialProposed]:
    """The proposals of a round, if that is what was decided."""
    proposed = [event for event in events if isinstance(event, ev.TrialProposed)]
    return [event for event in proposed if event.proposal.kind == "train"]


def _by_member(proposed: list[ev.TrialProposed]) -> list[ev.TrialProposed]:
    """The same trials in the order of their lanes, and so of their rows."""
    first = min(event.trial for event in proposed)
    lanes = sorted(proposed, key=lambda event: event.proposal.member)
    if lanes == proposed:
        return lanes
    return [replace(event, trial=first + number) for number, event in enumerate(lanes)]
