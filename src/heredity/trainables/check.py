"""The check before a study: does training go on after a load as if it had never stopped?

What inheritance rests on is tried with a few steps: the same training twice, then broken off, saved
and loaded into a fresh object. This file knows nothing of studies; it runs in this process.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heredity.errors import HeredityError, TrainingError
from heredity.evolution.trial import Trial
from heredity.trainables.session import Session, same_value
from heredity.trainables.traces import one_line, user_frames
from heredity.trainables.trainable import Trainable

Make = Callable[[], Trainable]

TIMED = ("prepare", "setup", "load", "train", "evaluate", "save")


@dataclass(frozen=True)
class CheckReport:
    """What a few steps of training showed.

    Attributes:
        steps: steps that each part of the check trained.
        score: the objective after `2 × steps`.
        continues: whether training went on after a load as if uninterrupted; None if that cannot
            be told, because the same training twice gave different results.
        unverified: hparams that nothing confirms to be in force.
        problems: what is wrong, each with its remedy; empty if all is well.
        seconds: of one call of each method; `train` for one step. Empty for functions, but "trial".
        checkpoint_bytes: size of one checkpoint.
    """

    steps: int
    score: float
    continues: bool | None
    unverified: tuple[str, ...]
    problems: tuple[str, ...]
    seconds: Mapping[str, float]
    checkpoint_bytes: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def forecast_s(self, steps: int, trials: int) -> float:
        """Seconds that one worker needs for `trials` trials of `steps` steps in all.

        Every trial is counted as loaded: an upper bound, reached when members change workers.
        """
        parts = ("setup", "load", "evaluate", "save", "trial")
        each = sum(self.seconds.get(part, 0.0) for part in parts)
        return steps * self.seconds.get("train", 0.0) + trials * each

    def __str__(self) -> str:
        return "\n".join([*_verdicts(self), *(f"✗ {problem}" for problem in self.problems)])


def _verdicts(report: CheckReport) -> Iterator[str]:
    if report.continues:
        yield "✓ training goes on after a load as if it had not been interrupted"
    if report.continues is None and report.ok and "trial" not in report.seconds:
        yield "· not compared after a load: the same training twice gives different results"
    if report.unverified:
        yield f"· not verified to be in force: {', '.join(report.unverified)}"
    yield f"· score after {2 * report.steps} steps: {report.score:.6g}"
    times = (f"{name} {seconds * 1e3:.3g} ms" for name, seconds in report.seconds.items())
    yield f"· {', '.join(times)}; checkpoint {report.checkpoint_bytes:,} bytes"


def check(
    make: Make,
    hparams: Mapping[str, Any],
    metric: str,
    *,
    steps: int = 3,
    changed: Mapping[str, Any] | None = None,
    device: str = "cpu",
) -> CheckReport:
    """Try a Trainable with a few steps; never raises for what it finds wrong.

    Args:
        make: makes the Trainable, as `as_trainable` gives it.
        hparams: to train with.
        metric: the objective's name.
        steps: to train in each part; about five parts are trained.
        changed: other hparams, tried after a load: they must be in force.

    Raises `TrainingError`, with the user's own frames, if user code raises anything of its own.
    """
    with tempfile.TemporaryDirectory(prefix="heredity-check-") as folder:
        bench = _Bench(make, hparams, metric, steps, device, Path(folder))
        problems = list(bench.try_out(changed))
        return CheckReport(
            steps=steps,
            score=bench.score,
            continues=bench.continues,
            unverified=bench.unverified,
            problems=tuple(problems),
            seconds={name: min(times) for name, times in bench.times.items()},
            checkpoint_bytes=bench.checkpoint_bytes,
        )


@dataclass(frozen=True)
class _Leg:
    """One trial that was run, and where it was saved."""

    session: Session
    folder: Path


class _Bench:
    """Runs short trials of fresh objects, and keeps what they showed."""

    def __init__(
        self,
        make: Make,
        hparams: Mapping[str, Any],
        metric: str,
        steps: int,
        device: str,
        folder: Path,
    ) -> None:
        self.make = make
        self.hparams = hparams
        self.metric = metric
        self.steps = steps
        self.device = device
        self.folder = folder
        self.times: dict[str, list[float]] = defaultdict(list)
        self.score = math.nan
        self.continues: bool | None = None
        self.unverified: tuple[str, ...] = ()
        self.checkpoint_bytes = 0
        self._legs = 0

    def try_out(self, changed: Mapping[str, Any] | None) -> Iterator[str]:
        """Run all parts; yields what is wrong."""
        try:
            yield from self._straight_and_resumed(changed)
        except HeredityError as error:
            yield one_line(error)
        except Exception as error:
            raise TrainingError(one_line(error), remote_traceback=user_frames(error)) from error

    def _straight_and_resumed(self, changed: Mapping[str, Any] | None) -> Iterator[str]:
        trainable = self._fresh()
        first = self._run(trainable, 0)
        yield from _unused(first.session)
        last = self._run(trainable, 1, first) if trainable.resident else first
        self.unverified = last.session.unverified
        self.checkpoint_bytes = _size_bytes(first.folder)
        self.score = last.session.result.get(self.metric, math.nan)
        if not math.isfinite(self.score):
            yield f"the score is {self.score} after {2 * self.steps} steps: nothing to select by"
            return
        resumed = self._run(self._fresh(), 1, first, load=True)
        if trainable.resident:
            yield from self._compare(last, resumed)
        if changed is not None:
            self._run(self._fresh(), 1, first, load=True, hparams=changed)

    def _compare(self, straight: _Leg, resumed: _Leg) -> Iterator[str]:
        """Compare with the resumed training, if the straight one is repeatable at all."""
        trainable = self._fresh()
        again = self._run(trainable, 1, self._run(trainable, 0))
        if not _same_result(straight, again):
            return
        same_state = trainable.same_state
        compare_states = same_state(straight.folder, again.folder)
        same = not compare_states or same_state(straight.folder, resumed.folder)
        self.continues = same and _same_result(straight, resumed)
        if not self.continues:
            yield _interrupted(straight, resumed, self.metric)

    def _fresh(self) -> Trainable:
        trainable = self.make()
        trainable.device = self.device
        for name in TIMED if trainable.resident else ():
            setattr(trainable, name, self._timed(name, getattr(trainable, name)))
        trainable.prepare()
        return trainable

    def _timed(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            with self._clock(name, *(arguments if name == "train" else ())):
                return method(*arguments)

        return call

    @contextmanager
    def _clock(self, name: str, units: int = 1) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.times[name].append((time.perf_counter() - began) / max(1, units))

    def _run(
        self,
        trainable: Trainable,
        turn: int,
        after: _Leg | None = None,
        *,
        load: bool = False,
        hparams: Mapping[str, Any] | None = None,
    ) -> _Leg:
        """Train turn 0 or 1, after another leg: on its live object, or loaded from its folder."""
        self._legs += 1
        folder = self.folder / str(self._legs)
        folder.mkdir()
        session = Session(
            self._trial(turn, self.hparams if hparams is None else hparams),
            metric=self.metric,
            save=folder,
            restore=after.folder if after and load else None,
            device=self.device,
            continues=after is not None and not load,
        )
        if trainable.resident:
            trainable.run(session)
        else:
            with self._clock("trial"):
                trainable.run(session)
        return _Leg(session, folder)

    def _trial(self, turn: int, hparams: Mapping[str, Any]) -> Trial:
        start = turn * self.steps
        return Trial(
            id=turn,
            seed=turn,
            member=0,
            turn=turn,
            hparams=hparams,
            start=start,
            stop=start + self.steps,
            weights_from=turn - 1 if turn else None,
        )


def _unused(session: Session) -> Iterator[str]:
    for name in session.unconsumed:
        yield (
            f'nothing used the hparam `{name}`: read hparams["{name}"] where it takes effect, or '
            "take it out of the space"
        )


def _same_result(one: _Leg, other: _Leg) -> bool:
    left, right = one.session.result, other.session.result
    return left.keys() == right.keys() and all(
        same_value(left[name], right[name]) or left[name] != left[name] for name in left
    )


def _interrupted(straight: _Leg, resumed: _Leg, metric: str) -> str:
    scores = [leg.session.result.get(metric, math.nan) for leg in (straight, resumed)]
    seen = (
        f"{metric} {scores[0]:.6g} straight, {scores[1]:.6g} after save and load"
        if scores[0] != scores[1]
        else "the scores agree, but the saved states differ"
    )
    return (
        f"training does not go on after a load as if it had not been interrupted ({seen}): what do "
        "save() and load() leave out? (optimizer state such as momentum, the scheduler, a step "
        "counter, a random generator kept from setup)"
    )


def _size_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
