"""The schedule of a lineage: which hparams trained the weights, from which step to which.

Read from a population; it knows no store and no executor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from heredity.errors import NotFound
from heredity.evolution.state import State


@dataclass(frozen=True, slots=True)
class Segment:
    """One trial of the lineage: steps `start` to `stop` were trained with `hparams`."""

    start: int
    stop: int
    hparams: Mapping[str, Any]
    trial: int
    member: int
    score: float | None


@dataclass(frozen=True)
class Schedule:
    """The segments of a lineage, oldest first, each beginning where the one before ended."""

    segments: tuple[Segment, ...]

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.segments)

    def __len__(self) -> int:
        return len(self.segments)

    def at(self, step: int) -> Mapping[str, Any]:
        """The hparams that trained step `step` (the first is 0); the last ones beyond the end."""
        if step < 0:
            raise NotFound(f"steps begin at 0; there is no step {step}")
        for segment in self.segments:
            if step < segment.stop:
                return segment.hparams
        return self.segments[-1].hparams

    def merged(self) -> Schedule:
        """The same with neighbours of equal hparams joined into one segment."""
        merged: list[Segment] = []
        for segment in self.segments:
            if merged and merged[-1].hparams == segment.hparams:
                start = merged.pop().start
                segment = Segment(
                    start,
                    segment.stop,
                    segment.hparams,
                    segment.trial,
                    segment.member,
                    segment.score,
                )
            merged.append(segment)
        return Schedule(tuple(merged))

    def as_dicts(self) -> list[dict[str, Any]]:
        """One dictionary a segment, of JSON values."""
        return [
            {
                "start": s.start,
                "stop": s.stop,
                "trial": s.trial,
                "member": s.member,
                "score": s.score,
                "hparams": dict(s.hparams),
            }
            for s in self.segments
        ]

    def __str__(self) -> str:
        merged = self.merged()
        names = list(merged.segments[0].hparams) if len(merged) else []
        rows = [["steps", *names]]
        rows += [
            [f"{s.start}–{s.stop}", *(_shown(s.hparams[name]) for name in names)] for s in merged
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
        return "\n".join(lines)


def schedule(state: State, trial: int) -> Schedule:
    """The schedule that trained a trial's weights."""
    segments = []
    for row in state.lineage(trial):
        p = state.proposal_of(row)
        stop = int(state.stop[row])
        score = getattr(state.outcomes[row], "score", None)
        segments.append(Segment(p.start, stop, p.hparams, row, p.member, score))
    return Schedule(tuple(reversed(segments)))


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
