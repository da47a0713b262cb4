"""The Session: the live handle on a running trial, for whoever trains it.

It carries what the trial was given (hparams, steps, seed, device, where to restore from and save
to) and takes what came of it (reports, values in force). It holds its holder to account: hparams
that are not in force, and things handed over but never used, are errors. It knows nothing of
executors, checkpoint stores or the population.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from heredity.errors import HparamsError, TrainingError, did_you_mean
from heredity.evolution.trial import Trial
from heredity.trainables import metrics as measure
from heredity.trainables.seeds import Part, seed_part
from heredity.trainables.tracked import TrackedHparams

MEASUREMENTS = 20
"""How many intermediate reports of a trial are passed on, evenly over its steps."""

FLOAT_TOLERANCE = 1e-5
"""Relative; wide enough for a value that went through single precision."""

Interpolate = Callable[[Mapping[str, Any], Mapping[str, Any], float], Mapping[str, Any]]
"""(from, to, fraction in [0, 1]) → hparams; `Space.interpolate`."""


class Session:
    """One attempt of one trial.

    Attributes:
        hparams: what to train with; remembers which values were read.
        start, stop: train from step `start` to `stop`, counted along the weights' lineage.
        seed: of this trial's randomness. The global generators of Python, NumPy and torch are
            already seeded from it.
        device: where to train: "cpu", "cuda:0", …
        member, turn, trial: the lane, the trial's number in it, and in the study.
        kind: "train", or "evaluate" to measure the restored weights again (then start == stop).
        evaluations: how many times the result is to be measured; 0: not at all.
        metric: the objective's name.
        save: an empty folder, there while the trial runs, for the state at `stop`.
        continues: the live object holds exactly these weights and hparams already.
    """

    def __init__(
        self,
        trial: Trial,
        *,
        metric: str,
        save: Path | None = None,
        restore: Path | None = None,
        device: str = "cpu",
        continues: bool = False,
        measured: Callable[[int, Mapping[str, float]], None] = lambda step, metrics: None,
        stop_requested: Callable[[], bool] = lambda: False,
        interpolate: Interpolate | None = None,
    ) -> None:
        self.hparams = TrackedHparams(trial.hparams)
        self.start = trial.start
        self.stop = trial.stop
        self.seed = trial.seed
        self.device = device
        self.member = trial.member
        self.turn = trial.turn
        self.trial = trial.id
        self.kind = trial.kind
        self.evaluations = trial.evaluations
        self.metric = metric
        self.save = save or Path()
        self.continues = continues
        self._record = trial
        self._restore = restore
        self._measured = measured
        self._asked_to_stop = stop_requested
        self._interpolate = interpolate
        self._expected: Mapping[str, Any] = self.hparams.peek()
        self._passed_on = 0
        self._saw_stop = False
        self._last_step = self.stop
        self._reached: int | None = None
        self._lost = False
        self.result: dict[str, float] = {}
        self.verified: set[str] = set()
        self.restored = False
        self.ramped = False

    @property
    def steps(self) -> int:
        """How many steps to train: `stop - start`."""
        return self.stop - self.start

    @property
    def restore(self) -> Path | None:
        """The folder that was saved at `start`, to read only; None when training from scratch."""
        self.restored = True
        return self._restore

    @property
    def inherits(self) -> bool:
        """Whether there are weights to restore."""
        return self._restore is not None

    @property
    def stop_requested(self) -> bool:
        """True once the trial should end early: report, save and return."""
        self._saw_stop = self._saw_stop or self._asked_to_stop()
        return self._saw_stop

    # Ramp ------------------------------------------------------------------------------

    @property
    def ramps(self) -> bool:
        """Whether the hparams are to move gradually, by `hparams_at`, over `ramp_steps`."""
        return self._record.ramp_from is not None and self._record.ramp_steps > 0

    @property
    def ramp_steps(self) -> int:
        """Over how many steps from `start` the hparams move; 0 without a ramp."""
        return min(self._record.ramp_steps, self.steps) if self.ramps else 0

    def hparams_at(self, step: int) -> Mapping[str, Any]:
        """The hparams to train with at `step`: between the old and the new during a ramp."""
        self.ramped = True
        values = self._between((step - self.start) / self.ramp_steps) if self.ramps else None
        current = self.hparams if values is None else TrackedHparams(values, self.hparams.consumed)
        self._expected = current.peek()
        return current

    def _between(self, fraction: float) -> Mapping[str, Any] | None:
        if fraction >= 1:
            return None
        if self._interpolate is None:
            raise TrainingError("this trial ramps its hparams, but nothing can interpolate them")
        assert self._record.ramp_from is not None
        return self._interpolate(self._record.ramp_from, self._record.hparams, max(0.0, fraction))

    # What came of it -------------------------------------------------------------------

    def report(self, step: int | None = None, **metrics: Any) -> None:
        """Report metrics measured at `step` (default: at `stop`). The last report is the result.

        Values are numbers or arrays of one element. Values that are not finite are results too.
        """
        at = self.stop if step is None else self.checked_step(step)
        values = {name: measure.as_float(name, value) for name, value in metrics.items()}
        if not values:
            raise TrainingError(f"report() got no metric: report({self.metric}=…)")
        self._last_step = at
        self.result = values
        if at < self.stop:
            self._pass_on(at, values)

    def conclude(self, metrics: Mapping[str, float], reached: int, *, keeps: bool = True) -> None:
        """State the result, the step that the weights stand at, and whether there are any."""
        self.result = dict(metrics)
        self._reached = reached
        self._lost = not keeps

    def checked_step(self, step: Any) -> int:
        """The step as a whole number. `TrainingError` if it lies outside of the trial."""
        if isinstance(step, bool) or not hasattr(step, "__index__"):
            raise TrainingError(
                f"report() takes metrics by name, such as report({self.metric}=…), and a whole "
                f"number as `step`, not {step!r:.80}"
            )
        if not self.start <= (at := int(step)) <= self.stop:
            raise TrainingError(
                f"report(step={at}) lies outside of this trial, which goes from step {self.start} "
                f"to {self.stop}: count on from session.start"
            )
        return at

    def _pass_on(self, step: int, values: Mapping[str, float]) -> None:
        """Pass a measurement on once it enters a new one of the equal parts of the trial."""
        part = 1 + (step - self.start) * MEASUREMENTS // self.steps
        if part > self._passed_on:
            self._passed_on = part
            self._measured(step, values)

    def applied(self, **values: Any) -> None:
        """Confirm the values in force; one that differs from its hparam is an error."""
        self.verify(values, "says applied()")

    def verify(self, values: Mapping[str, Any], when: str) -> None:
        """Raise `TrainingError` if a value in force is not the hparam's, else count it verified."""
        for name, value in values.items():
            if name not in self._expected:
                known = did_you_mean(name, self._expected)
                raise HparamsError(f"`{name}` is not an hparam of this trial.{known}")
            if not same_value(value, expected := self._expected[name]):
                raise TrainingError(
                    f"hparam `{name}` is {value!r} in force ({when}), but this trial was given "
                    f"{expected!r}: set it again after restoring (configure() is the place); "
                    "loading an optimizer or a scheduler puts its old value back"
                )
            self.verified.add(name)

    @property
    def unverified(self) -> tuple[str, ...]:
        """The hparams that nothing confirmed to be in force."""
        return tuple(name for name in self.hparams if name not in self.verified)

    @property
    def unconsumed(self) -> tuple[str, ...]:
        """The hparams that nothing read or confirmed."""
        used = self.hparams.consumed | self.verified
        return tuple(name for name in self.hparams if name not in used)

    def require_consumed(self, names: Collection[str]) -> None:
        """Raise if a trial that trained in full, from a setup on, never used an hparam of these."""
        if self.continues or self.kind != "train" or self.reached < self.stop:
            return
        unused = [name for name in self.unconsumed if name in names]
        if unused:
            listed = ", ".join(f"`{name}`" for name in unused)
            raise TrainingError(
                f"nothing used the hparam{'s' * (len(unused) > 1)} {listed}: read "
                f'hparams["{unused[0]}"] where it takes effect, or take it out of the space'
            )

    def require_used(self, who: str) -> None:
        """Raise if `who` left weights or a ramp unused that were handed over."""
        if self.inherits and not self.restored:
            raise TrainingError(
                f"{who} did not read session.restore, so it trained without the weights it was to "
                "inherit: load them from that folder unless it is None"
            )
        if self.ramps and not self.ramped:
            raise TrainingError(
                f"{who} did not call session.hparams_at(step), but this study ramps its hparams: "
                "train with what it returns at each step, or set ramp=0"
            )

    @property
    def reached(self) -> int:
        """The step the weights stand at: `stop`, or the last report's step if stopped early."""
        if self._reached is not None:
            return self._reached
        return self._last_step if self._saw_stop else self.stop

    @property
    def diverged(self) -> bool:
        """Whether the objective was reported and is not finite."""
        return not math.isfinite(self.result.get(self.metric, 0.0))

    @property
    def keeps(self) -> bool:
        """Whether the state is worth saving: trained, not diverged and not lost."""
        return self.kind == "train" and not self.diverged and not self._lost

    # Further evaluations ---------------------------------------------------------------

    def evaluation(self, save: Path, restore: Path | None = None) -> Session:
        """A session that measures the weights at `stop` once more, without training."""
        trial = replace(
            self._record, kind="evaluate", start=self.stop, evaluations=1, ramp_from=None
        )
        session = Session(
            trial,
            metric=self.metric,
            save=save,
            restore=restore or self._restore,
            device=self.device,
        )
        session.hparams = self.hparams
        return session

    def take(self, evaluation: Session) -> None:
        """Count as this session's what an evaluation of it confirmed and used."""
        self.verified |= evaluation.verified
        self.restored = self.restored or evaluation.restored

    def seed_part(self, part: Part, repeat: int = 0) -> None:
        """Seed the global generators for one part of the trial."""
        seed_part(self.seed, part, repeat)


def same_value(seen: Any, expected: Any) -> bool:
    """Whether a value in force is the hparam's, floats within single precision."""
    if isinstance(expected, bool | str) or expected is None:
        return bool(seen == expected)
    try:
        return math.isclose(float(seen), float(expected), rel_tol=FLOAT_TOLERANCE)
    except (TypeError, ValueError):
        return bool(seen == expected)
