"""What a worker reported, as the event that is written.

Here it is judged whether a score is finite: what is not is a divergence, and is never stored. It
knows records and reports, and no store.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from heredity import legible
from heredity.evolution import events as ev
from heredity.evolution.trial import Trial
from heredity.executors.base import Completed, Failed, Measured, Report


def as_event(report: Report, trial: Trial, metric: str, worker: str) -> ev.Event:
    """The event that records `report`, `metric` being the score's name."""
    if isinstance(report, Measured):
        metrics = finite(report.metrics)
        return ev.TrialMeasured(report.trial, report.attempt, report.step, metrics)
    if isinstance(report, Failed):
        return _failed(report, worker)
    score = report.metrics.get(metric) if trial.evaluations else None
    if score is not None and not math.isfinite(score):
        return ev.TrialDiverged(
            report.trial,
            report.attempt,
            f"{metric} is {score}",
            finite(report.metrics),
            report.elapsed_s,
            worker,
        )
    return _completed(report, trial, score, worker)


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """The metrics that are finite numbers, by names that can be written."""
    return {legible.text(name): value for name, value in metrics.items() if math.isfinite(value)}


def _completed(report: Completed, trial: Trial, score: float | None, worker: str) -> ev.Event:
    metrics, saved = finite(report.metrics), report.checkpoint
    if report.reached < trial.stop:
        return ev.TrialStopped(
            report.trial,
            report.attempt,
            report.reached,
            score,
            metrics,
            saved,
            report.elapsed_s,
            worker,
        )
    return ev.TrialFinished(
        report.trial, report.attempt, score, metrics, saved, report.elapsed_s, worker
    )


def _failed(report: Failed, worker: str) -> ev.TrialFailed:
    return ev.TrialFailed(
        report.trial,
        report.attempt,
        report.failure,
        report.error,
        report.traceback,
        report.elapsed_s,
        worker,
    )
