"""What a study will take, before it runs: a short trial of its training, and a forecast from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from heredity.evolution.budget import Limit, steps_per_lane
from heredity.evolution.collect import KeepRule, expected_checkpoints, expected_trials
from heredity.evolution.definition import Definition
from heredity.trainables.check import CheckReport


@dataclass(frozen=True)
class Forecast:
    """What a study is expected to take.

    Attributes:
        trials: how many will end; None where the budget does not say.
        seconds: on `workers` workers; None where the budget does not say.
        checkpoints: how many are kept at once, at most.
        size_bytes: what they take.
        free_bytes: space left where they go; None if unknown.
    """

    trials: int | None
    seconds: float | None
    workers: int
    checkpoints: int
    size_bytes: int
    free_bytes: int | None

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        if self.trials is not None and self.seconds is not None:
            yield (
                f"· {self.trials:,} trials, about {duration(self.seconds)} on {self.workers} "
                f"worker{'s' * (self.workers > 1)}"
            )
        yield (
            f"· up to {self.checkpoints:,} checkpoints at once, {size(self.size_bytes)}"
            + (f" of {size(self.free_bytes)} free" if self.free_bytes is not None else "")
        )


@dataclass(frozen=True)
class StudyCheck:
    """What `Study.check` found: `ok`, the report of a short training, the forecast."""

    report: CheckReport
    forecast: Forecast
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def __str__(self) -> str:
        lines = [str(self.report), str(self.forecast)]
        lines += [f"✗ {p}" for p in self.problems if p not in self.report.problems]
        return "\n".join(lines)


def forecast(
    definition: Definition,
    budget: Sequence[Limit],
    keep: KeepRule,
    finalists: int,
    workers: int,
    report: CheckReport,
    free_bytes: int | None,
) -> Forecast:
    """The forecast for a study whose training was tried out."""
    trials = expected_trials(definition, budget)
    lane = steps_per_lane(budget)
    steps = (trials or 0) * definition.interval if lane is None else lane * definition.population
    checkpoints = expected_checkpoints(definition, budget, keep, workers, finalists)
    return Forecast(
        trials=trials,
        seconds=None if trials is None else report.forecast_s(steps, trials) / workers,
        workers=workers,
        checkpoints=checkpoints,
        size_bytes=checkpoints * report.checkpoint_bytes,
        free_bytes=free_bytes,
    )


def disk_problem(needed_bytes: int, limit_bytes: int | None, free_bytes: int | None) -> str | None:
    """What is wrong with so much disk, and the remedy; None if it is there."""
    if limit_bytes is not None and needed_bytes > limit_bytes:
        where = f"the limit of {size(limit_bytes)}: raise disk_limit_bytes"
    elif free_bytes is not None and needed_bytes > free_bytes:
        where = f"the {size(free_bytes)} that are free: make room, or choose another storage"
    else:
        return None
    return (
        f"checkpoints will take up to {size(needed_bytes)}, more than {where}, or shrink the "
        f"population"
    )


def size(count: float) -> str:
    """Bytes for a person to read.

    >>> size(1_234_567)
    '1.2 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def duration(seconds: float) -> str:
    """Seconds for a person to read.

    >>> duration(75), duration(4000)
    ('1 min 15 s', '1 h 6 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
