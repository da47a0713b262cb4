"""A round of a vectorized population: one event of arrays, and the trials it stands for.

`as_round` and `expand` are inverse. A round means exactly what its trials' own events would
mean, so the rules for trials are written once. A column is a list with one entry a trial, or with a
single one where all are equal; fields at their defaults are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any

from heredity.evolution import events as ev
from heredity.evolution.trial import Proposal

Outcome = ev.TrialFinished | ev.TrialDiverged

_DEFAULTS = {f.name: None if f.default is MISSING else f.default for f in fields(Proposal)}
_TUPLES = ("hparams_from", "evidence")


def as_round(
    proposed: Sequence[ev.TrialProposed], outcomes: Sequence[Outcome], elapsed_s: float
) -> ev.RoundFinished:
    """The round that these trials make, which are numbered in sequence."""
    names = proposed[0].proposal.hparams
    rows = [event.proposal for event in proposed]
    columns: dict[str, Any] = {"seed": [event.seed for event in proposed]}
    for field in _DEFAULTS:
        if field != "hparams":
            values = [_plain(getattr(row, field)) for row in rows]
            if any(value != _plain(_DEFAULTS[field]) for value in values):
                columns[field] = _packed(values)
    columns["hparams"] = {name: _packed([row.hparams[name] for row in rows]) for name in names}
    return ev.RoundFinished(
        first=proposed[0].trial,
        count=len(proposed),
        proposals=columns,
        scores=[getattr(outcome, "score", None) for outcome in outcomes],
        metrics=_metric_columns(outcomes),
        diverged={
            str(row): outcome.value
            for row, outcome in enumerate(outcomes)
            if isinstance(outcome, ev.TrialDiverged)
        },
        elapsed_s=elapsed_s,
    )


def expand(event: ev.RoundFinished) -> list[ev.Event]:
    """The events of the trials that a round stands for: all proposed, started, then ended."""
    proposed = proposals_of(event)
    started = [ev.TrialStarted(trial.trial, 0) for trial in proposed]
    return [*proposed, *started, *outcomes_of(event)]


def proposals_of(event: ev.RoundFinished) -> list[ev.TrialProposed]:
    """What was proposed."""
    columns = {
        field: _unpacked(column, event.count, field in _TUPLES)
        for field, column in event.proposals.items()
        if field not in ("hparams", "seed")
    }
    hparams = {n: _unpacked(c, event.count) for n, c in event.proposals["hparams"].items()}
    return [
        ev.TrialProposed(
            event.first + row,
            event.proposals["seed"][row],
            Proposal(
                hparams={name: column[row] for name, column in hparams.items()},
                **{field: column[row] for field, column in columns.items()},
            ),
        )
        for row in range(event.count)
    ]


def outcomes_of(event: ev.RoundFinished) -> list[Outcome]:
    """How the trials ended."""
    outcomes: list[Outcome] = []
    for row, score in enumerate(event.scores):
        trial = event.first + row
        metrics = {n: v for n, column in event.metrics.items() if (v := column[row]) is not None}
        value = event.diverged.get(str(row))
        if value is None:
            ended = ev.TrialFinished(trial, 0, score, metrics, None, event.elapsed_s)
            outcomes.append(ended)
        else:
            outcomes.append(ev.TrialDiverged(trial, 0, value, metrics, event.elapsed_s))
    return outcomes


def _metric_columns(outcomes: Sequence[Outcome]) -> Mapping[str, list[float | None]]:
    names = dict.fromkeys(name for outcome in outcomes for name in outcome.metrics)
    return {name: [outcome.metrics.get(name) for outcome in outcomes] for name in names}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value


def _packed(values: list[Any]) -> list[Any]:
    return values[:1] if all(value == values[0] for value in values) else values


def _unpacked(column: list[Any], count: int, tuples: bool = False) -> list[Any]:
    values = column * count if len(column) == 1 else column
    return [tuple(value) for value in values] if tuples else values
