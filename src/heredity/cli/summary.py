"""What a study found, in the lines that end a run."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from heredity.cli.shapes import checkpoint
from heredity.live.words import number, short

if TYPE_CHECKING:
    from heredity.result import Result


NOT_KEPT = 'gone with this command: the study is in ":memory:"; name a folder as its storage'


def model_lines(result: Result, kept: bool = True) -> list[str]:
    """The best model: its scores, hparams and files, `kept` unless they go with this process."""
    found = result.best
    trial = found.trial
    hparams = ", ".join(f"{name}={short(value)}" for name, value in found.hparams.items())
    items = {
        "best score": f"{number(found.score)} ({result.population.names[0]}, selected among "
        f"{result.population.ended_count:,} trials)",
        "confirmed": confirmed(result),
        **held_out(result),
        "from": f"member {trial.member}, trial {trial.id}, after {trial.reached:,} steps",
        "last hparams": hparams,
        "checkpoint": (checkpoint(found) or "released") if kept else NOT_KEPT,
    }
    width = max(map(len, items))
    return [f"{word:<{width}}  {text}" for word, text in items.items()]


def confirmed(result: Result) -> str:
    """The second measurement in words."""
    again = result.best.confirmation
    if again is None:
        again_at_the_end = "not yet: finalists are measured again at the end"
        return "no: nothing was measured again" if result.status == "ended" else again_at_the_end
    std = again.metrics.get(f"{result.population.names[0]}_std")
    each = "" if std is None else f", each ± {std:.2g}"
    return f"{number(again.score)} (mean of {again.evaluations} fresh evaluations{each})"


def held_out(result: Result) -> dict[str, str]:
    """The metrics that selected nothing, as measured at the end or, before, with the score."""
    found = result.best
    again = found.confirmation
    measured = found.metrics if again is None else again.metrics
    return {
        name.replace("_", " "): number(measured[name])
        for name in found.metrics
        if name != result.population.names[0] and name in measured
    }


def schedule_lines(result: Result) -> list[str]:
    """The schedule that trained the best model."""
    return ["The schedule that trained it:", "", textwrap.indent(str(result.schedule()), "  ")]
