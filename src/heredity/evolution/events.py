"""The events of a study: a closed union, in the past tense.

The event log is the only truth about a study; all else is folded from it. An event never changes
its meaning: a field may be added with a default, and a new format number tells a reader what to
fill in. Events hold JSON values only and no clock. This file knows nothing of storage or folding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from heredity.evolution.budget import Limit
from heredity.evolution.trial import Checkpoint, Failure, Proposal

FORMAT = 1
"""Written beside every event. A reader opens every format up to its own."""


@dataclass(frozen=True, slots=True)
class StudyCreated:
    """The study began. `definition` never changes; `code` is recorded and never compared."""

    definition: Mapping[str, Any]
    budget: tuple[Limit, ...]
    code: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TrialProposed:
    """The algorithm decided on a trial. Replay never asks the algorithm again."""

    trial: int
    seed: int
    proposal: Proposal


@dataclass(frozen=True, slots=True)
class TrialStarted:
    """A worker is given the trial; named if it is known beforehand."""

    trial: int
    attempt: int
    worker: str = ""


@dataclass(frozen=True, slots=True)
class TrialMeasured:
    """An intermediate measurement of a running trial: at most 20 a trial."""

    trial: int
    attempt: int
    step: int
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TrialFinished:
    """The trial reached its `stop`. `score` is None when it was not to be measured."""

    trial: int
    attempt: int
    score: float | None
    metrics: Mapping[str, float]
    checkpoint: Checkpoint | None
    elapsed_s: float = 0.0
    worker: str = ""


@dataclass(frozen=True, slots=True)
class TrialDiverged:
    """The score was not finite: a result, charged and never retried. `value` is what was seen."""

    trial: int
    attempt: int
    value: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    elapsed_s: float = 0.0
    worker: str = ""


@dataclass(frozen=True, slots=True)
class TrialFailed:
    """The attempt ended without a result and is not charged."""

    trial: int
    attempt: int
    failure: Failure
    error: str
    traceback: str = ""
    elapsed_s: float = 0.0
    worker: str = ""


@dataclass(frozen=True, slots=True)
class TrialStopRequested:
    """A running trial should end early."""

    trial: int
    reason: str


@dataclass(frozen=True, slots=True)
class TrialStopped:
    """The trial ended early, at `reached`: charged for what it trained."""

    trial: int
    attempt: int
    reached: int
    score: float | None
    metrics: Mapping[str, float]
    checkpoint: Checkpoint | None
    elapsed_s: float = 0.0
    worker: str = ""


@dataclass(frozen=True, slots=True)
class RoundFinished:
    """A whole round of a vectorized population ended: `count` trials from number `first` on, as
    columns, which `rounds.expand` turns into their own events.

    The last round of a block holds the block's checkpoint, and in `saved` and `rows` which trials
    are in it, and where. The states of the others are on the device only, for the next round.
    """

    first: int
    count: int
    proposals: Mapping[str, Any]
    scores: Sequence[float | None]
    metrics: Mapping[str, Sequence[float | None]]
    diverged: Mapping[str, str]
    elapsed_s: float = 0.0
    checkpoint: Checkpoint | None = None
    saved: tuple[int, ...] = ()
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ChunkChosen:
    """So many members of a vectorized population train at once, and why."""

    chunk: int
    reason: str


@dataclass(frozen=True, slots=True)
class CheckpointsReleased:
    """No decision will want these trials' checkpoints; their files may go."""

    trials: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CheckpointPinned:
    """A person wants this trial's checkpoint kept."""

    trial: int


@dataclass(frozen=True, slots=True)
class CheckpointUnpinned:
    """The pin was taken off."""

    trial: int


@dataclass(frozen=True, slots=True)
class BudgetChanged:
    """The budget is another one from here on; an ended study goes on if it now has some left."""

    budget: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class BoundsChanged:
    """One hparam's bounds are others from here on."""

    name: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class TrialInjected:
    """A person asks for a trial; a lane's next proposal carries it out."""

    injection: int
    hparams: Mapping[str, Any]
    weights_from: int | None


@dataclass(frozen=True, slots=True)
class StudyPaused:
    """Nothing new starts until the study is resumed."""

    reason: str


@dataclass(frozen=True, slots=True)
class StudyResumed:
    """The study goes on."""


@dataclass(frozen=True, slots=True)
class StudyStopRequested:
    """Nothing new starts; what runs is finished, then the study ends."""

    reason: str


@dataclass(frozen=True, slots=True)
class StudyEnded:
    """The study is over, by this reason."""

    reason: str


Event = (
    StudyCreated
    | TrialProposed
    | TrialStarted
    | TrialMeasured
    | TrialFinished
    | TrialDiverged
    | TrialFailed
    | TrialStopRequested
    | TrialStopped
    | RoundFinished
    | ChunkChosen
    | CheckpointsReleased
    | CheckpointPinned
    | CheckpointUnpinned
    | BudgetChanged
    | BoundsChanged
    | TrialInjected
    | StudyPaused
    | StudyResumed
    | StudyStopRequested
    | StudyEnded
)
