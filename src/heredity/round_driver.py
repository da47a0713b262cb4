"""The driver of vectorized populations: the same decisions, taken for a whole round at once.

    round    decide → start → fold what is proposed → finish → fold what came out

The device waits from `finish` to the next `start`; whatever need not be done then is done while it
works.

Rounds are provisional until their block is durable (see `blocks`): folded and shown, but not in the
log. A crash goes back to the last block and takes the same decisions again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from heredity.blocks import Blocks, Trained
from heredity.checkpoints.base import CheckpointStore
from heredity.crash import crash_point
from heredity.driver import lost_with_driver, paused
from heredity.errors import Conflict
from heredity.evolution import events as ev
from heredity.evolution.decide import next_events
from heredity.evolution.definition import Definition, trial_seed
from heredity.evolution.rounds import Outcome
from heredity.evolution.trial import Checkpoint
from heredity.evolution.view import View
from heredity.executors.base import Completed
from heredity.executors.program import VectorTrainable, setting_of
from heredity.executors.vectorized import Measurement, Vectorized
from heredity.log import Log
from heredity.outcomes import as_event, finite
from heredity.podium import Podium
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
        finals = settings.finals
        self._podium = Podium(log.population, max(1, finals.count if finals.evaluations else 0))
        self._blocks = Blocks(log, executor, self._podium, checkpoints, settings.keep, new_best)

    @property
    def seconds(self) -> float:
        """How long drivers have been alive, this one included."""
        return self._pulse.seconds

    def stop(self) -> None:
        """Begin no round; `run` returns when what was trained is in the log."""
        self.stopping = True

    def open(self, trainable: VectorTrainable) -> None:
        """Build the program, with the chunk that was chosen before if that is possible here."""
        before = self.log.population.chunk
        setting = setting_of(self.definition, self._podium.slots)
        chunk = self.executor.open(trainable, setting, before)
        if chunk != before:
            began = "began" if before is None else "went on"
            self._append(ev.ChunkChosen(chunk, f"chosen when the study {began}"))

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
            self._round(_alike(training))
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
        proposed = _by_member(proposed, len(population))
        crash_point("launch.before")
        self._start(proposed)
        crash_point("launch.after")
        population.foresee([*proposed, *(ev.TrialStarted(e.trial, 0) for e in proposed)])
        self._while_it_trains(proposed)
        rows, elapsed_s = self.executor.finish()
        outcomes = [
            self._outcome(event, rows[event.proposal.member], elapsed_s) for event in proposed
        ]
        population.foresee(outcomes)
        population.left_on_device(proposed[0].trial, len(proposed))
        self._keep_finalists(proposed[0].trial)
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

    def _start(self, proposed: Sequence[ev.TrialProposed]) -> None:
        """Begin a round: a proposal for every row. The rows of members that have nothing to train
        are trained in vain, and stay as they are."""
        given = {event.proposal.member: event.proposal for event in proposed}
        population, view = self.log.population, View(self.log.population, self.definition)
        last = all(view.is_last_turn(proposal) for proposal in given.values())
        others = [m for m in range(view.size) if m not in given]
        idle = [m for m in others if population.resident[m] >= 0]
        for m in others:
            own = int(population.resident[m]) if m in idle else None
            given[m] = replace(proposed[0].proposal, member=m, weights_from=own, evaluations=0)
        rows = [given[m] for m in range(view.size)]
        self.executor.start(rows, self._row_of, idle, last)

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

    def _keep_finalists(self, first: int) -> None:
        """Have the program remember the finalists among the trials from `first` on: they have no
        checkpoint yet."""
        ended = np.arange(first, len(self.log.population))
        self._keep(self._podium.take(ended))

    def _keep(self, rows: Mapping[int, int]) -> None:
        if rows:
            self.executor.program.keep(rows)

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
        saved = (population.blocks.get(int(trial)) for trial in population.resident)
        block = next((checkpoint for checkpoint in saved if checkpoint), None)
        if block is not None:
            with self.checkpoints.open(replace(block, row=None)) as folder:
                self.executor.program.load(folder)
            self._keep(self._podium.recover(block.uri))
        lost = [t for t in sorted(population.open) if population.status_of(t) == "running"]
        self._append(*(lost_with_driver(population, trial) for trial in lost))

    def _append(self, *events: ev.Event) -> None:
        """Append what holds whatever others append meanwhile."""
        self.log.append_after_others(lambda population: events)


def _trains(events: Sequence[ev.Event]) -> list[ev.TrialProposed]:
    """The proposals of a round, if that is what was decided."""
    proposed = [event for event in events if isinstance(event, ev.TrialProposed)]
    return [event for event in proposed if event.proposal.kind == "train"]


def _alike(proposed: list[ev.TrialProposed]) -> list[ev.TrialProposed]:
    """Those that train as many steps as the most urgent one; the others' turn comes next."""
    steps = [event.proposal.stop - event.proposal.start for event in proposed]
    return [event for event, count in zip(proposed, steps, strict=True) if count == steps[0]]


def _by_member(proposed: Sequence[ev.TrialProposed], first: int) -> list[ev.TrialProposed]:
    """The same trials, numbered from `first` in the order of their lanes, and so of their rows."""
    lanes = sorted(proposed, key=lambda event: event.proposal.member)
    return [
        event if event.trial == trial else replace(event, trial=trial)
        for trial, event in enumerate(lanes, first)
    ]
