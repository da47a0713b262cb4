"""The state of a study, to be asked: what the events so far say, in the form that rules work on.

Only the fold changes it. It keeps references to the events it saw and numeric columns; it knows no
algorithm, no store and no clock.

Scores in columns are turned so that higher is better: −inf for a trial that diverged, NaN for one
that was not measured.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from heredity.errors import NotFound
from heredity.evolution import events as ev
from heredity.evolution.budget import Limit, trials_in_all
from heredity.evolution.columns import Column
from heredity.evolution.rows import Rows
from heredity.evolution.trial import ENDED, Checkpoint, Proposal, Status, Trial

Ended = ev.TrialFinished | ev.TrialDiverged | ev.TrialStopped


@dataclass(frozen=True, slots=True)
class Injection:
    """A trial that a person asked for and no lane has carried out yet."""

    number: int
    hparams: Mapping[str, Any]
    weights_from: int | None


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A finalist's second measurement: the mean of `evaluations` fresh ones."""

    score: float
    metrics: Mapping[str, float]
    evaluations: int


class State:
    """Everything that the log says about a study.

    Attributes:
        seq: how many events were folded.
        status: None before the study exists, then running, paused, stopping or ended.
        lanes: the number of members.
        open_trial, last, spent, turns, taken_at: by lane: the open trial or −1; the trial that
            ended last or −1; steps charged; trials had; `spent` when it last took weights over.
        member, stop, source, scores, means: by trial: its lane; the step its weights stand at;
            `weights_from` or −1; scores and their lineage means, of shape (trials, objectives).
        kept: by trial: whether its checkpoint can be inherited.
        top, below: each lane's measured trials by falling `stop`, as linked lists (−1 ends).
        newest: by lane: the measured trial that ended last, or −1.
        vectorized: whether it trains in rounds, the states of all members on one device.
        resident: by lane: the trial whose state is on the device, or −1.
        blocks: the checkpoints of trials that were saved in a block.
        chunk: how many members train at once.
        champion: by lane: its best trial by lineage mean, or −1.
        peak: the trial with the highest lineage mean of all, its state kept or not.
    """

    def __init__(self) -> None:
        self.seq = 0
        self.status: str | None = None
        self.reason = ""
        self.stopped = False
        self.definition: Mapping[str, Any] = {}
        self.code: Mapping[str, str] = {}
        self.budget: tuple[Limit, ...] = ()
        self.bounds: dict[str, tuple[float, float]] = {}
        self.lanes = 0
        self.signs = np.ones(1)
        self.names: tuple[str, ...] = ()
        self.average = 1
        self.proposed: Rows[ev.TrialProposed] = Rows()
        self.outcomes: Rows[Ended | ev.TrialFailed | None] = Rows()
        self.workers: list[str] = []
        self.statuses: list[Status] = []
        self.attempts: list[int] = []
        self.open: dict[int, int] = {}
        self.waiting: deque[int] = deque()
        self.errors: dict[int, int] = {}
        self.measured: dict[int, list[ev.TrialMeasured]] = {}
        self.stops: set[int] = set()
        self.pins: set[int] = set()
        self.injections: deque[Injection] = deque()
        self.injected = 0
        self.held: set[int] = set()
        self.evaluated: set[int] = set()
        self.confirmed: dict[int, Confirmation] = {}
        self.ended_count = 0
        self.exploits = 0
        self.diverged = 0
        self.failures = 0
        self.failures_in_a_row: list[ev.TrialFailed] = []
        self.bytes_kept = 0
        self.peak: int | None = None
        self.vectorized = False
        self.blocks: dict[int, Checkpoint] = {}
        self.chunk: int | None = None

    def _allocate(self, lanes: int, objectives: int) -> None:
        self.open_trial = np.full(lanes, -1, dtype=np.int64)
        self.last = np.full(lanes, -1, dtype=np.int64)
        self.spent = np.zeros(lanes, dtype=np.int64)
        self.turns = np.zeros(lanes, dtype=np.int64)
        self.taken_at = np.zeros(lanes, dtype=np.int64)
        self.top = np.full(lanes, -1, dtype=np.int64)
        self.newest = np.full(lanes, -1, dtype=np.int64)
        self.champion = np.full(lanes, -1, dtype=np.int64)
        self.resident = np.full(lanes, -1, dtype=np.int64)
        self.member = Column(np.int64, -1)
        self.stop = Column(np.int64, 0)
        self.source = Column(np.int64, -1)
        self.below = Column(np.int64, -1)
        self.kept = Column(np.bool_, False)
        self.scores = Column(np.float64, np.nan, width=objectives)
        self.means = Column(np.float64, np.nan, width=objectives)

    def __len__(self) -> int:
        return len(self.statuses)

    def status_of(self, trial: int) -> Status | None:
        return self.statuses[trial] if 0 <= trial < len(self.statuses) else None

    def attempt_of(self, trial: int) -> int:
        return self.attempts[trial]

    def proposal_of(self, trial: int) -> Proposal:
        return self.proposed[trial].proposal

    def is_open(self, trial: int) -> bool:
        return trial in self.open

    def open_in(self, member: int) -> int:
        return int(self.open_trial[member]) if 0 <= member < self.lanes else -1

    def turn_of(self, member: int) -> int:
        return int(self.turns[member]) if 0 <= member < self.lanes else 0

    def has_checkpoint(self, trial: int) -> bool:
        return 0 <= trial < len(self) and bool(self.kept[trial])

    def is_on_device(self, trial: int) -> bool:
        return self.vectorized and bool(self.resident[self.member[trial]] == trial)

    def is_pinned(self, trial: int) -> bool:
        return trial in self.pins

    def is_source(self, trial: int) -> bool:
        return any(self.source[open_trial] == trial for open_trial in self.open)

    def open_count(self) -> int:
        return len(self.open)

    def injection_waiting(self, injection: int) -> bool:
        return any(i.number == injection for i in self.injections)

    def next_injection(self) -> int:
        return self.injected

    def trials_left(self) -> int | None:
        """Trials that may still be proposed under `Trials`; None where there is no such limit."""
        limit = trials_in_all(self.budget)
        return None if limit is None else max(0, limit - self.ended_count - len(self.open))

    @property
    def best(self) -> int | None:
        """The trial with the highest lineage mean, ties to the earlier one. Once that one was
        confirmed, the finalist that was confirmed highest. None before the first score."""
        leader = self.finalists(1)
        if not leader or leader[0] not in self.confirmed:
            return leader[0] if leader else None
        sign = self.signs[0]
        return max(self.rivals, key=lambda t: (sign * self.confirmed[t].score, -t))

    @property
    def rivals(self) -> list[int]:
        """Confirmed trials that are still their lane's best: any of them may become the best."""
        mine = self.champion
        return [t for t in self.confirmed if mine[self.member[t]] == t and self.kept[t]]

    def finalists(self, count: int) -> list[int]:
        """The best trials by lineage mean whose weights there are, at most one a lane, ties to the
        earlier trial."""
        champions = self.champion[self.champion >= 0]
        champions = champions[self.kept[champions]]
        if count == 1 and len(champions):
            means = self.means[champions, 0]
            return [int(champions[means == means.max()].min())]
        order = np.lexsort((champions, -self.means[champions, 0]))
        return [int(trial) for trial in champions[order[:count]]]

    def lineage(self, trial: int) -> Iterator[int]:
        """The trial and its ancestors by `weights_from`, youngest first."""
        row = trial
        while row >= 0:
            yield row
            row = int(self.source[row])

    def measured_lineage(self, trial: int, count: int) -> Iterator[int]:
        """The first `count` of the lineage that have a score, youngest first."""
        for row in self.lineage(trial):
            if count and not np.isnan(self.scores[row][0]):
                count -= 1
                yield row
            if not count:
                return

    def trial(self, trial: int) -> Trial:
        """The whole record of a trial. `NotFound` if there is none of this number."""
        if not 0 <= trial < len(self):
            raise NotFound(f"there is no trial {trial}; the study has {len(self)} so far")
        event, outcome = self.proposed[trial], self.outcomes[trial]
        p = event.proposal
        status = self.statuses[trial]
        return Trial(
            **{name: getattr(p, name) for name in _PROPOSAL_FIELDS},
            id=trial,
            seed=event.seed,
            attempt=max(0, self.attempts[trial]),
            status=status,
            worker=getattr(outcome, "worker", "") or self.workers[trial],
            reached=int(self.stop[trial]) if status in ENDED else None,
            score=getattr(outcome, "score", None),
            metrics=getattr(outcome, "metrics", {}),
            checkpoint=self._saved(trial) if self.kept[trial] else None,
            error=_error(outcome),
            elapsed_s=0.0 if outcome is None else outcome.elapsed_s,
        )

    def _saved(self, trial: int) -> Checkpoint | None:
        return self.blocks.get(trial) or getattr(self.outcomes[trial], "checkpoint", None)


def _error(outcome: object) -> str:
    if isinstance(outcome, ev.TrialFailed):
        return outcome.error
    return outcome.value if isinstance(outcome, ev.TrialDiverged) else ""


_PROPOSAL_FIELDS = tuple(Proposal.__dataclass_fields__)
