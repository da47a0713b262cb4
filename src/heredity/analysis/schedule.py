"""The schedule of a lineage: which hparams trained the weights, from which step to which.

Read from a population; it knows no store and no executor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from heredity.errors import NotFound
from heredity.evolution.state import State


@dataclass(frozen=True, slots=True)
class Segment:
    """One trial of the lineage: steps `start` to `stop` were trained with `hparams`; where it has a
    ramp, these were reached from `ramp_from` during its first `ramp_steps`."""

    start: int
    stop: int
    hparams: Mapping[str, Any]
    trial: int
    member: int
    score: float | None
    ramp_from: Mapping[str, Any] | None = None
    ramp_steps: int = 0


@dataclass(frozen=True)
class Schedule:
    """The segments of a lineage, oldest first, each beginning where the one before ended."""

    segments: tuple[Segment, ...]

    def __iter__(self) -> Iterator[Segment]:
        return iter(self.segments)

    def __len__(self) -> int:
        return len(self.segments)

    def at(self, step: int) -> Mapping[str, Any]:
        """The hparams that trained step `step` (the first is 0), those at a ramp's end during the
        ramp; the last ones beyond the end."""
        if step < 0:
            raise NotFound(f"steps begin at 0; there is no step {step}")
        for segment in self.segments:
            if step < segment.stop:
                return segment.hparams
        return self.segments[-1].hparams

    def merged(self) -> Schedule:
        """The same with neighbours of equal hparams joined into one segment."""
        merged: list[Segment] = []
        for s in self.segments:
            if merged and merged[-1].hparams == s.hparams and not s.ramp_steps:
                first = merged.pop()
                merged.append(
                    replace(first, stop=s.stop, trial=s.trial, member=s.member, score=s.score)
                )
            else:
                merged.append(s)
        return Schedule(tuple(merged))

    def as_dicts(self) -> list[dict[str, Any]]:
        """One dictionary a segment, of JSON values; only one with a ramp says so."""
        return [_as_dict(segment) for segment in self.segments]

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
        ramp = (p.ramp_from, p.ramp_steps)
        segments.append(Segment(p.start, stop, p.hparams, row, p.member, score, *ramp))
    return Schedule(tuple(reversed(segments)))


def _as_dict(segment: Segment) -> dict[str, Any]:
    values = {
        "start": segment.start,
        "stop": segment.stop,
        "trial": segment.trial,
        "member": segment.member,
        "score": segment.score,
        "hparams": dict(segment.hparams),
    }
    if segment.ramp_from is not None:
        values |= {"ramp_from": dict(segment.ramp_from), "ramp_steps": segment.ramp_steps}
    return values


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
