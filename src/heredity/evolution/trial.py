"""The records of evolution: what a trial is asked to do, and what became of it.

Records are immutable. The score that wins, the checkpoint that is copied and the hparams that are
mutated are fields of one `Trial`, so they cannot come apart. This file knows nothing of events, of
how records are stored, or of who runs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["train", "evaluate"]
Status = Literal["proposed", "running", "finished", "diverged", "failed", "stopped"]
Failure = Literal["error", "lost", "timeout"]

ENDED: frozenset[str] = frozenset({"finished", "diverged", "stopped"})
"""Statuses that are results: the trial is charged and never runs again."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a trial's saved state lies: `digest` is the SHA-256 of its manifest."""

    uri: str
    size_bytes: int
    digest: str
    row: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One decision of an algorithm: train (or evaluate) a member from `start` to `stop` steps.

    Attributes:
        member: the lane, 0 … population − 1.
        turn: how many trials the lane has had before this one.
        kind: "train", or "evaluate" to measure saved weights again without training.
        weights_from: the trial whose checkpoint it begins from; None is from scratch.
        hparams_from: the trials whose hparams it took over; empty when drawn afresh.
        hparams: the values to train with.
        ramp_from: hparams to move away from gradually, during the first `ramp_steps` steps.
        transform: what is done to the weights on loading: None, "shrink" or "fresh".
        start, stop: steps of the weights' lineage, `start` being that of `weights_from`.
        evaluations: how many times the result is measured, the score being their mean; 0: not.
        evidence: the trials whose scores justify the decision.
        generation, group: for algorithms that have them.
        injection: the number of the human injection that it carries out.
        reason: the decision in words, fit for a person to read.
    """

    member: int
    turn: int
    hparams: Mapping[str, Any]
    start: int
    stop: int
    kind: Kind = "train"
    weights_from: int | None = None
    hparams_from: tuple[int, ...] = ()
    ramp_from: Mapping[str, Any] | None = None
    ramp_steps: int = 0
    transform: Literal["shrink", "fresh"] | None = None
    evaluations: int = 1
    evidence: tuple[int, ...] = ()
    generation: int = 0
    group: int = 0
    injection: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial(Proposal):
    """A proposal and what became of it.

    Attributes:
        id: the trial's number in its study, in order of proposal.
        attempt: 0 for the first try, one more each time it is issued again.
        seed: of this trial's randomness, from (study seed, member, turn).
        reached: the step the weights stand at, once ended.
        score: the objective's value in the user's units; None if not measured or not finite.
        metrics: all finite values that were reported at the end.
        checkpoint: the saved state, while it is kept.
        worker: who runs or ran it.
        error: of a failed trial, the message; of a diverged one, the value seen.
        elapsed_s: wall-clock seconds of the last attempt.
    """

    id: int
    seed: int
    attempt: int = 0
    status: Status = "proposed"
    reached: int | None = None
    score: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None
    worker: str = ""
    error: str = ""
    elapsed_s: float = 0.0

    @property
    def steps(self) -> int:
        """Steps asked for: 0 for an evaluation."""
        return self.stop - self.start
