"""How rounds come into the log: block by block, each after the state that it left is saved whole.

    begin    copy the state to the host; then, in another thread beside the next rounds,
    write    save it, append the rounds

A round is folded when it is trained and provisional until its block is durable, so the population
runs ahead of the log by what waits here. This file decides nothing and trains nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from heredity.checkpoints.base import CheckpointStore
from heredity.crash import crash_point
from heredity.errors import Conflict
from heredity.evolution import events as ev
from heredity.evolution.collect import KeepRule
from heredity.evolution.rounds import Outcome, as_round
from heredity.evolution.trial import Checkpoint
from heredity.executors.program import Rows
from heredity.executors.vectorized import Vectorized
from heredity.log import Log
from heredity.podium import Podium

BLOCK_S = 5.0
"""A crash loses at most about so much work."""


@dataclass(frozen=True)
class Trained:
    """A round that was folded, trial by trial, and is to be made one event."""

    proposed: Sequence[ev.TrialProposed]
    outcomes: Sequence[Outcome]
    elapsed_s: float


@dataclass(frozen=True)
class Block:
    """Rounds on their way into the log, with the state that the last one left: which trials are
    saved, by row, and which are released."""

    rounds: list[ev.RoundFinished]
    saved: Mapping[int, int]
    released: tuple[int, ...]
    rows: Rows


class Blocks:
    """The rounds of one study that are not in its log yet.

    Args:
        new_best: called with the best trial's checkpoint when a block is in the log.
    """

    def __init__(
        self,
        log: Log,
        executor: Vectorized,
        podium: Podium,
        checkpoints: CheckpointStore,
        keep: KeepRule,
        new_best: Callable[[Checkpoint], None],
    ) -> None:
        self.log = log
        self.executor = executor
        self.podium = podium
        self.checkpoints = checkpoints
        self.keep = keep
        self._new_best = new_best
        self._last: Trained | None = None
        self._rounds: list[ev.RoundFinished] = []
        self._began = time.monotonic()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="heredity-block")
        self._writing: tuple[Block, Future[list[ev.Event]]] | None = None

    def add(self, trained: Trained) -> None:
        """Take a round that was folded, and begin a block if it is time for one."""
        self._last = trained
        if self._due:
            self._begin()

    def catch_up(self) -> None:
        """Do what was put off while the device waited; take note of a block that was written."""
        self._pack_last()
        if self._writing is not None and self._writing[1].done():
            self._await()

    @property
    def at_rest(self) -> bool:
        """Whether no block is on its way: only then may others' events be read."""
        return self._writing is None

    def flush(self) -> None:
        """Bring all rounds into the log."""
        if self._rounds or self._last:
            self._begin()
        self._await()

    def close(self) -> None:
        """Wait for the writer; no block can begin any more."""
        self._writer.shutdown()

    # ------------------------------------------------------------------ making a block

    @property
    def _due(self) -> bool:
        if self.executor.block is not None:
            return len(self._rounds) + 1 >= self.executor.block
        return time.monotonic() - self._began >= BLOCK_S

    def _pack_last(self) -> None:
        """Make the round that was trained last an event of the next block."""
        if self._last is not None:
            last, self._last = self._last, None
            self._rounds.append(as_round(last.proposed, last.outcomes, last.elapsed_s))

    def _begin(self) -> None:
        """Copy the state, and leave the rest to the writer, one block after the other."""
        self._await()
        self._pack_last()
        rounds, self._rounds = self._rounds, []
        self._began = time.monotonic()
        saved = self._to_save()
        self._submit(Block(rounds, saved, self._to_release(saved), self.executor.program.copy()))

    def _to_save(self) -> dict[int, int]:
        """The trials whose states a block holds, with their rows: each member's last one, and the
        finalists."""
        population = self.log.population
        saved = {
            trial: lane
            for lane, trial in enumerate(population.resident.tolist())
            if population.status_of(trial) == "finished"
        }
        return dict(sorted((self.podium.rows | saved).items()))

    def _to_release(self, saved: Mapping[int, int]) -> tuple[int, ...]:
        """Everything older: the device never goes back to it."""
        if self.keep == "all":
            return ()
        population = self.log.population
        wanted = population.pins | saved.keys()
        if self.keep == "lineage":
            wanted |= {a for trial in wanted for a in population.lineage(trial)}
        return tuple(sorted(population.held - wanted))

    # ------------------------------------------------------------------ writing it

    def _submit(self, block: Block) -> None:
        self._writing = block, self._writer.submit(self._write, block)

    def _write(self, block: Block) -> list[ev.Event]:
        """Save the state, then append the rounds: in this order, and in another thread."""
        last = block.rounds[-1]
        checkpoint = self.checkpoints.save(last.first, 0, block.rows.write)
        trials, rows = tuple(block.saved), tuple(block.saved.values())
        whole = replace(last, checkpoint=checkpoint, saved=trials, rows=rows)
        events: list[ev.Event] = [*block.rounds[:-1], whole]
        if block.released:
            events.append(ev.CheckpointsReleased(block.released))
        self.log.store.append(self.log.study, events, expected=self.log.population.seq)
        return events

    def _await(self) -> None:
        """Wait for the block that is on its way, if one is, and take note of it. Where another
        writer was first, it is written again after what that one appended."""
        while self._writing is not None:
            (block, writing), self._writing = self._writing, None
            try:
                self._note(writing.result())
            except Conflict:
                self.log.refresh()
                self._submit(replace(block, released=self._to_release(block.saved)))

    def _note(self, events: Sequence[ev.Event]) -> None:
        gone = self._uris(events)
        self.log.written(events)
        self._mark_best()
        crash_point("release.after")
        self.checkpoints.delete(gone - self._uris_held())

    def _uris(self, events: Sequence[ev.Event]) -> set[str]:
        released = [e.trials for e in events if isinstance(e, ev.CheckpointsReleased)]
        checkpoints = [self.log.population.trial(t).checkpoint for ts in released for t in ts]
        return {checkpoint.uri for checkpoint in checkpoints if checkpoint is not None}

    def _uris_held(self) -> set[str]:
        population = self.log.population
        return {c.uri for t in population.held if (c := population.trial(t).checkpoint)}

    def _mark_best(self) -> None:
        best = self.log.population.best
        checkpoint = None if best is None else self.log.population.trial(best).checkpoint
        if checkpoint is not None:
            self._new_best(checkpoint)
